"""Stop conditions: pure functions of a run's history, each of which names the reason to stop, or None.

A history is the records of the loop, the present step last. It is part of the checkpoint, so a resumed run
stops where the unbroken one does. The first word of a reason is its name; the figure and the limit follow.
"""

import math
from collections.abc import Callable, Sequence

History = Sequence[dict[str, float]]
StopCondition = Callable[[History], str | None]


def not_finite(history: History) -> str | None:
    """The condition of every run: a loss, or a norm of its gradient, that is not a number."""
    for name in ("loss", "grad_norm"):
        if not math.isfinite(value := history[-1].get(name, 0.0)):
            return f"{name} {value}, limit: a finite number"
    return None


def kl(limit: float) -> StopCondition:
    """Drift from the reference, nats a token, above `limit`."""
    def reason(history: History) -> str | None:
        now = history[-1]["kl"]
        return None if now <= limit else f"kl {now:.3f} nats a token, limit {limit:g}"

    return reason


def entropy(low: float, high: float = math.inf) -> StopCondition:
    """Entropy of the policy, nats a token, outside `low` to `high`."""
    def reason(history: History) -> str | None:
        now = history[-1]["entropy"]
        if low <= now <= high:
            return None
        side, limit = ("high", high) if now > high else ("low", low)
        return f"entropy_{side} {now:.3f} nats a token, limit {limit:g}"

    return reason


def length_drift(factor: float) -> StopCondition:
    """Mean response length over `factor` times that of the first rollouts, or under one part in `factor`."""
    def reason(history: History) -> str | None:
        first, now = history[0]["length"], history[-1]["length"]
        if first / factor <= now <= first * factor:
            return None
        return (f"length_drift {now:.1f} tokens against {first:.1f} of the first rollouts, "
                f"limit {factor:g} times")

    return reason


def reward_gaming(fall: float, evaluations: int = 2, reward: str = "reward",
                  verifier: str = "validation_verifier") -> StopCondition:
    """The reward above, and a held-out verifier more than `fall` below, what they were when the verifier was
    at its best; in each of the last `evaluations` (Gao, Schulman and Hilton 2023, Scaling Laws for Reward
    Model Overoptimization: the proxy rises while the gold score falls).

    The condition looks at the records that the verifier is in, each with the last reward known by then; as the
    loop evaluates after a step, it holds at the step after the evaluation.
    """
    def reason(history: History) -> str | None:
        seen = _evaluated(history, reward, verifier)
        if len(seen) <= evaluations:
            return None
        before, last = seen[:-evaluations], seen[-evaluations:]
        best_reward, best = max(before, key=lambda pair: pair[1])
        if not all(r > best_reward and v < best - fall for r, v in last):
            return None
        now_reward, now = last[-1]
        return (f"reward_gaming {verifier} {now:.3f} from {best:.3f} while {reward} rose from "
                f"{best_reward:.3f} to {now_reward:.3f}, limit {fall:g} below in {evaluations} evaluations")

    return reason


def _evaluated(history: History, reward: str, verifier: str) -> list[tuple[float, float]]:
    """`(reward, verifier)` of every evaluation."""
    seen, known = [], None
    for record in history:
        known = record.get(reward, known)
        if verifier in record and known is not None:
            seen.append((known, record[verifier]))
    return seen


def first_of(*conditions: StopCondition) -> StopCondition:
    """One condition that holds where any of them does, and says what the first of those says."""
    def reason(history: History) -> str | None:
        return next((said for condition in conditions if (said := condition(history)) is not None), None)

    return reason
