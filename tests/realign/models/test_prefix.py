"""Rows that go on from shared prompts: hidden states and gradients are those of whole rows."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.models import build, prefix
from realign.models.batches import batch_of, response_batch
from realign.models.chat import Encoded
from realign.models.prefix import response_logits
from realign.models.tokens import token_logprobs
from realign.train import memory

CONVOLUTIONS = {
    "model_type": "lfm2", "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "layer_types": ["conv", "full_attention"] * 2, "num_key_value_heads": 1, "conv_L_cache": 4, "conv_bias": True,
    "block_dim": 16, "block_ff_dim": 32, "block_auto_adjust_ff_dim": False, "block_multiple_of": 1,
    "block_ffn_dim_multiplier": 1.0, "vocab_size": 48, "norm_eps": 1e-5, "rope_theta": 1e4,
    "max_position_embeddings": 64, "tie_word_embeddings": True,
}


@pytest.fixture(params=["llama", "qwen3", "lfm2"])
def model(request, tiny):
    """One of attention alone, one with norms on queries and keys, one with short convolutions."""
    if request.param == "lfm2":
        return build.create(CONVOLUTIONS, 0)
    return tiny(0, model_type=request.param)


@pytest.fixture
def rows():
    """Four prompts of 1 to 19 tokens, three responses of 1 to 7 to each."""
    rng = np.random.default_rng(0)
    return [Encoded([*prompt, *answer], [0] * len(prompt) + [1] * len(answer))
            for length in (19, 1, 6, 13) for prompt in [rng.integers(1, 48, length).tolist()]
            for answer in (rng.integers(1, 48, k).tolist() for k in rng.integers(1, 8, 3))]


def loss(model, batch):
    """Sensitive to every response token, differently."""
    logprobs = token_logprobs(response_logits(model, batch)[None], batch["targets"])[0]
    return (logprobs * mx.cos(mx.arange(logprobs.size))).sum()


def whole(rows):
    batch = batch_of(rows)
    return batch | {"targets": batch["tokens"][:, 1:].reshape(-1)[batch["positions"]][None]}


def test_logits_and_gradients_are_those_of_whole_rows(model, rows):
    shared = response_batch(rows, [model])
    assert "prompts" in shared and shared["prompts"].shape[0] == 4
    assert shared["targets"].tolist() == whole(rows)["targets"].tolist()
    got, want = (response_logits(model, batch) for batch in (shared, whole(rows)))
    assert np.abs(np.array(got - want)).max() < 1e-4
    value_and_grad = nn.value_and_grad(model, loss)
    (value, grads), (expected, gradients) = value_and_grad(model, shared), value_and_grad(model, whole(rows))
    assert value.item() == pytest.approx(expected.item(), abs=1e-4)
    for (name, g), (_, e) in zip(tree_flatten(grads), tree_flatten(gradients), strict=True):
        assert np.abs(np.array(g - e)).max() <= 1e-4 * max(1.0, np.abs(np.array(e)).max()), name


def test_a_row_given_to_another_prompt_is_seen(model, rows):
    shared = response_batch(rows, [model])
    owner = np.array(shared["owner"])
    owner[[0, 3]] = owner[[3, 0]]
    swapped = response_logits(model, shared | {"owner": mx.array(owner)})
    assert np.abs(np.array(swapped - response_logits(model, whole(rows)))).max() > 1e-2


def test_layers_that_are_computed_twice_and_windows_that_slide_do_not_share(tiny, rows):
    model = tiny(0)
    assert prefix.can_share(model)
    memory.recompute_layers(model)
    assert not prefix.can_share(model)
    assert "prompts" not in response_batch(rows, [model])
    sliding = tiny(0, layer_types=["sliding_attention", "full_attention"], sliding_window=8)
    assert not prefix.can_share(sliding)
    assert "prompts" not in response_batch(rows, [tiny(0), sliding])
