"""Losses over pairs of a chosen and a rejected answer: the reward model's, and the DPO family's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import mlx.core as mx
from pydantic import Field

from realign.errors import UserError
from realign.models.tokens import Loss, count, masked
from realign.params import NonNegative, Rate

CERTAIN = -1e-6  # odds are infinite at probability 1: ORPO's mean log-probabilities stop just short of it


class PairLogprobs(NamedTuple):
    """One batch of pairs: log-probability of each whole answer (summed over its tokens, nats) and its tokens.

    Every field is (B,). The reference's may be zeros for SimPO and ORPO, which do not read them.
    """

    policy_chosen: mx.array
    policy_rejected: mx.array
    ref_chosen: mx.array
    ref_rejected: mx.array
    chosen_tokens: mx.array
    rejected_tokens: mx.array


@dataclass(frozen=True)
class Preference:
    """Settings of `dpo_loss`.

    `beta` is each paper's own: DPO's and SimPO's β, IPO's τ, ORPO's λ. `gamma` is SimPO's target margin.
    `label_smoothing` is the share of labels taken to be swapped (sigmoid and SimPO only).
    """

    variant: Literal["sigmoid", "ipo", "simpo", "orpo"] = "sigmoid"
    beta: Rate = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    gamma: NonNegative = 0.5

    def __post_init__(self):
        if self.label_smoothing and self.variant in ("ipo", "orpo"):
            raise UserError(f"{self.variant} has no label smoothing", where="label_smoothing",
                            fix="set it to 0, or take the variant sigmoid or simpo")

    @property
    def needs_reference(self) -> bool:
        """Whether the loss reads the reference's log-probabilities."""
        return self.variant in ("sigmoid", "ipo")


class _Scores(NamedTuple):
    """Per pair, each (B,): the loss, and the implicit rewards by which the policy ranks the answers."""

    loss: mx.array
    chosen: mx.array
    rejected: mx.array


def bradley_terry(chosen: mx.array, rejected: mx.array, mask: mx.array | None = None,
                  doubt: mx.array | float = 0.0) -> Loss:
    """−log σ(chosen − rejected) summed over pairs (Bradley and Terry 1952); weight: number of pairs.

    Rewards (B,); `mask` (B,) leaves out pairs that only fill the batch. `doubt` (B,) is the probability that the
    rejected side is the better one: the label is then soft, and the loss least at the margin log (1 − doubt)/doubt.
    Stats, sums over pairs:
    `accuracy` (1 where chosen is ranked strictly higher; a tie is not right), `margin` (chosen −
    rejected), `chosen_reward`, `rejected_reward`.
    """
    mask = mx.ones(chosen.shape, dtype=mx.bool_) if mask is None else mask
    chosen, rejected = masked(chosen, mask), masked(rejected, mask)
    return _summed(_Scores(_logistic(chosen - rejected, doubt), chosen, rejected), mask)


def dpo_loss(pairs: PairLogprobs, settings: Preference) -> Loss:
    """The chosen variant's loss in nats (IPO: squared), summed over pairs; weight: number of pairs.

    - `sigmoid`: DPO (Rafailov et al. 2023, eq. 7); with label smoothing, cDPO (Mitchell 2023).
    - `ipo`: (h − 1/2β)² with h the difference of the two log-ratios (Azar et al. 2023, eq. 17), each
      a mean over its tokens as in TRL; token counts of 1 give the sum, as the equation is printed.
    - `simpo`: no reference, mean log-probability per token, margin gamma (Meng et al. 2024, eq. 6).
    - `orpo`: no reference, −mean log-probability of chosen + β × odds-ratio loss (Hong et al. 2024, eq. 6).

    A pair without a token on either side weighs nothing. Stats as in `bradley_terry`, on implicit
    rewards: β × log-ratio to the reference (per token for IPO), or β × mean log-probability.
    """
    valid = (pairs.chosen_tokens > 0) & (pairs.rejected_tokens > 0)
    tokens = [mx.where(valid, n.astype(mx.float32), 1.0) for n in pairs[4:]]
    pairs = PairLogprobs(*(masked(x, valid) for x in pairs[:4]), *tokens)
    return _summed(VARIANTS[settings.variant](pairs, settings), valid)


def _sigmoid(pairs: PairLogprobs, settings: Preference) -> _Scores:
    chosen = settings.beta * (pairs.policy_chosen - pairs.ref_chosen)
    rejected = settings.beta * (pairs.policy_rejected - pairs.ref_rejected)
    return _Scores(_logistic(chosen - rejected, settings.label_smoothing), chosen, rejected)


def _ipo(pairs: PairLogprobs, settings: Preference) -> _Scores:
    chosen = (pairs.policy_chosen - pairs.ref_chosen) / pairs.chosen_tokens
    rejected = (pairs.policy_rejected - pairs.ref_rejected) / pairs.rejected_tokens
    loss = mx.square(chosen - rejected - 1 / (2 * settings.beta))
    return _Scores(loss, settings.beta * chosen, settings.beta * rejected)


def _simpo(pairs: PairLogprobs, settings: Preference) -> _Scores:
    chosen = settings.beta * pairs.policy_chosen / pairs.chosen_tokens
    rejected = settings.beta * pairs.policy_rejected / pairs.rejected_tokens
    return _Scores(_logistic(chosen - rejected - settings.gamma, settings.label_smoothing), chosen, rejected)


def _orpo(pairs: PairLogprobs, settings: Preference) -> _Scores:
    chosen = pairs.policy_chosen / pairs.chosen_tokens
    rejected = pairs.policy_rejected / pairs.rejected_tokens
    loss = -chosen - settings.beta * _log_sigmoid(_log_odds(chosen) - _log_odds(rejected))
    return _Scores(loss, settings.beta * chosen, settings.beta * rejected)


VARIANTS: dict[str, Callable[[PairLogprobs, Preference], _Scores]] = {
    "sigmoid": _sigmoid, "ipo": _ipo, "simpo": _simpo, "orpo": _orpo,
}


def _summed(scores: _Scores, mask: mx.array) -> Loss:
    loss, chosen, rejected = (masked(x, mask) for x in scores)
    stats = {
        "accuracy": (chosen > rejected).astype(mx.float32).sum(),
        "margin": (chosen - rejected).sum(),
        "chosen_reward": chosen.sum(),
        "rejected_reward": rejected.sum(),
    }
    return loss.sum(), count(mask), stats


def _logistic(margin: mx.array, smoothing: mx.array | float) -> mx.array:
    return -(1 - smoothing) * _log_sigmoid(margin) - smoothing * _log_sigmoid(-margin)


def _log_sigmoid(x: mx.array) -> mx.array:
    """log σ(x) = −softplus(−x), finite for margins of any size."""
    return -mx.logaddexp(mx.zeros_like(x), -x)


def _log_odds(logprob: mx.array) -> mx.array:
    """log(p / (1 − p)) for p = exp(logprob) below 1."""
    logprob = mx.minimum(logprob, CERTAIN)
    return logprob - mx.log(-mx.expm1(logprob))
