"""Training a policy against a frozen reward model: used by `rl` and `iterate`.

A run that drifts too far or narrows too much is tried again with the remedies of SRF's decision table (README),
a bounded number of times; what was done is recorded.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from realign.evaluate import capabilities
from realign.evaluate.generate import Sampling
from realign.metrics import Metric, exact
from realign.models.chat import prompt_tokens
from realign.train import checkpoint, loop, tripwires
from realign.train.policy import ActorCritic, PolicySettings, Rollouts, objective
from realign.train.progress import bar
from stages.srf.measure import Measured, Models, rewarder


@dataclass(frozen=True)
class Limits:
    """Where a run is stopped or tried again. The gates have thresholds of their own, in expectations/."""

    kl: float  # nats a token, on held-out prompts
    entropy_low: float  # nats a token
    entropy_high: float
    attempts: int


@dataclass(frozen=True)
class Knobs:
    """What the remedies turn."""

    learning_rate: float
    warmup: float
    policy: PolicySettings


@dataclass(frozen=True)
class Attempt:
    """One training with these knobs, and the limit that it broke, if any."""

    fault: str | None
    knobs: Knobs


def remedy(knobs: Knobs, fault: str) -> Knobs:
    """The knobs of the next attempt, by the decision table."""
    p = knobs.policy
    if fault == "kl":
        return replace(knobs, learning_rate=knobs.learning_rate / 2, policy=replace(p, kl_penalty=p.kl_penalty * 2))
    if fault == "entropy_low":
        return replace(knobs, policy=replace(p, reward_scale=p.reward_scale / 2, entropy_bonus=p.entropy_bonus * 2))
    if fault == "entropy_high":
        return replace(knobs, policy=replace(p, reward_scale=p.reward_scale * 2, entropy_bonus=p.entropy_bonus / 2))
    return replace(knobs, learning_rate=knobs.learning_rate / 2)  # a loss that is not finite


def tried(attempts: Sequence[Attempt]) -> dict[str, Metric | dict[str, Metric]]:
    """What was tried, as metrics: how often, what was at fault, and the knobs that stood in the end."""
    last = attempts[-1].knobs
    faults = sorted({a.fault for a in attempts if a.fault})
    return {"attempts": exact(len(attempts)), "learning_rate": exact(last.learning_rate, 1),
            "kl_penalty": exact(last.policy.kl_penalty, 1), "reward_scale": exact(last.policy.reward_scale, 1),
            "entropy_bonus": exact(last.policy.entropy_bonus, 1),
            "remedied": {f: exact(sum(a.fault == f for a in attempts)) for f in faults}}


def fault_of(kl: float, entropy: float, limits: Limits) -> str | None:
    """Which limit is broken, if any."""
    if kl > limits.kl:
        return "kl"
    if entropy < limits.entropy_low:
        return "entropy_low"
    return "entropy_high" if entropy > limits.entropy_high else None


def wire(limits: Limits) -> tripwires.Wire:
    """Stops a run in the middle that is far outside its limits: twice the KL, or half the least entropy."""
    return tripwires.first_of(tripwires.not_finite, tripwires.kl(2 * limits.kl),
                              tripwires.entropy(limits.entropy_low / 2))


def optimise(start: Callable[[], tuple], models: Models, prompts: Sequence[dict], knobs: Knobs, limits: Limits,
             judge: Callable[[object], Measured], *, max_tokens: int, seed: int, scratch: Path, origin: str):
    """`(policy, measured, history, attempts)`: train from `start()`, `(policy, critic)`, until an attempt keeps its
    limits or none is left; the last attempt stands then, for the gate to judge."""
    tokens = [prompt_tokens(models.tokenizer, chat["messages"]) for chat in prompts]
    attempts: list[Attempt] = []
    while True:
        pair = ActorCritic(*start())
        sampling = Sampling(max_tokens, 1.0, stop_tokens=capabilities.stop_tokens(models.tokenizer))
        rollouts = Rollouts(pair, models.reference, tokens, rewarder(models, prompts), sampling, knobs.policy, seed, models.pad)
        settings = loop.Settings(knobs.learning_rate, knobs.warmup, weight_decay=0.0,
                                 log_every=rollouts.steps_per_rollout, checkpoint_every=5 * rollouts.steps_per_rollout)
        mark = checkpoint.fingerprint(asdict(knobs), origin, seed, tokens)
        try:
            history = loop.train(pair, objective(knobs.policy), rollouts, settings, mark=mark, wire=wire(limits),
                                 scratch=scratch / f"attempt_{len(attempts) + 1}",
                                 progress_bar=bar(knobs.policy.algorithm)).history
            measured = judge(pair.policy)
            fault = fault_of(measured.kl.value, measured.entropy.value, limits)
        except loop.Stopped as stopped:
            history, measured = stopped.progress.history, judge(pair.policy)
            fault = str(stopped).split()[0]
        attempts.append(Attempt(fault, knobs))
        if fault is None or len(attempts) == limits.attempts:
            return pair.policy, measured, history, attempts
        knobs = remedy(knobs, fault)
