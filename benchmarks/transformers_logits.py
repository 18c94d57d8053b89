"""Whether exported models load in transformers and say there what they say in MLX.

    python benchmarks/transformers_logits.py [MODEL_DIRECTORY ...]

Needs PyTorch (any build for the CPU), which the project itself does not. Without arguments: of every family below a
small random model, made by mlx-lm, exported as a checkpoint is, and loaded by transformers. Prints a table.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from realign.errors import UserError, spoken
from realign.models import backend

SIZE = {"hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 128, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 0,
        "eos_token_id": 4, "vocab_size": 304}
LINEAR = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16,
          "linear_value_head_dim": 16, "full_attention_interval": 4}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "decoder_sparse_step": 1,
       "mlp_only_layers": []}
# By family, what its configuration has besides: in transformers' names, whose own defaults stand for the rest.
FAMILIES = {
    "llama": {}, "mistral": {}, "qwen2": {}, "qwen3": {}, "gemma2": {"query_pre_attn_scalar": 16},
    "gemma3_text": {"query_pre_attn_scalar": 16, "sliding_window": 8, "num_hidden_layers": 6, "rope_theta": 1e6,
                    "rope_local_base_freq": 1e4}, "phi3": {"rope_scaling": None}, "olmo2": {},
    "smollm3": {}, "starcoder2": {}, "granite": {"logits_scaling": 2.0, "attention_multiplier": 0.25},
    "cohere2": {"sliding_window": 8}, "glm4": {"attention_bias": True},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2, "block_ff_dim": 128, "block_auto_adjust_ff_dim": False,
             "conv_L_cache": 3, "conv_bias": True, "norm_eps": 1e-5, "block_dim": 64, "block_multiple_of": 1,
             "block_ffn_dim_multiplier": 1.0},
    "gpt2": {"n_embd": 64, "n_head": 4, "n_layer": 4, "n_positions": 256, "n_ctx": 256},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2}, "qwen3_moe": MOE,
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_next": MOE | LINEAR | {"shared_expert_intermediate_size": 48},
    "qwen3_5": {"tie_word_embeddings": False, "text_config": SIZE | LINEAR | {
        "model_type": "qwen3_5_text", "linear_conv_kernel_dim": 4, "tie_word_embeddings": False, "rope_parameters": {
            "rope_type": "default", "type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
            "mrope_section": [2, 1, 1]}}, "vision_config": {"depth": 1, "hidden_size": 16, "num_heads": 2,
                                                            "intermediate_size": 16, "out_hidden_size": 64}},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_d_head": 16, "mamba_n_heads": 4, "mamba_d_state": 16,
                  "mamba_n_groups": 1, "mamba_expand": 1, "attention_out_multiplier": 0.9,
                  "embedding_multiplier": 2.0, "lm_head_multiplier": 0.7, "mlp_multipliers": [0.8, 0.6],
                  "ssm_in_multiplier": 1.25, "ssm_multipliers": [0.5, 0.3, 0.4, 0.6, 0.7], "ssm_out_multiplier": 0.4,
                  "tie_word_embeddings": False},
    "mamba2": {"num_heads": 8, "head_dim": 16, "state_size": 16, "n_groups": 1, "expand": 2},
}
WORDS = ["How many kites has Ada?", "Ada has three kites.", "What is the capital of Peru?", "It is Lima."]
TOKENS = 24


def made(family: str, folder: Path) -> None:
    """A random model of a family, exported into an existing folder as a checkpoint is."""
    import mlx.core as mx
    from mlx.utils import tree_map
    from transformers import AutoConfig

    from realign.models import build, tokenizer

    trained = tokenizer.train(WORDS, SIZE["vocab_size"], 8)
    given = SIZE | FAMILIES[family]
    config = AutoConfig.for_model(family, **given)
    tokenizer.save(trained, folder, 256)
    told = {key: value for key, value in json.loads(config.to_json_string(use_diff=False)).items() if value is not None}
    # mlx-lm reads the older names, and what is told of positions outside of rope_parameters.
    told |= {"rope_theta": 10000.0, "partial_rotary_factor": 0.5} | (told.get("rope_parameters") or {}) | given
    (folder / "config.json").write_text(json.dumps(told))
    model = build.create(told, seed=0)
    mx.random.seed(1)  # norms and biases too, so that none of them is 0 or 1
    model.update(tree_map(lambda x: x + 0.1 * mx.random.normal(x.shape) if x.ndim == 1 else x, model.parameters()))
    build.save(model, told, folder, folder)


def compared(folder: Path) -> tuple[float, float, list[str]]:
    """Largest difference of logits between mlx-lm and transformers, the largest logit, and weights that transformers
    did not find or did not know."""
    import mlx.core as mx
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from realign.models import build

    model, _, config = build.load(str(folder))
    size = config.get("vocab_size") or config["text_config"]["vocab_size"]
    tokens = np.random.default_rng(0).integers(0, size, (2, TOKENS))
    ours = np.array(model(mx.array(tokens.astype(np.int32))).astype(mx.float32))
    other, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True,
                                                       trust_remote_code=False)
    with torch.no_grad():
        theirs = other.eval()(torch.tensor(tokens)).logits.numpy()
    strange = [f"{kind}: {name}" for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
               for name in info[kind]]
    return float(np.abs(ours - theirs).max()), float(np.abs(ours).max()), strange


def row(name: str, folder: Path) -> str:
    """A line of the table."""
    try:
        difference, largest, strange = compared(folder)
    except Exception as error:  # of transformers, on a configuration or a file that it does not take
        return f"| {name} | - | - | {type(error).__name__}: {' '.join(str(error).split())[:120]} |"
    return f"| {name} | {difference:.1e} | {largest:.2f} | {', '.join(strange[:2]) or 'all'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="default: a small model of every family")
    arguments = parser.parse_args()
    with spoken():
        print(backend.start(), file=sys.stderr)
        try:
            import torch
        except ImportError as error:
            raise UserError(f"PyTorch cannot be imported: {error}", expected="PyTorch, for this comparison alone",
                            fix="pip install torch, in an environment of its own") from error
        torch.set_num_threads(1)
        print("| model | largest difference of logits | largest logit | weights found |\n|---|---|---|---|")
        for folder in arguments.models:
            print(row(folder.name, folder), flush=True)
        for family in [] if arguments.models else FAMILIES:
            with tempfile.TemporaryDirectory() as temporary:
                try:
                    made(family, Path(temporary))
                    print(row(family, Path(temporary)), flush=True)
                except Exception as error:  # mlx-lm and transformers name some settings differently
                    print(f"| {family} | - | - | not made: {str(error)[:80]} |", flush=True)


if __name__ == "__main__":
    main()
