"""Every family of mlx-lm: its own logits and gradients in training, sampling and reward heads, and what is exported."""

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map
from mlx_lm.utils import _get_classes

from realign.models import adapters, batches, build, caches, export, heads, hidden, prefix
from realign.models.chat import Encoded
from realign.models.generate import Sampling, generate
from realign.objectives import sft
from realign.train import loop

MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "norm_topk_prob": True,
       "decoder_sparse_step": 1, "mlp_only_layers": []}
LINEAR = {"linear_num_value_heads": 2, "linear_num_key_heads": 1, "linear_key_head_dim": 8,
          "linear_value_head_dim": 8, "linear_conv_kernel_dim": 3, "full_attention_interval": 2}
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "rms_norm_eps": 1e-5, "vocab_size": 48, "max_position_embeddings": 128,
        "tie_word_embeddings": True}
FAMILIES = {
    "llama": {}, "llama untied": {"tie_word_embeddings": False}, "mistral": {"model_type": "mistral"},
    "qwen2": {"model_type": "qwen2"}, "qwen3": {"model_type": "qwen3", "tie_word_embeddings": False},
    "gemma2": {"model_type": "gemma2", "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0},
    "gemma3_text": {"model_type": "gemma3_text", "query_pre_attn_scalar": 8, "sliding_window": 8,
                    "sliding_window_pattern": 2},
    "gemma3": {"model_type": "gemma3", "vocab_size": 48, "text_config": SIZE | {
        "model_type": "gemma3_text", "query_pre_attn_scalar": 8, "sliding_window": 8, "sliding_window_pattern": 2}},
    "phi3": {"model_type": "phi3", "num_key_value_heads": 2}, "olmo2": {"model_type": "olmo2"},
    "smollm3": {"model_type": "smollm3", "no_rope_layers": [1, 0]},
    "starcoder2": {"model_type": "starcoder2", "norm_epsilon": 1e-5},
    "lfm2": {"model_type": "lfm2", "layer_types": ["conv", "full_attention"], "norm_eps": 1e-5, "conv_bias": True,
             "conv_L_cache": 3, "block_dim": 16, "block_ff_dim": 32, "block_multiple_of": 1,
             "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False},
    "gpt2": {"model_type": "gpt2", "n_ctx": 64, "n_embd": 16, "n_head": 2, "n_layer": 2, "n_positions": 64,
             "layer_norm_epsilon": 1e-5},
    "granite": {"model_type": "granite", "logits_scaling": 2.0, "attention_multiplier": 0.3, "mlp_bias": False,
                "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_bias": False},
    "cohere2": {"model_type": "cohere2", "logit_scale": 0.3, "sliding_window": 8, "sliding_window_pattern": 2},
    "glm4": {"model_type": "glm4", "attention_bias": True, "partial_rotary_factor": 0.5},
    "olmoe": {"model_type": "olmoe", **MOE}, "qwen3_moe": {"model_type": "qwen3_moe", **MOE},
    "qwen3_next": {"model_type": "qwen3_next", **MOE, **LINEAR, "shared_expert_intermediate_size": 16,
                   "partial_rotary_factor": 0.5},
    "qwen3_5": {"model_type": "qwen3_5", "text_config": SIZE | LINEAR | {"model_type": "qwen3_5_text"}},
    "mamba2": {"model_type": "mamba2", "num_heads": 4, "head_dim": 8, "state_size": 8, "n_groups": 1, "conv_kernel": 3,
               "intermediate_size": 32, "use_bias": False, "use_conv_bias": True, "time_step_limit": [0.0, 10.0],
               "time_step_rank": "auto", "layer_norm_epsilon": 1e-5},
    "falcon_h1": {"model_type": "falcon_h1", "mamba_d_ssm": 16, "mamba_d_head": 8, "mamba_n_heads": 2,
                  "mamba_d_state": 8, "mamba_d_conv": 3, "num_key_value_heads": 2,
                  "lm_head_multiplier": 1.0},
}
# Families whose layers do not look at the padding of a batch: sampled row by row.
ALONE = {"gemma2"}
TOKENS = mx.array([[1, 5, 9, 2, 7], [3, 3, 40, 11, 6]])
ROWS = [Encoded([1, 5, 9, 2, 7, 30, 31, 4], [0, 0, 0, 0, 1, 1, 1, 1]),
        Encoded([1, 5, 9, 2, 12, 13, 4], [0, 0, 0, 0, 1, 1, 1]), Encoded([8, 40, 17, 4], [0, 0, 1, 1])]


@pytest.fixture(params=sorted(FAMILIES))
def family(request):
    try:
        _get_classes({"model_type": "llama"} | FAMILIES[request.param])
    except ValueError as error:
        pytest.skip(f"this mlx-lm: {error}")
    return request.param


@pytest.fixture
def make(tiny):
    return lambda family, **changes: tiny(1, **(FAMILIES[family] | changes))


def loss(model) -> mx.array:
    return sft.loss(model, batches.batch_of(ROWS))[0]


def test_the_logits_are_the_models_own(family, make):
    model = make(family)
    found = hidden.anatomy(model)
    assert found.body is not None and (found.vocabulary, found.width) == (48, 16)
    states, logits = hidden.hidden_states(model, TOKENS), model(TOKENS)
    assert states.shape == (2, 5, 16)
    assert hidden.alike(hidden.project(model, states), logits)
    assert hidden.alike(hidden.project(model, states[0, 2]), logits[0, 2])
    assert model.training  # as it was


def test_gradients_agree_with_finite_differences_and_a_step_lowers_the_loss(family, make):
    model = make(family)
    value, gradient = nn.value_and_grad(model, loss)(model)
    start, flat = model.trainable_parameters(), dict(tree_flatten(gradient))
    norm = sum((g**2).sum() for g in flat.values())**0.5
    direction = tree_map(lambda g: g / norm, gradient)  # the steepest, in which the slope is the gradient's norm
    ahead, length = [], min(0.02 / norm.item(), 3e-3)
    for step in (length, -length):
        model.update(tree_map(lambda w, d, by=step: w + by * d, start, direction))
        ahead.append(loss(model).item())
    assert (ahead[0] - ahead[1]) / (2 * length) == pytest.approx(norm.item(), rel=0.02)
    model.update(start)
    optimizer = loop.adamw(model, loop.Settings(3e-3))
    step = nn.value_and_grad(model, sft.loss)
    for _ in range(6):
        loop.update(model, optimizer, step, [batches.batch_of(ROWS)], loop.Settings(3e-3))
    assert loss(model).item() < 0.95 * value.item()


def test_sampled_tokens_have_the_log_probabilities_of_a_fresh_pass(family, make):
    model = make(family)
    assert caches.pads(model) == (family not in ALONE)
    prompts = [[1, 5, 9, 2, 7, 6, 11, 3, 2], [3, 3, 40], [1, 5, 9, 2, 7, 6, 11, 3, 2], [17]]
    critic = heads.ScalarModel(model)
    critic.head.weight = mx.random.normal(critic.head.weight.shape, key=mx.random.key(0))
    found = generate(model, prompts, Sampling(5, batch_size=3, stop_tokens=(0,)), seed=0, head=critic.head)
    model.eval()
    for prompt, sampled in zip(prompts, found, strict=True):
        row = mx.array([prompt + sampled.tokens])
        logits, before = model(row)[0].astype(mx.float32), len(prompt) - 1
        fresh = (logits - mx.logsumexp(logits, axis=-1, keepdims=True))[before:-1]
        fresh = np.array(mx.take_along_axis(fresh, mx.array(sampled.tokens)[:, None], axis=-1))[:, 0]
        np.testing.assert_allclose(sampled.logprobs, fresh, atol=2e-4)
        np.testing.assert_allclose(sampled.values, np.array(critic(row))[0, before:-1], atol=2e-3)


def test_rows_that_share_a_prompt_have_the_gradients_of_whole_rows(family, make):
    model = make(family)
    if not prefix.can_share(model):
        pytest.skip("a family whose prompts are not shared")
    rows = [Encoded([5, 1, 9, 2, 7, 6, 11, 3, 2, 8, *own], [0] * 10 + [1] * len(own)) for own in ([4, 7, 8], [30], [2])]
    whole = batches.batch_of(rows)
    shared = batches.response_batch([*rows, *rows], [model])
    assert "prompts" in shared
    one, other = (dict(tree_flatten(nn.value_and_grad(model, lambda m, b=b: sft.loss(m, b)[0])(model)[1]))
                  for b in (whole, shared))
    for name, gradient in one.items():
        np.testing.assert_allclose(np.array(other[name]), 2 * np.array(gradient), atol=2e-3, rtol=1e-2, err_msg=name)


def test_adapters_are_trained_exported_and_loaded_by_plain_mlx_lm(family, make, tiny_config, tokenizer_folder,
                                                                     tmp_path):
    size = {"vocab_size": 340}
    changes = FAMILIES[family] | size
    if "text_config" in changes:
        changes["text_config"] = changes["text_config"] | size
    config, base, out = tiny_config(**changes), tmp_path / "base", tmp_path / "out"
    base.mkdir(), out.mkdir()
    build.save(make(family, **changes), config, tokenizer_folder, base)
    model, _, config = build.load(str(base))
    before = loss(model).item()
    method = adapters.Method("lora", rank=2)
    config = adapters.prepare(model, config, method, 0)
    optimizer = loop.adamw(model, loop.Settings(1e-2))
    for _ in range(3):
        loop.update(model, optimizer, nn.value_and_grad(model, sft.loss), [batches.batch_of(ROWS)], loop.Settings(1e-2))
    trained = loss(model).item()
    assert trained < before
    export.export(model, config, method, str(base), out, [TOKENS[0].tolist()])
    plain, _ = mlx_lm.load(str(out))
    adapted, _ = mlx_lm.load(str(base), adapter_path=str(out / "adapter"))
    assert loss(plain).item() == pytest.approx(trained, rel=1e-4) == loss(adapted).item()


class Bigram(nn.Module):
    """A model without parts: the next token by the last one alone."""

    def __init__(self):
        super().__init__()
        self.table = mx.random.normal((48, 48), key=mx.random.key(2))

    def __call__(self, tokens, cache=None):
        return self.table[tokens]

    def make_cache(self):
        return []

    @property
    def layers(self):
        return []


class Scaled(nn.Module):
    """A model whose code does something to its logits that is not to be had from its hidden states alone."""

    def __init__(self, inner):
        super().__init__()
        self.model, self.args = inner.model, inner.args

    def __call__(self, tokens, cache=None):
        return self.model.embed_tokens.as_linear(self.model(tokens, cache=cache)) * (1 + tokens[..., None])

    @property
    def layers(self):
        return self.model.layers


@pytest.mark.parametrize("kind", ["no parts", "logits by the tokens"])
def test_where_there_are_no_hidden_states_the_logits_stand_for_them(kind, tiny):
    model = Bigram() if kind == "no parts" else Scaled(tiny(1))
    assert hidden.anatomy(model) == hidden.Anatomy((), None, 48, 48)
    assert mx.array_equal(hidden.project(model, hidden.hidden_states(model, TOKENS)), model(TOKENS))
    logits = model(batches.batch_of(ROWS)["tokens"])[:, :-1].reshape(-1, 48)[batches.batch_of(ROWS)["positions"]]
    expected = nn.losses.cross_entropy(logits, batches.targets(batches.batch_of(ROWS)), reduction="sum")
    assert loss(model).item() == pytest.approx(expected.item(), rel=1e-5)
    assert heads.ScalarModel(model)(TOKENS).shape == (2, 5)
