"""A scalar head on a language model: reward models, which may also hear how typical the language model finds an answer,
and the critic of a policy."""

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from realign.errors import UserError
from realign.models import build
from realign.models.batches import Batch, by_part, pad
from realign.models.chat import Encoded
from realign.models.hidden import anatomy, hidden_states, project
from realign.models.tokens import sampled_terms

SCORE_BATCH = 64  # rows


class ScalarModel(nn.Module):
    """A language model's trunk with one number a position: a reward model or a critic. `typicality` is what `rewards`
    add to the head's for each nat of it."""

    def __init__(self, trunk: nn.Module, typicality: float = 0.0):
        super().__init__()
        self.trunk, self.typicality = trunk, typicality
        width = anatomy(trunk).width
        self.head = nn.Linear(width, 1)
        self.head.weight = mx.zeros((1, width))
        self.head.bias = mx.zeros((1,))

    def __call__(self, tokens: mx.array) -> mx.array:
        """(B, T) tokens to (B, T) numbers."""
        return self.head(hidden_states(self.trunk, tokens)).squeeze(-1)


def save_scalar(model: ScalarModel, config: dict, tokenizer_from: Path, folder: Path) -> None:
    """Write a reward model: the trunk as a language model, the head beside it as head.safetensors."""
    build.save(model.trunk, config, tokenizer_from, folder)
    build.write_arrays(folder / "head.safetensors",
                       {**model.head.parameters(), "typicality": mx.array(model.typicality)})


def load_scalar(folder: Path | str) -> tuple[ScalarModel, object]:
    """`(reward model, tokenizer)` of a directory that `save_scalar` wrote; UserError where it is none."""
    head = Path(folder) / "head.safetensors"
    if not head.exists():
        raise UserError("no head.safetensors", where=str(folder), expected="the directory of a reward model")
    trunk, tokenizer, _ = build.load(str(folder))
    arrays = mx.load(str(head))
    model = ScalarModel(trunk, arrays.pop("typicality").item())
    model.head.update(arrays)
    mx.eval(model.parameters())
    return model, tokenizer


def scalar_batch(rows: Sequence[Encoded]) -> Batch:
    """`tokens` (B, T); `last` (B,), the place of each row's last token, where its head is read; and of its last answer
    the tokens' places, `answer` (B, A), with a mask, `answered` (B, A)."""
    places = [_answer(row) for row in rows]
    width = max(map(len, places))
    answer, answered = (np.zeros((len(rows), width), dtype) for dtype in (np.uint32, np.float32))
    for line, mask, place in zip(answer, answered, places, strict=True):
        line[:len(place)], mask[:len(place)] = place, 1.0
        line[len(place):] = 1  # any that has one before it
    last = np.array([len(r.tokens) - 1 for r in rows], np.uint32)
    return {"tokens": mx.array(pad([r.tokens for r in rows])), "last": mx.array(last), "answer": mx.array(answer),
            "answered": mx.array(answered)}


def _answer(row: Encoded) -> np.ndarray:
    """Places of the last run of targets, none for a row without."""
    targets = np.flatnonzero(row.mask[1:]) + 1
    return np.split(targets, np.flatnonzero(np.diff(targets) > 1) + 1)[-1]


def rewards(model: ScalarModel, batch: Batch) -> mx.array:
    """One number a row (B,): what the head says at the end, and `model.typicality` times how typical the answer is."""
    hidden = hidden_states(model.trunk, batch["tokens"])
    last = mx.take_along_axis(hidden, batch["last"][:, None, None], axis=1)[:, 0]
    told = model.head(last).squeeze(-1)
    return told + model.typicality * typicality(model, hidden, batch) if model.typicality else told


def typicality(model: ScalarModel, hidden: mx.array, batch: Batch) -> mx.array:
    """Of each row's answer the mean of log p + H over its tokens (B,), nats, by the trunk's own language model: how
    much likelier it is than what the model would sample (Meister 2023, locally typical sampling). Ways to word an
    answer have about 0; an exchanged value, which the trunk knows better than a head learns to (docs/LOG.md), lies
    far below. No gradient flows from H. 0 without an answer."""
    before = mx.take_along_axis(hidden, batch["answer"][:, :, None] - 1, axis=1)
    targets = mx.take_along_axis(batch["tokens"], batch["answer"], axis=1)
    logprobs, entropies = sampled_terms(project(model.trunk, before), targets)
    return ((logprobs + entropies) * batch["answered"]).sum(axis=1) / mx.maximum(batch["answered"].sum(axis=1), 1.0)


def score(model: ScalarModel, rows: Sequence[Encoded]) -> np.ndarray:
    """Rewards of rows, in their order, as float32."""
    order = np.argsort([len(r.tokens) for r in rows], kind="stable")
    values = np.zeros(len(rows), np.float32)

    def scored(part: np.ndarray) -> mx.array:
        return rewards(model, scalar_batch([rows[i] for i in part]))

    for part, found in by_part(scored, order, SCORE_BATCH, model):
        values[part] = np.array(found)
    return values
