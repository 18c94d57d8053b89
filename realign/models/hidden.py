"""Inside a language model: hidden states and the output projection."""

import mlx.core as mx
import mlx.nn as nn

from realign.errors import UserError

# Families of mlx-lm whose output is plainly `lm_head(model(tokens))` or the tied embedding, with no soft cap or scale.
PLAIN = {"lfm2", "llama", "qwen2", "qwen3", "mistral", "olmo2", "phi3", "smollm3", "starcoder2"}


def require_plain(model: nn.Module) -> None:
    """UserError for a model of a family that cannot be trained here."""
    kind = getattr(model, "model_type", type(model).__module__.rsplit(".", 1)[-1])
    if kind not in PLAIN:
        raise UserError(f"models of type {kind!r} are not supported for training",
                        expected="one of " + ", ".join(sorted(PLAIN)), fix="choose another base model")


def hidden_states(model: nn.Module, tokens: mx.array, cache=None) -> mx.array:
    """Last hidden states, after the final norm: (B, T) to (B, T, D)."""
    require_plain(model)
    return model.model(tokens, cache=cache)


def project(model: nn.Module, hidden: mx.array) -> mx.array:
    """Hidden states (…, D) to logits (…, V)."""
    if "lm_head" in model:
        return model.lm_head(hidden)
    return model.model.embed_tokens.as_linear(hidden)
