"""Held-out loss of a language model."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from realign.metrics import Metric, bootstrap
from realign.models.batches import batch_of, by_part, targets
from realign.models.chat import Encoded
from realign.models.prefix import response_logits
from realign.models.tokens import token_logprobs

BATCH = 32  # rows


def row_losses(model, rows: Sequence[Encoded]) -> tuple[np.ndarray, np.ndarray]:
    """Per row: cross-entropy summed over its target tokens (nats), and their number."""
    sums, counts = np.zeros(len(rows)), np.zeros(len(rows))
    order = np.argsort([len(r.tokens) for r in rows], kind="stable")

    def logprobs(part: np.ndarray) -> mx.array:
        batch = batch_of([rows[i] for i in part])
        return token_logprobs(response_logits(model, batch)[None], targets(batch)[None])[0]

    for part, found in by_part(logprobs, order, BATCH, model):
        losses = -np.array(found, np.float64)
        counts[part] = [sum(rows[i].mask[1:]) for i in part]
        sums[part] = [piece.sum() for piece in np.split(losses, np.cumsum(counts[part]).astype(int)[:-1])]
    return sums, counts


def per_token(sums: np.ndarray, counts: np.ndarray) -> Metric:
    """Mean loss a target token, nats; the interval resamples rows."""
    return bootstrap(lambda s, c: s.sum() / c.sum(), sums, counts)


def drop(before: np.ndarray, after: np.ndarray, counts: np.ndarray) -> Metric:
    """How much lower the loss a token is after than before, on the same rows (paired)."""
    return bootstrap(lambda b, a, c: (b.sum() - a.sum()) / c.sum(), before, after, counts)
