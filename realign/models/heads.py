"""Inside a language model: hidden states, the output projection, and a scalar head on top."""

import mlx.core as mx
import mlx.nn as nn

# Families of mlx-lm whose output is plainly `lm_head(model(tokens))` or the tied embedding, with no soft cap or scale.
PLAIN = {"lfm2", "llama", "qwen2", "qwen3", "mistral", "olmo2", "phi3", "smollm3", "starcoder2"}


def _require_plain(model: nn.Module) -> None:
    kind = getattr(model, "model_type", type(model).__module__.rsplit(".", 1)[-1])
    if kind not in PLAIN:
        from realign.errors import UserError

        raise UserError(f"models of type {kind!r} are not supported for training",
                        expected="one of " + ", ".join(sorted(PLAIN)), fix="choose another model.base")


def hidden_states(model: nn.Module, tokens: mx.array, cache=None) -> mx.array:
    """Last hidden states, after the final norm: (B, T) to (B, T, D)."""
    _require_plain(model)
    return model.model(tokens, cache=cache)


def project(model: nn.Module, hidden: mx.array) -> mx.array:
    """Hidden states (…, D) to logits (…, V)."""
    if "lm_head" in model:
        return model.lm_head(hidden)
    return model.model.embed_tokens.as_linear(hidden)


class ScalarModel(nn.Module):
    """A language model's trunk with one number a position: a reward model or a critic."""

    def __init__(self, trunk: nn.Module):
        super().__init__()
        _require_plain(trunk)
        self.trunk = trunk
        width = trunk.args.hidden_size
        self.head = nn.Linear(width, 1)
        self.head.weight = mx.zeros((1, width))
        self.head.bias = mx.zeros((1,))

    def __call__(self, tokens: mx.array) -> mx.array:
        """(B, T) tokens to (B, T) numbers."""
        return self.head(hidden_states(self.trunk, tokens)).squeeze(-1)


def save_scalar(model: ScalarModel, config: dict, tokenizer_from, folder) -> None:
    """Write a reward model: the trunk as a language model, the head beside it as head.safetensors."""
    from realign.models import build

    build.save(model.trunk, config, tokenizer_from, folder)
    build.write_arrays(folder / "head.safetensors", dict(model.head.parameters()))


def load_scalar(folder) -> tuple[ScalarModel, object]:
    """`(reward model, tokenizer)` of a directory that `save_scalar` wrote."""
    from pathlib import Path

    from realign.errors import UserError
    from realign.models import build

    head = Path(folder) / "head.safetensors"
    if not head.exists():
        raise UserError("no head.safetensors", where=str(folder), expected="the directory of a reward model")
    trunk, tokenizer, _ = build.load(str(folder))
    model = ScalarModel(trunk)
    model.head.update(mx.load(str(head)))
    mx.eval(model.parameters())
    return model, tokenizer
