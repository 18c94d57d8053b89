"""How far a policy has moved from its reference, and how spread its choices are, token by token."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from realign.metrics import Metric, bootstrap
from realign.models.batches import batch_of, by_part
from realign.models.chat import Encoded
from realign.models.prefix import response_logits
from realign.models.tokens import entropy, kl_divergence

BATCH = 32  # rows


def drift(policy, reference, rows: Sequence[Encoded]) -> tuple[Metric, Metric]:
    """`(kl, entropy)`: exact KL(policy ‖ reference) over the vocabulary and entropy of the policy, both in nats, mean
    per response token; the intervals resample responses. `rows` are the policy's own samples, masked to the
    response. `n` counts responses."""
    def terms(part: np.ndarray) -> tuple[mx.array, mx.array]:
        batch = batch_of([rows[i] for i in part])
        logits = response_logits(policy, batch)[None]
        return kl_divergence(logits, response_logits(reference, batch)[None])[0], entropy(logits)[0]

    sums = []
    for part, found in by_part(terms, np.arange(len(rows)), BATCH, policy, reference):
        kl, spread = map(np.array, found)
        ends = np.cumsum([sum(rows[i].mask[1:]) for i in part])
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            sums.append((kl[begin:end].sum(), spread[begin:end].sum(), end - begin))
    kls, entropies, tokens = np.array(sums, np.float64).reshape(-1, 3).T

    def per_token(total, count):
        return total.sum() / count.sum()

    return bootstrap(per_token, kls, tokens), bootstrap(per_token, entropies, tokens)
