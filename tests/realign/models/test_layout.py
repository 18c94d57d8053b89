"""What is exported has the names and shapes that transformers expects, and mlx-lm reads the same model back from it.

The shapes are those of transformers' modelling code for the sizes here: a depthwise torch.nn.Conv1d holds
(channels, 1, taps), GPT-2's Conv1D (inputs, outputs), an expert's Linear (outputs, inputs).
"""

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import numpy as np
import pytest

from realign.models import build, layout

MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "norm_topk_prob": True,
       "decoder_sparse_step": 1, "mlp_only_layers": []}
LINEAR = {"linear_num_value_heads": 2, "linear_num_key_heads": 1, "linear_key_head_dim": 8,
          "linear_value_head_dim": 8, "linear_conv_kernel_dim": 3, "full_attention_interval": 2}
LFM2 = {"model_type": "lfm2", "layer_types": ["conv", "full_attention"], "norm_eps": 1e-5, "conv_bias": True,
        "conv_L_cache": 3, "block_dim": 16, "block_ff_dim": 32, "block_multiple_of": 1, "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False}
GPT2 = {"model_type": "gpt2", "n_ctx": 64, "n_embd": 16, "n_head": 2, "n_layer": 2, "n_positions": 64,
        "layer_norm_epsilon": 1e-5}
MAMBA2 = {"model_type": "mamba2", "num_heads": 4, "head_dim": 8, "state_size": 8, "n_groups": 1, "conv_kernel": 3,
          "intermediate_size": 32, "use_bias": False, "use_conv_bias": True, "time_step_limit": [0.0, 10.0],
          "time_step_rank": "auto", "layer_norm_epsilon": 1e-5}
# By family: its configuration, and of transformers' parameters names with their shapes; None: there is no such one.
EXPECTED = {
    "llama": ({}, {"model.layers.0.mlp.up_proj.weight": (32, 16), "lm_head.weight": None}),
    "lfm2": (LFM2, {"model.layers.0.conv.conv.weight": (16, 1, 3), "model.layers.0.conv.conv.bias": (16,),
                    "model.layers.0.conv.in_proj.weight": (48, 16), "model.layers.0.feed_forward.w1.weight": (32, 16),
                    "model.layers.1.self_attn.q_layernorm.weight": (8,), "model.embedding_norm.weight": (16,)}),
    "gpt2": (GPT2, {"h.0.attn.c_attn.weight": (16, 48), "h.1.mlp.c_fc.weight": (16, 64), "wte.weight": (48, 16),
                    "h.0.mlp.c_proj.weight": (64, 16), "wpe.weight": (64, 16), "ln_f.bias": (16,),
                    "model.wte.weight": None}),
    "qwen3_moe": ({"model_type": "qwen3_moe", **MOE}, {
        "model.layers.1.mlp.experts.3.gate_proj.weight": (24, 16), "model.layers.0.mlp.experts.0.down_proj.weight":
        (16, 24), "model.layers.0.mlp.gate.weight": (4, 16), "model.layers.0.mlp.switch_mlp.up_proj.weight": None}),
    "olmoe": ({"model_type": "olmoe", **MOE}, {"model.layers.0.mlp.experts.3.up_proj.weight": (32, 16)}),
    "mixtral": ({"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}, {
        "model.layers.0.block_sparse_moe.experts.2.w2.weight": (16, 32),
        "model.layers.0.block_sparse_moe.experts.2.w3.weight": (32, 16)}),
    "mamba2": (MAMBA2, {"backbone.layers.0.mixer.conv1d.weight": (48, 1, 3)}),
    "falcon_h1": ({"model_type": "falcon_h1", "mamba_d_ssm": 16, "mamba_d_head": 8, "mamba_n_heads": 2,
                   "mamba_d_state": 8, "mamba_d_conv": 3}, {"model.layers.0.mamba.conv1d.weight": (32, 1, 3)}),
    "qwen3_next": ({"model_type": "qwen3_next", **MOE, **LINEAR, "shared_expert_intermediate_size": 16,
                    "partial_rotary_factor": 0.5},
                   {"model.layers.0.linear_attn.conv1d.weight": (32, 1, 3), "model.norm.weight": (16,),
                    "model.layers.0.mlp.experts.1.up_proj.weight": (24, 16)}),
    "qwen3_5": ({"model_type": "qwen3_5", "text_config": LINEAR | {
        "model_type": "qwen3_5_text", "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "head_dim": 8,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 48, "tie_word_embeddings": False}},
        {"model.language_model.layers.0.linear_attn.conv1d.weight": (32, 1, 3), "lm_head.weight": (48, 16)}),
}


@pytest.fixture(params=sorted(EXPECTED))
def family(request):
    return request.param


@pytest.fixture
def saved(family, tiny, tiny_config):
    """The model, its configuration and what is written of it."""
    changes = EXPECTED[family][0]
    model = tiny(1, **changes)
    return model, tiny_config(**changes), layout.hugging_face(model, tiny_config(**changes))


def test_names_and_shapes_are_those_of_transformers(family, saved):
    found = {name: value.shape for name, value in saved[2].items()}
    for name, shape in EXPECTED[family][1].items():
        assert found.get(name) == shape, name


def test_mlx_lm_reads_the_same_model_back(family, saved, tmp_path):
    model, config, arrays = saved
    mx.eval(arrays)
    build.write_arrays(tmp_path / "model.safetensors", arrays)
    build._write_json(tmp_path / "config.json", config)
    again, _ = mlx_lm.utils.load_model(tmp_path)
    tokens = mx.array([[1, 5, 9, 2, 7]])
    model.eval()
    np.testing.assert_allclose(np.array(again(tokens)), np.array(model(tokens)), atol=1e-6)
    twice = layout.hugging_face(again, config)
    assert twice.keys() == arrays.keys() and all(mx.array_equal(twice[name], value) for name, value in arrays.items())


def test_norms_of_qwen_are_one_lower(tiny, tiny_config):
    changes = EXPECTED["qwen3_next"][0]
    model = tiny(1, **changes)
    model.model.norm.weight = mx.array([1.25] * 16)
    assert (np.array(layout.hugging_face(model, tiny_config(**changes))["model.norm.weight"]) == 0.25).all()


def test_what_mlx_lm_would_not_read_back_stays_as_it_is(tiny, tiny_config):
    model = tiny(1, **LFM2)
    own = model.model.layers[0].conv.conv.weight
    assert layout.hugging_face(model, tiny_config(**LFM2) | {"quantization": {}})[
        "model.layers.0.conv.conv.weight"].shape == own.shape

    class Forgets(type(model)):
        def sanitize(self, weights):
            return {name: value * 2 for name, value in weights.items()}

    object.__setattr__(model, "__class__", Forgets)
    assert layout.hugging_face(model, tiny_config(**LFM2))["model.layers.0.conv.conv.weight"].shape == own.shape
    assert isinstance(model, nn.Module)
