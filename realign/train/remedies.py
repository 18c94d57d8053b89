"""What to change where a policy's run breaks a limit: the decision table of DESIGN §5, applied by the run itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from realign.metrics import Metric, exact
from realign.train.settings import Limits, Policy

P = TypeVar("P", bound=Policy)
# The knobs that remedies turn.
TURNED = ("learning_rate", "kl_penalty", "reward_scale", "entropy_bonus", "improbable_penalty")


@dataclass(frozen=True)
class Attempt:
    """One training with these knobs, and the limit that it broke, if any."""

    fault: str | None
    knobs: Policy


def fault_of(kl: float, entropy: float, limits: Limits) -> str | None:
    """Which limit is broken, if any; both in nats a token, on held-out prompts."""
    if kl > limits.kl_limit:
        return "kl"
    if entropy < limits.entropy_low:
        return "entropy_low"
    return "entropy_high" if entropy > limits.entropy_high else None


def remedy(p: P, fault: str) -> P:
    """The knobs of the next attempt."""
    if fault in ("kl", "length_drift", "reward_gaming"):
        return replace(p, learning_rate=p.learning_rate / 2, kl_penalty=p.kl_penalty * 2)
    if fault == "entropy_low":
        return replace(p, reward_scale=p.reward_scale / 2, entropy_bonus=p.entropy_bonus * 2,
                       improbable_penalty=p.improbable_penalty / 2)
    if fault == "entropy_high":
        return replace(p, reward_scale=p.reward_scale * 2, entropy_bonus=p.entropy_bonus / 2)
    return replace(p, learning_rate=p.learning_rate / 2)  # a loss that is not finite


def tried(attempts: Sequence[Attempt]) -> dict[str, Metric | dict[str, Metric]]:
    """What was tried, as metrics: how often, and what was at fault."""
    faults = sorted({a.fault for a in attempts if a.fault})
    return {"attempts": exact(len(attempts)),
            "remedied": {f: exact(sum(a.fault == f for a in attempts)) for f in faults}}


def settled(attempts: Sequence[Attempt]) -> dict[str, float]:
    """The knobs that stood in the end."""
    return {name: getattr(attempts[-1].knobs, name) for name in TURNED}
