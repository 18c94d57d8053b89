"""The base model's first weights: delays that delay, and heads that find what followed before any training."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.params import load
from stages.demo import base, initial


@pytest.fixture(scope="module")
def config():
    return base.config(load("demo.base", base.Base))


@pytest.fixture(scope="module")
def model(config):
    return initial.create(config, 0)


def test_the_weights_are_a_function_of_the_seed(config, model):
    mx.random.seed(99)
    again, other = (dict(tree_flatten(initial.create(config, seed).parameters())) for seed in (0, 1))
    found = dict(tree_flatten(model.parameters()))
    assert all(mx.array_equal(again[name], value) for name, value in found.items())
    assert not any(mx.array_equal(other[name], value) for name, value in found.items() if value.ndim == 2)


def test_a_convolution_starts_as_delays_of_every_length(model):
    layer = model.model.layers[0].conv
    pulse = np.zeros((1, 20, 128), np.float32)
    pulse[0, 5] = np.random.default_rng(1).normal(size=128)
    answer = np.array(layer(mx.array(pulse)))[0]
    assert np.flatnonzero(np.abs(answer).max(axis=1) > 1e-6).tolist() == list(range(5, 13))


def attention(model, tokens, head):
    """Weights (T, T) of one head of the first attention layer."""
    first, second = model.model.layers[:2]
    x = second.operator_norm(first(model.model.embed_tokens(mx.array([tokens]))))
    layer = second.self_attn
    shape = (1, len(tokens), layer.n_heads, layer.head_dim)
    queries = layer.rope(layer.q_layernorm(layer.q_proj(x).reshape(shape)).transpose(0, 2, 1, 3))[0, head]
    keys = layer.rope(layer.k_layernorm(layer.k_proj(x).reshape(shape)).transpose(0, 2, 1, 3))[0, head]
    scores = np.array(queries @ keys.T) * layer.scale
    scores[np.triu_indices(len(tokens), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def test_a_head_looks_behind_the_word_that_stood_before(model):
    """Twelve pairs, then their first words again: each looks at what followed it three times as much as at what
    followed the others, which no head that starts at random does."""
    def preference(head):
        right, wrong = [], []
        for seed in range(4):
            words = np.random.default_rng(seed).permutation(1500)[:24].tolist()
            weights = attention(model, [*words, *words[::2]], head)[24:, 1:24:2]
            right.append(weights.diagonal().mean())
            wrong.append(weights[~np.eye(12, dtype=bool)].mean())
        return np.mean(right) / np.mean(wrong)

    assert preference(0) > 3
    assert preference(3) < 2


def test_no_block_drowns_the_embeddings(model):
    tokens = mx.array([list(range(300, 340))])
    x = before = model.model.embed_tokens(tokens)
    for layer in model.model.layers:
        x = layer(x, "causal" if layer.is_attention_layer else None)
    norm = lambda a: float(mx.sqrt((a * a).sum(-1)).mean())  # noqa: E731
    assert norm(x - before) < 3 * norm(before)
