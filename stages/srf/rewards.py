"""Reward models on pairs: used by every SRF stage that has both."""

from collections.abc import Sequence

import numpy as np

from realign.evaluate.preferences import ranking_accuracy
from realign.metrics import Metric, mean
from realign.models import chat
from realign.models.chat import Encoded
from realign.train import reward

Pairs = list[tuple[Encoded, Encoded]]


def encode(tokenizer, rows: Sequence[dict]) -> dict[str, Pairs]:
    """`(chosen, rejected)` by split."""
    sides = [chat.encode(tokenizer, [[*row["messages"], {"role": "assistant", "content": row[side]}] for row in rows])
             for side in ("chosen", "rejected")]
    splits: dict[str, Pairs] = {"train": [], "validation": []}
    for row, chosen, rejected in zip(rows, *sides, strict=True):
        splits[row["split"]].append((chosen, rejected))
    return splits


def values(model, pairs: Pairs, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Rewards of the chosen and of the rejected sides."""
    both = reward.score(model, [c for c, _ in pairs] + [r for _, r in pairs], pad)
    return both[:len(pairs)], both[len(pairs):]


def accuracy(model, pairs: Pairs, pad: int) -> Metric:
    """Share of pairs ranked right."""
    return ranking_accuracy(*values(model, pairs, pad))


def loss_of(model, pairs: Pairs, pad: int) -> Metric:
    """Pairwise binary cross-entropy, nats a pair."""
    chosen, rejected = values(model, pairs, pad)
    return mean(np.logaddexp(0.0, rejected.astype(np.float64) - chosen))
