"""Supervised fine-tuning: the log-probability of the answer's tokens."""

import mlx.core as mx

from realign.train.losses.tokens import Loss, count, masked_sum, token_logprobs


def sft_loss(logits: mx.array, targets: mx.array, mask: mx.array) -> Loss:
    """Cross-entropy in nats, summed over the target tokens that the mask marks; weight: their number.

    logits (B, T, V), targets and mask (B, T). Whatever id stands at a masked position is ignored.
    Nothing marked gives total 0 and weight 0.
    """
    targets = mx.where(mask.astype(mx.bool_), targets, 0)
    return -masked_sum(token_logprobs(logits, targets), mask), count(mask), {}
