"""Reward models: pairs of answers, the pairwise loss, and how well a model ranks pairs."""

import math
from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from realign.evaluate.preferences import ranking_accuracy
from realign.metrics import Metric, mean
from realign.models import chat
from realign.models.batches import Batch
from realign.models.chat import Encoded
from realign.models.heads import ScalarModel, rewards, scalar_batch, score
from realign.objectives.losses.preference import bradley_terry
from realign.train.fit import Objective

Pair = tuple[Encoded, Encoded]  # chosen, rejected
Doubted = tuple[Encoded, Encoded, float]  # and the probability that the rejected side is the better one


def collate(rows: Sequence[Doubted]) -> Batch:
    """A batch whose first half is chosen, the second rejected, with the `doubts` of the pairs."""
    batch = scalar_batch([chosen for chosen, _, _ in rows] + [rejected for _, rejected, _ in rows])
    return batch | {"doubts": mx.array([doubt for *_, doubt in rows], mx.float32)}


def weigh(row: Doubted) -> tuple[int, int]:
    """Tokens of the longer side; a pair is one target."""
    return max(len(row[0].tokens), len(row[1].tokens)), 1


def loss(model: ScalarModel, batch: Batch):
    """Pairwise binary cross-entropy (Bradley–Terry) with soft labels: see `bradley_terry`."""
    values = rewards(model, batch)
    half = values.shape[0] // 2
    return bradley_terry(values[:half], values[half:], doubt=batch["doubts"])


# Rows are pairs, each with its doubt.
REWARD = Objective("reward model", loss, collate, weigh)


def doubts(gaps: Sequence[float], certainty: float) -> list[float]:
    """For every pair 1 − σ(certainty × gap) of its scores: the reward then learns by how much, and being wrong weighs
    more than being plain."""
    return [1 / (1 + math.exp(certainty * gap)) for gap in gaps]


def encode_pairs(tokenizer, rows: Sequence[dict]) -> dict[str, list[Pair]]:
    """`(chosen, rejected)` of every row of PAIRS, encoded, by split."""
    sides = [chat.encode(tokenizer, [chat.with_answer(row, row[side]) for row in rows])
             for side in ("chosen", "rejected")]
    splits: dict[str, list[Pair]] = {"train": [], "validation": []}
    for row, chosen, rejected in zip(rows, *sides, strict=True):
        splits[row["split"]].append((chosen, rejected))
    return splits


def values(model: ScalarModel, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Rewards of the chosen and of the rejected sides."""
    both = score(model, [c for c, _ in pairs] + [r for _, r in pairs])
    return both[:len(pairs)], both[len(pairs):]


def accuracy(model: ScalarModel, pairs: Sequence[Pair]) -> Metric:
    """Share of pairs ranked right."""
    return ranking_accuracy(*values(model, pairs))


def mean_loss(chosen: np.ndarray, rejected: np.ndarray) -> Metric:
    """Pairwise binary cross-entropy of rewards, nats a pair."""
    return mean(np.logaddexp(0.0, rejected.astype(np.float64) - chosen))
