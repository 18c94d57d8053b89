"""Reward models: pairs to batches, the pairwise loss, and scoring."""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from realign.models.chat import Encoded
from realign.models.heads import ScalarModel, hidden_states
from realign.train.batches import by_part, cut, heaviest, pad, plan
from realign.train.loop import Batch
from realign.train.losses.preference import bradley_terry

SCORE_BATCH = 64  # rows


def batch_of(rows: Sequence[Encoded], pad_token: int) -> Batch:
    """`tokens` (B, T) and `last` (B,), the place of each row's last token, where its reward is read."""
    tokens = pad([r.tokens for r in rows], pad_token)
    last = np.array([len(r.tokens) - 1 for r in rows], np.uint32)
    return {"tokens": mx.array(tokens), "last": mx.array(last)}


def rewards(model: ScalarModel, batch: Batch) -> mx.array:
    """One number a row (B,)."""
    hidden = hidden_states(model.trunk, batch["tokens"])
    last = mx.take_along_axis(hidden, batch["last"][:, None, None], axis=1)[:, 0]
    return model.head(last).squeeze(-1)


def loss(model: ScalarModel, batch: Batch):
    """Pairwise binary cross-entropy (Bradley–Terry); the batch's first half is chosen, the second rejected.

    With `doubts` (B/2,) in the batch, the labels are soft: see `bradley_terry`.
    """
    values = rewards(model, batch)
    half = values.shape[0] // 2
    return bradley_terry(values[:half], values[half:], doubt=batch.get("doubts", 0.0))


def score(model: ScalarModel, rows: Sequence[Encoded], pad_token: int) -> np.ndarray:
    """Rewards of rows, in their order, as float32."""
    order = np.argsort([len(r.tokens) for r in rows], kind="stable")
    values = np.zeros(len(rows), np.float32)

    def scored(part: np.ndarray) -> mx.array:
        return rewards(model, batch_of([rows[i] for i in part], pad_token))

    for part, found in by_part(scored, order, SCORE_BATCH, model):
        values[part] = np.array(found)
    return values


@dataclass(frozen=True)
class PairBatches:
    """Pairs `(chosen, rejected)` in the order of `plan`, a step cut into micro-batches of at most `micro` pairs; each
    with its doubt where `doubts` are given."""

    pairs: Sequence[tuple[Encoded, Encoded]]
    steps: list[np.ndarray]
    pad_token: int
    micro: int
    doubts: Sequence[float] | None = None

    @classmethod
    def of(cls, pairs: Sequence[tuple[Encoded, Encoded]], batch_size: int, epochs: int, seed: int,
           pad_token: int, doubts: Sequence[float] | None = None, micro: int | None = None) -> "PairBatches":
        lengths = [max(len(c.tokens), len(r.tokens)) for c, r in pairs]
        return cls(pairs, plan(lengths, batch_size, epochs, seed), pad_token, micro or batch_size, doubts)

    def __len__(self) -> int:
        return len(self.steps)

    def figures(self) -> dict[str, float]:
        return {}

    def micro_batches(self, step: int) -> list[Batch]:
        return [self._batch(part) for part in cut(self.steps[step], self.micro)]

    def heaviest(self, count: int) -> list[Batch]:
        """For `memory.fit`: the heaviest micro-batches of at most `count` pairs."""
        widths = [max(len(c.tokens), len(r.tokens)) for c, r in self.pairs]
        return [self._batch(part) for part in heaviest(self.steps, count, widths, [1] * len(self.pairs))]

    def _batch(self, picks: np.ndarray) -> Batch:
        pairs = [self.pairs[i] for i in picks]
        batch = batch_of([c for c, _ in pairs] + [r for _, r in pairs], self.pad_token)
        if self.doubts is not None:
            batch["doubts"] = mx.array([self.doubts[i] for i in picks], mx.float32)
        return batch
