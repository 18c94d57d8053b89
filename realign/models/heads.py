"""A scalar head on a language model: reward models, and the critic of a policy."""

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from realign.errors import UserError
from realign.models import build
from realign.models.batches import Batch, by_part, pad
from realign.models.chat import Encoded
from realign.models.hidden import hidden_states, require_plain

SCORE_BATCH = 64  # rows


class ScalarModel(nn.Module):
    """A language model's trunk with one number a position: a reward model or a critic."""

    def __init__(self, trunk: nn.Module):
        super().__init__()
        require_plain(trunk)
        self.trunk = trunk
        width = trunk.args.hidden_size
        self.head = nn.Linear(width, 1)
        self.head.weight = mx.zeros((1, width))
        self.head.bias = mx.zeros((1,))

    def __call__(self, tokens: mx.array) -> mx.array:
        """(B, T) tokens to (B, T) numbers."""
        return self.head(hidden_states(self.trunk, tokens)).squeeze(-1)


def save_scalar(model: ScalarModel, config: dict, tokenizer_from: Path, folder: Path) -> None:
    """Write a reward model: the trunk as a language model, the head beside it as head.safetensors."""
    build.save(model.trunk, config, tokenizer_from, folder)
    build.write_arrays(folder / "head.safetensors", dict(model.head.parameters()))


def load_scalar(folder: Path | str) -> tuple[ScalarModel, object]:
    """`(reward model, tokenizer)` of a directory that `save_scalar` wrote; UserError where it is none."""
    head = Path(folder) / "head.safetensors"
    if not head.exists():
        raise UserError("no head.safetensors", where=str(folder), expected="the directory of a reward model")
    trunk, tokenizer, _ = build.load(str(folder))
    model = ScalarModel(trunk)
    model.head.update(mx.load(str(head)))
    mx.eval(model.parameters())
    return model, tokenizer


def scalar_batch(rows: Sequence[Encoded]) -> Batch:
    """`tokens` (B, T) and `last` (B,), the place of each row's last token, where its reward is read."""
    tokens = pad([r.tokens for r in rows])
    last = np.array([len(r.tokens) - 1 for r in rows], np.uint32)
    return {"tokens": mx.array(tokens), "last": mx.array(last)}


def rewards(model: ScalarModel, batch: Batch) -> mx.array:
    """One number a row (B,)."""
    hidden = hidden_states(model.trunk, batch["tokens"])
    last = mx.take_along_axis(hidden, batch["last"][:, None, None], axis=1)[:, 0]
    return model.head(last).squeeze(-1)


def score(model: ScalarModel, rows: Sequence[Encoded]) -> np.ndarray:
    """Rewards of rows, in their order, as float32."""
    order = np.argsort([len(r.tokens) for r in rows], kind="stable")
    values = np.zeros(len(rows), np.float32)

    def scored(part: np.ndarray) -> mx.array:
        return rewards(model, scalar_batch([rows[i] for i in part]))

    for part, found in by_part(scored, order, SCORE_BATCH, model):
        values[part] = np.array(found)
    return values
