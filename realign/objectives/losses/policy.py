"""Policy-gradient losses: PPO, A2C and GRPO, with the critic's.

Log-probabilities, advantages and masks are (B, T); the mask marks the sampled tokens. Gradients flow
to `logprobs` (or `values`) alone: old log-probabilities, advantages and returns arrive as constants.
"""

from dataclasses import dataclass
from typing import Literal

import mlx.core as mx

from realign.errors import UserError
from realign.models.tokens import Loss, count, masked
from realign.params import Count, NonNegative, OpenShare


@dataclass(frozen=True)
class Grpo:
    """Settings of `grpo_loss`; the defaults are those of DeepSeekMath (Shao et al. 2024).

    `aggregate`: "sequence" averages over each answer's tokens, then over answers (GRPO); "token" averages
    over all tokens (DAPO, Yu et al. 2025); "constant" divides each answer's sum by `max_tokens`, then
    averages over answers (Dr. GRPO, Liu et al. 2025, with `group_relative(scale="none")`).
    DAPO's clip-higher is `clip_high=0.28`.
    """

    clip_low: OpenShare = 0.2
    clip_high: OpenShare = 0.2
    kl_weight: NonNegative = 0.04
    aggregate: Literal["sequence", "token", "constant"] = "sequence"
    max_tokens: Count = 0

    def __post_init__(self):
        if (self.aggregate == "constant") != (self.max_tokens > 0):
            raise UserError(f"max_tokens is {self.max_tokens} with aggregate {self.aggregate!r}",
                            where="grpo.max_tokens",
                            expected="the longest answer in tokens for 'constant', 0 for the others")


def ppo_loss(
    logprobs: mx.array, old_logprobs: mx.array, advantages: mx.array, mask: mx.array,
    clip_low: float = 0.2, clip_high: float = 0.2,
) -> Loss:
    """−min(r A, clip(r, 1 − clip_low, 1 + clip_high) A) summed over sampled tokens; weight: their number.

    r = exp(logprobs − old_logprobs); Schulman et al. 2017, eq. 7. Stats, sums over tokens:
    `clip_fraction` (1 where the clip holds the gradient back) and `approx_kl` (r − 1 − log r, an unbiased
    estimate of KL(old‖new) in nats on tokens sampled from old; Schulman 2020).
    """
    loss, stats = _clipped(logprobs, old_logprobs, advantages, mask, clip_low, clip_high)
    return loss.sum(), count(mask), {name: x.sum() for name, x in stats.items()}


def a2c_loss(logprobs: mx.array, advantages: mx.array, mask: mx.array) -> Loss:
    """−A log π summed over sampled tokens; weight: their number (Mnih et al. 2016).

    Stats: `logprob`, the sum of the sampled tokens' log-probabilities, nats.
    """
    logprobs = masked(logprobs, mask)
    return -(logprobs * masked(advantages, mask)).sum(), count(mask), {"logprob": logprobs.sum()}


def value_loss(
    values: mx.array, old_values: mx.array, returns: mx.array, mask: mx.array, clip: float | None = None,
) -> Loss:
    """½ (value − return)² summed over sampled tokens; weight: their number.

    With `clip`, the larger of that and the same error of the value held within `clip` of the old one,
    as in the reference implementation of PPO. Stats, sums over tokens: `squared_error` (without ½ and
    clip) and `value_clip_fraction` (1 where the clipped error is the larger).
    """
    values, old_values, returns = (masked(x, mask) for x in (values, old_values, returns))
    error = held = mx.square(values - returns)
    clipped = mx.zeros(error.shape)
    if clip is not None:
        moved = values - old_values
        held = mx.square(old_values + mx.clip(moved, -clip, clip) - returns)
        # Within the clip both are the same number, but for rounding.
        clipped = ((mx.abs(moved) > clip) & (held > error)).astype(mx.float32)
    stats = {"squared_error": error.sum(), "value_clip_fraction": clipped.sum()}
    return 0.5 * mx.maximum(error, held).sum(), count(mask), stats


def grpo_loss(
    logprobs: mx.array, old_logprobs: mx.array, advantages: mx.array, mask: mx.array,
    kl: mx.array | None, settings: Grpo,
) -> Loss:
    """PPO's clipped term + kl_weight × `kl`, aggregated as the settings say; weight: answers, or tokens.

    `advantages` (B, T), or (B,) for one per answer. `kl` (B, T) to the reference per token: exact
    (`kl_divergence`) or estimated (`kl_estimate`); None leaves it out. The weight is the number of answers
    with a sampled token, and of tokens for the aggregate "token". Stats, means over each answer (or
    token) summed over the same weight: `clip_fraction`, `approx_kl`, and `kl` where given.
    """
    if advantages.ndim == 1:
        advantages = mx.broadcast_to(advantages[:, None], mask.shape)
    loss, stats = _clipped(logprobs, old_logprobs, advantages, mask, settings.clip_low, settings.clip_high)
    if kl is not None:
        stats["kl"] = masked(kl, mask)
        loss = loss + settings.kl_weight * stats["kl"]
    stats = {name: weighted(x, mask, settings.aggregate) for name, x in stats.items()}
    if settings.aggregate == "token":
        return loss.sum(), count(mask), stats
    answers = count(_lengths(mask) > 0)
    if settings.aggregate == "sequence":
        return weighted(loss, mask, settings.aggregate), answers, stats
    return loss.sum() / settings.max_tokens, answers, stats


def weighted(x: mx.array, mask: mx.array, aggregate: str) -> mx.array:
    """`x` (B, T) summed so that over the weight of `grpo_loss` it is a mean: over tokens where they weigh alike,
    else over answers the mean of each."""
    x = masked(x, mask)
    return x.sum() if aggregate == "token" else (x.sum(axis=1) / mx.maximum(_lengths(mask), 1.0)).sum()


def _lengths(mask: mx.array) -> mx.array:
    return mask.astype(mx.bool_).sum(axis=1).astype(mx.float32)


def kl_estimate(logprobs: mx.array, ref_logprobs: mx.array, mask: mx.array) -> mx.array:
    """q/p − 1 − log(q/p) per sampled token, (B, T), nats, 0 off the mask: never negative, unbiased for
    KL(policy‖reference) in value on the policy's own samples (Schulman 2020, k3; GRPO's eq. 4)."""
    gap = masked(ref_logprobs, mask) - masked(logprobs, mask)
    return mx.expm1(gap) - gap


def _clipped(logprobs, old_logprobs, advantages, mask, clip_low, clip_high):
    """The clipped surrogate's loss per token and its statistics, each (B, T), 0 off the mask."""
    gap = masked(logprobs, mask) - masked(old_logprobs, mask)
    advantages = masked(advantages, mask)
    ratio = mx.exp(gap)
    free = -ratio * advantages
    held = -mx.clip(ratio, 1 - clip_low, 1 + clip_high) * advantages
    stats = {"clip_fraction": (held > free).astype(mx.float32), "approx_kl": mx.expm1(gap) - gap}
    return mx.maximum(free, held), stats
