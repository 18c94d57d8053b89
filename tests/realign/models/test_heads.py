"""Hidden states and projection add up to the model; scalar models come back from disk as they were."""

import mlx.core as mx
import numpy as np
import pytest

from realign.errors import UserError
from realign.models import build, heads, hidden

TOKENS = mx.array([[1, 5, 9, 2], [3, 3, 40, 0]])
FAMILIES = {
    "llama": {}, "llama untied": {"tie_word_embeddings": False}, "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3"}, "qwen3 untied": {"model_type": "qwen3", "tie_word_embeddings": False},
    "mistral untied": {"model_type": "mistral", "tie_word_embeddings": False}, "olmo2": {"model_type": "olmo2"},
    "phi3 untied": {"model_type": "phi3", "num_key_value_heads": 2},
    "smollm3": {"model_type": "smollm3", "no_rope_layers": [1, 0]},
    "starcoder2": {"model_type": "starcoder2", "norm_epsilon": 1e-5},
    "lfm2": {"model_type": "lfm2", "layer_types": ["conv", "full_attention"], "norm_eps": 1e-5, "conv_bias": True,
             "conv_L_cache": 3, "block_dim": 16, "block_ff_dim": 32, "block_multiple_of": 1,
             "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False},
}


@pytest.fixture(params=sorted(FAMILIES))
def model(request, tiny):
    return tiny(1, **FAMILIES[request.param])


def test_hidden_states_projected_are_the_logits(model):
    states = hidden.hidden_states(model, TOKENS)
    assert states.shape == (2, 4, 16)
    assert mx.array_equal(hidden.project(model, states), model(TOKENS))
    one, logits = hidden.project(model, states[0, 2]), model(TOKENS)[0, 2]
    assert mx.array_equal(one, logits) or np.allclose(np.array(one), np.array(logits), atol=1e-6)


def test_every_supported_family_is_tested():
    assert {name.split()[0] for name in FAMILIES} == hidden.PLAIN


def test_a_family_with_a_soft_cap_is_refused(tiny):
    model = tiny(0, model_type="gemma2", query_pre_attn_scalar=8.0)
    with pytest.raises(UserError, match=r"'gemma2' are not supported.*\n.*one of lfm2, llama"):
        hidden.hidden_states(model, TOKENS)
    with pytest.raises(UserError):
        heads.ScalarModel(model)


def test_a_new_head_says_nothing(model):
    assert (np.array(heads.ScalarModel(model)(TOKENS)) == 0).all()


def test_the_head_reads_its_own_position_and_nothing_later(tiny):
    model = heads.ScalarModel(tiny(1))
    model.head.weight = mx.random.normal((1, 16), key=mx.random.key(0))
    model.head.bias = mx.array([0.5])
    values = np.array(model(TOKENS))
    states = np.array(hidden.hidden_states(model.trunk, TOKENS))
    np.testing.assert_allclose(values, states @ np.array(model.head.weight)[0] + 0.5, atol=1e-5)
    changed = np.array(model(mx.array([[1, 5, 9, 30], [3, 3, 40, 31]])))
    np.testing.assert_allclose(changed[:, :3], values[:, :3], atol=1e-6)
    assert (np.abs(changed[:, 3] - values[:, 3]) > 1e-4).all()


def test_saved_and_loaded(tiny, tiny_config, tokenizer_folder, tmp_path):
    model = heads.ScalarModel(tiny(1, vocab_size=340), typicality=2.5)
    model.head.weight = mx.random.normal((1, 16), key=mx.random.key(0))
    model.head.bias = mx.array([-1.25])
    heads.save_scalar(model, tiny_config(vocab_size=340), tokenizer_folder, tmp_path)
    loaded, tokenizer = heads.load_scalar(tmp_path)
    assert mx.array_equal(loaded(TOKENS), model(TOKENS)) and tokenizer.encode("Lima")
    assert loaded.typicality == 2.5
    assert mx.array_equal(build.load(str(tmp_path))[0](TOKENS), model.trunk(TOKENS))  # a language model besides


def test_a_language_model_is_no_reward_model(tiny_folder):
    with pytest.raises(UserError, match=r"no head\.safetensors"):
        heads.load_scalar(tiny_folder)
