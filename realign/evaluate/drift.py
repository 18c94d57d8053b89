"""How far a policy has moved from its reference, and how spread its choices are, token by token."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from realign.evaluate.losses import per_token
from realign.metrics import Metric
from realign.models.batches import batch_of, by_part
from realign.models.chat import Encoded
from realign.models.prefix import response_logits
from realign.models.tokens import entropy, kl_divergence

BATCH = 32  # rows


def drift(policy, reference, rows: Sequence[Encoded]) -> tuple[Metric, Metric]:
    """`(kl, entropy)`: exact KL(policy ‖ reference) over the vocabulary and entropy of the policy, both in nats, mean
    per response token; the intervals resample responses. `rows` are the policy's own samples, masked to the
    response. `n` counts responses."""
    kls, entropies, tokens = sums(policy, reference, rows).T
    return per_token(kls, tokens), per_token(entropies, tokens)


def sums(policy, reference, rows: Sequence[Encoded]) -> np.ndarray:
    """rows × 3: the same KL and entropy, summed over each row's response tokens, and the number of these."""
    def terms(part: np.ndarray) -> tuple[mx.array, mx.array]:
        batch = batch_of([rows[i] for i in part])
        logits = response_logits(policy, batch)[None]
        return kl_divergence(logits, response_logits(reference, batch)[None])[0], entropy(logits)[0]

    summed = np.zeros((len(rows), 3))
    for part, found in by_part(terms, np.arange(len(rows)), BATCH, policy, reference):
        kl, spread = map(np.array, found)
        ends = np.cumsum([sum(rows[i].mask[1:]) for i in part])
        for row, begin, end in zip(part, [0, *ends[:-1]], ends, strict=True):
            summed[row] = kl[begin:end].sum(), spread[begin:end].sum(), end - begin
    return summed
