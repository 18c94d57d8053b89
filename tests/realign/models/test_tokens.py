import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax as np_log_softmax
from scipy.stats import entropy as scipy_entropy

from realign.models.tokens import (
    count,
    entropy,
    improbable,
    kl_divergence,
    masked_sum,
    policy_terms,
    sampled_terms,
    token_logprobs,
)

pytestmark = pytest.mark.usefixtures("exponentials")
B, T, V = 2, 3, 7


@pytest.fixture
def batch():
    rng = np.random.default_rng(3)
    logits, ref = rng.normal(0, 3, (B, T, V)), rng.normal(0, 3, (B, T, V))
    return logits, ref, rng.integers(0, V, (B, T)), rng.normal(0, 1, (B, T))


def array(x):
    x = np.asarray(x)
    return mx.array(x.astype(np.float32) if x.dtype.kind == "f" else x)


def np_logprobs(logits, targets):
    return np.take_along_axis(np_log_softmax(logits, axis=-1), targets[..., None], axis=-1)[..., 0]


def np_entropy(logits):
    p = np.exp(np_log_softmax(logits, axis=-1))
    return -(p * np.log(p)).sum(-1)


def np_kl(logits, ref):
    log_p, log_q = np_log_softmax(logits, axis=-1), np_log_softmax(ref, axis=-1)
    return (np.exp(log_p) * (log_p - log_q)).sum(-1)


def test_hand_worked_distribution():
    # p = (1/2, 1/4, 1/4) against the uniform distribution: H = 1.5 ln 2, KL = ln 3 − H
    logits = mx.array([[[2.0, 1.0, 1.0]]]) * np.log(2)
    uniform = mx.zeros((1, 1, 3))
    assert token_logprobs(logits, mx.array([[1]])).item() == pytest.approx(-np.log(4), abs=1e-5)
    assert entropy(logits).item() == pytest.approx(1.5 * np.log(2), abs=1e-5)
    assert entropy(uniform).item() == pytest.approx(np.log(3), abs=1e-5)
    assert kl_divergence(logits, uniform).item() == pytest.approx(np.log(3) - 1.5 * np.log(2), abs=1e-5)
    assert kl_divergence(uniform, logits).item() == pytest.approx(
        (np.log(2 / 3) + 2 * np.log(4 / 3)) / 3, abs=1e-5)


def test_values_against_scipy(batch):
    logits, ref, targets, _ = batch
    p, q = (np.exp(np_log_softmax(x, axis=-1)) for x in (logits, ref))
    logprobs, kl = token_logprobs(array(logits), array(targets)), kl_divergence(array(logits), array(ref))
    np.testing.assert_allclose(logprobs, np_logprobs(logits, targets), atol=1e-4)
    np.testing.assert_allclose(entropy(array(logits)), scipy_entropy(p, axis=-1), atol=1e-4)
    np.testing.assert_allclose(kl, scipy_entropy(p, q, axis=-1), atol=1e-4)


def test_gradients_against_finite_differences(batch, numeric_gradient):
    logits, ref, targets, weights = batch
    w = array(weights)
    cases = [
        (lambda x: token_logprobs(x, array(targets)), lambda x: np_logprobs(x, targets)),
        (entropy, np_entropy),
        (lambda x: kl_divergence(x, array(ref)), lambda x: np_kl(x, ref)),
    ]
    for ours, theirs in cases:
        gradient = mx.grad(lambda x, f=ours: (f(x) * w).sum())(array(logits))
        expected = numeric_gradient(lambda x, f=theirs: (f(x) * weights).sum(), logits)
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


def test_kl_gradient_to_the_reference_is_q_minus_p(batch):
    logits, ref, _, _ = batch
    gradient = mx.grad(lambda r: kl_divergence(array(logits), r).sum())(array(ref))
    p, q = (np.exp(np_log_softmax(x, axis=-1)) for x in (logits, ref))
    np.testing.assert_allclose(gradient, q - p, atol=1e-4)


def test_policy_terms_are_the_three_functions(batch):
    logits, ref, targets, _ = (array(x) for x in batch)
    together = policy_terms(logits, targets, ref)
    apart = token_logprobs(logits, targets), entropy(logits), kl_divergence(logits, ref)
    for ours, theirs in zip(together, apart, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("mix", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.7, -1.3, 0.4)])
def test_policy_terms_gradient(batch, numeric_gradient, mix, compiled):
    logits, ref, targets, weights = batch

    def ours(x):
        terms = policy_terms(x, array(targets), array(ref))
        return sum(m * (t * array(weights)).sum() for m, t in zip(mix, terms, strict=True))

    def theirs(x):
        terms = np_logprobs(x, targets), np_entropy(x), np_kl(x, ref)
        return sum(m * (t * weights).sum() for m, t in zip(mix, terms, strict=True))

    gradient = mx.grad(ours)
    gradient = (mx.compile(gradient) if compiled else gradient)(array(logits))
    np.testing.assert_allclose(gradient, numeric_gradient(theirs, logits), atol=1e-4)


def test_sampled_terms_are_the_two_functions_and_only_the_first_teaches(batch, numeric_gradient):
    logits, _, targets, weights = batch
    logprobs, spread = sampled_terms(array(logits), array(targets))
    np.testing.assert_allclose(logprobs, token_logprobs(array(logits), array(targets)), atol=1e-5)
    np.testing.assert_allclose(spread, entropy(array(logits)), atol=1e-5)

    def taught(x, by_entropy):
        logprobs, spread = sampled_terms(x, array(targets))
        return (logprobs * array(weights)).sum() + by_entropy * spread.sum()

    expected = numeric_gradient(lambda x: (np_logprobs(x, targets) * weights).sum(), logits)
    for by_entropy in (0.0, 3.0):
        np.testing.assert_allclose(mx.grad(taught)(array(logits), by_entropy), expected, atol=1e-4)


def np_improbable(logits, ref, share):
    p, q = (np.exp(np_log_softmax(x, axis=-1)) for x in (logits, ref))
    return np.where(q < share * q.max(axis=-1, keepdims=True), p, 0).sum(axis=-1)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_improbable_is_the_policy_on_what_min_p_sampling_of_the_reference_cuts(batch, numeric_gradient, share):
    logits, ref, _, weights = batch
    expected = np_improbable(logits, ref, share)
    np.testing.assert_allclose(improbable(array(logits), array(ref), share), expected, atol=1e-5)

    def ours(x, reference):
        return (improbable(x, reference, share) * array(weights)).sum()

    expected = numeric_gradient(lambda x: (np_improbable(x, ref, share) * weights).sum(), logits)
    found, by_reference = mx.grad(ours, argnums=(0, 1))(array(logits), array(ref))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert not np.array(by_reference).any()


def test_half_precision_logits_are_reckoned_in_float32(batch):
    logits, ref, targets, _ = batch
    half, half_ref = array(logits).astype(mx.bfloat16), array(ref).astype(mx.bfloat16)
    rounded = np.array(half.astype(mx.float32), dtype=np.float64)
    rounded_ref = np.array(half_ref.astype(mx.float32), dtype=np.float64)
    logprobs, kl = token_logprobs(half, array(targets)), policy_terms(half, array(targets), half_ref)[2]
    np.testing.assert_allclose(logprobs, np_logprobs(rounded, targets), atol=1e-4)
    np.testing.assert_allclose(kl, np_kl(rounded, rounded_ref), atol=1e-4)


finite_logits = hnp.arrays(np.float32, (2, 5), elements=st.floats(-20, 20, width=32))


@settings(max_examples=60, deadline=None)
@given(finite_logits, finite_logits)
def test_kl_is_never_negative_and_matches_numpy(a, b):
    kl = np.array(kl_divergence(mx.array(a[None]), mx.array(b[None])))
    assert (kl >= -2e-5).all()
    np.testing.assert_allclose(kl[0], np_kl(a.astype(np.float64), b.astype(np.float64)), rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(finite_logits)
def test_kl_of_equal_logits_is_zero_with_zero_gradient(a):
    x = mx.array(a[None])
    assert np.abs(kl_divergence(x, x)).max() <= 1e-5
    assert np.abs(mx.grad(lambda y: kl_divergence(y, x).sum())(x)).max() <= 1e-5


@settings(max_examples=30, deadline=None)
@given(finite_logits, st.floats(-50, 50, width=32))
def test_a_constant_added_to_the_logits_changes_nothing(a, shift):
    x, moved, targets = mx.array(a[None]), mx.array(a[None] + np.float32(shift)), mx.array([[0, 4]])
    np.testing.assert_allclose(token_logprobs(moved, targets), token_logprobs(x, targets), atol=1e-4)
    np.testing.assert_allclose(entropy(moved), entropy(x), atol=1e-4)


def test_large_logits_stay_finite():
    logits = mx.array([[[1e4, 0.0, -1e4]]])
    assert entropy(logits).item() == pytest.approx(0, abs=1e-4)
    assert token_logprobs(logits, mx.array([[2]])).item() == pytest.approx(-2e4)
    assert np.isfinite(mx.grad(lambda x: entropy(x).sum())(logits)).all()


def test_masked_sum_ignores_what_is_under_the_padding():
    x, mask = mx.array([[1.0, float("nan"), 3.0]]), mx.array([[1, 0, 1]])
    assert masked_sum(x, mask).item() == 4
    assert np.array(mx.grad(lambda y: masked_sum(y * y, mask))(x)).tolist()[0][::2] == [2, 6]
    assert count(mask).item() == 2
    assert masked_sum(x, mx.zeros((1, 3))).item() == 0
