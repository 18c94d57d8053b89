"""The quick functions against float64 NumPy, and attention against MLX's own."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.models import fastmath

mlx_attention = fastmath._mlx_attention


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(fastmath, "_enabled", True)


def logits(seed=0, shape=(7, 33), scale=4.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def gradient(f, x, weights):
    return np.array(mx.grad(lambda x: (f(x) * mx.array(weights)).sum())(mx.array(x)), np.float64)


@given(st.lists(st.floats(-80, 80, width=32), min_size=1, max_size=20))
def test_exp_to_seven_digits(values):
    x = np.array(values, np.float32)
    got = np.array(fastmath.exp(mx.array(x)), np.float64)
    # The argument times log2(e) is rounded to float32, which costs |x| ulps.
    np.testing.assert_allclose(got, np.exp(x.astype(np.float64)), rtol=4e-7 + 80 * 1.2e-7)


def test_exp_near_zero_is_within_its_stated_error():
    x = np.linspace(-1, 1, 4001, dtype=np.float32)
    np.testing.assert_allclose(np.array(fastmath.exp(mx.array(x))), np.exp(x.astype(np.float64)), rtol=4e-7)


def test_extremes():
    x = mx.array([-np.inf, -1e30, 1e30, np.inf, np.nan])
    low, lower, high, higher, undefined = fastmath.exp(x).tolist()
    assert low == lower < 1.2e-38 and high == higher > 1e38 and np.isnan(undefined)
    assert fastmath.sigmoid(mx.array([-1e4, 0.0, 1e4])).tolist() == pytest.approx([0, 0.5, 1], abs=1e-30)


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "sigmoid", "silu", "exp"])
def test_nan_is_never_hidden(name):
    x = logits()
    x[2, 5] = np.nan
    assert np.isnan(np.array(getattr(fastmath, name)(mx.array(x)))[2]).any()


def test_softmax_and_its_gradient():
    x, w = logits(), logits(1)
    p = np.exp(x - x.max(-1, keepdims=True), dtype=np.float64)
    p /= p.sum(-1, keepdims=True)
    np.testing.assert_allclose(np.array(fastmath.softmax(mx.array(x))), p, atol=1e-6)
    np.testing.assert_allclose(gradient(fastmath.softmax, x, w), p * (w - (p * w).sum(-1, keepdims=True)), atol=5e-6)


def test_logsumexp_and_its_gradient():
    x, w = logits(), logits(1, (7,))
    top = x.max(-1, keepdims=True).astype(np.float64)
    total = top[:, 0] + np.log(np.exp(x - top).sum(-1))
    np.testing.assert_allclose(np.array(fastmath.logsumexp(mx.array(x))), total, atol=2e-6)
    np.testing.assert_allclose(gradient(fastmath.logsumexp, x, w), np.exp(x - total[:, None]) * w[:, None], atol=5e-6)


def test_logsumexp_of_large_logits():
    assert fastmath.logsumexp(mx.array([[1000.0, 1000.0]])).item() == pytest.approx(1000 + np.log(2), rel=1e-6)


def test_sigmoid_silu_and_their_gradients():
    x, w = logits(), logits(1)
    s = 1 / (1 + np.exp(-x.astype(np.float64)))
    np.testing.assert_allclose(np.array(fastmath.sigmoid(mx.array(x))), s, rtol=2e-6)
    np.testing.assert_allclose(np.array(fastmath.silu(mx.array(x))), x * s, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(gradient(fastmath.sigmoid, x, w), s * (1 - s) * w, atol=1e-6)
    np.testing.assert_allclose(gradient(fastmath.silu, x, w), (s + x * s * (1 - s)) * w, atol=1e-5)


def test_exp_has_the_gradient_of_exp():
    x, w = logits(scale=1), logits(1)
    np.testing.assert_allclose(gradient(fastmath.exp, x, w), np.exp(x.astype(np.float64)) * w, rtol=2e-6)


def heads(queries, keys, query_heads=4, key_heads=4, seed=0):
    rng = np.random.default_rng(seed)
    return [mx.array(rng.normal(0, 1, (2, h, n, 8)).astype(np.float32))
            for h, n in ((query_heads, queries), (key_heads, keys), (key_heads, keys))]


def mask_of(kind, queries, keys):
    rng = np.random.default_rng(5)
    seen = rng.random((2, 1, queries, keys)) < 0.6
    seen[..., 0] = True
    return {"causal": "causal", "none": None, "bool": mx.array(seen),
            "additive": mx.array(np.where(seen, rng.normal(0, 1, seen.shape), -1e9).astype(np.float32))}[kind]


@pytest.mark.parametrize("kind", ["causal", "none", "bool", "additive"])
@pytest.mark.parametrize("queries, keys, key_heads", [
    (5, 5, 4), (1, 9, 2), (7, 30, 1), (63, 63, 4), (64, 64, 2), (65, 65, 2), (130, 130, 4), (67, 150, 2), (1, 1, 4)])
def test_attention_is_mlx_attention(kind, queries, keys, key_heads):
    q, k, v = heads(queries, keys, key_heads=key_heads)
    mask = mask_of(kind, queries, keys)
    got, expected = (f(q, k, v, scale=0.35, mask=mask) for f in (fastmath.attention, mlx_attention))
    np.testing.assert_allclose(np.array(got), np.array(expected), atol=3e-6)


@pytest.mark.parametrize("kind", ["causal", "none", "bool"])
def test_attention_has_the_gradients_of_mlx_attention(kind):
    arguments, mask = heads(67, 80, key_heads=2), mask_of(kind, 67, 80)
    weights = mx.array(np.random.default_rng(9).normal(0, 1, (2, 4, 67, 8)).astype(np.float32))

    def total(attention):
        return lambda q, k, v: (attention(q, k, v, scale=0.35, mask=mask) * weights).sum()

    got, expected = (mx.grad(total(f), argnums=(0, 1, 2))(*arguments) for f in (fastmath.attention, mlx_attention))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=2e-5)


def test_a_row_that_sees_nothing_stays_finite():
    q, k, v = heads(3, 3)
    assert np.isfinite(np.array(fastmath.attention(q, k, v, scale=1.0, mask=mx.zeros((3, 3), dtype=mx.bool_)))).all()


@pytest.mark.parametrize("off", ["switched off", "half precision"])
def test_otherwise_everything_is_mlx(off, monkeypatch):
    kind = mx.float32 if off == "switched off" else mx.bfloat16
    monkeypatch.setattr(fastmath, "_enabled", off != "switched off")
    x = mx.array(logits()).astype(kind)
    for got, expected in ((fastmath.exp(x), mx.exp(x)), (fastmath.sigmoid(x), mx.sigmoid(x)),
                          (fastmath.softmax(x), mx.softmax(x, axis=-1, precise=True)),
                          (fastmath.logsumexp(x), mx.logsumexp(x, axis=-1))):
        assert mx.array_equal(got, expected) and got.dtype == kind
    q, k, v = (a.astype(kind) for a in heads(70, 70))
    assert mx.array_equal(fastmath.attention(q, k, v, scale=0.3, mask="causal"),
                          mlx_attention(q, k, v, scale=0.3, mask="causal"))


def test_the_models_of_mlx_lm_use_these_functions_on_cpu():
    if mx.default_device() != mx.cpu:
        pytest.skip("a GPU keeps MLX's own")
    assert mx.fast.scaled_dot_product_attention is fastmath.attention and nn.silu is fastmath.silu


@pytest.mark.parametrize("bias", [True, False])
def test_a_short_convolution_equals_mlx_s_own_values_and_gradients(bias):
    layer = nn.Conv1d(6, 6, 4, groups=6, bias=bias)
    layer.weight = mx.random.normal(layer.weight.shape, key=mx.random.key(1))
    if bias:
        layer.bias = mx.arange(6) / 7
    x, weights = mx.array(logits(shape=(3, 9, 6))), mx.array(logits(1, (3, 6, 6)))

    def both(call):
        loss = lambda layer, x: (call(layer, x) * weights).sum()  # noqa: E731
        of_layer = nn.value_and_grad(layer, lambda x: loss(layer, x))(x)[1]
        return [call(layer, x), mx.grad(lambda x: loss(layer, x))(x), *of_layer.values()]

    for ours, mlx in zip(both(fastmath.conv1d), both(fastmath._mlx_conv1d), strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(mlx), atol=2e-5)


@pytest.mark.parametrize("changes", [{"stride": 2}, {"padding": 1}, {"dilation": 2}, {"groups": 3}, {"groups": 1}])
def test_any_other_convolution_is_mlx_s_own(changes):
    layer = nn.Conv1d(6, 6, 3, **({"groups": 6} | changes))
    x = mx.array(logits(shape=(2, 9, 6)))
    assert mx.array_equal(fastmath.conv1d(layer, x), fastmath._mlx_conv1d(layer, x))
