"""Training a policy against a frozen reward model: used by `rl` and `iterate`.

A run that drifts too far, narrows too much or games its reward is tried again with the remedies of SRF's decision
table (README), a bounded number of times; what was done is recorded.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import mlx.nn as nn
import numpy as np

from realign.evaluate import capabilities
from realign.evaluate.generate import Sampling
from realign.evaluate.scorers import Scorer
from realign.metrics import Metric, exact
from realign.models.chat import prompt_tokens
from realign.models.heads import ScalarModel
from realign.train import checkpoint, distributed, loop, memory, tripwires
from realign.train.policy import PolicySettings, Rollouts, objective
from realign.train.progress import bar
from stages.srf.measure import Measured, Models, rewarder, sampled, texts


@dataclass(frozen=True)
class Limits:
    """Where a run is stopped or tried again. The gates have thresholds of their own, in expectations/."""

    kl: float  # nats a token, on held-out prompts
    entropy_low: float  # nats a token
    entropy_high: float
    length_factor: float  # mean response length, against that of the first rollouts
    gaming_fall: float  # of the verifier's mean score, while the reward rises
    attempts: int


@dataclass(frozen=True)
class Knobs:
    """What the remedies turn."""

    learning_rate: float
    warmup: float
    policy: PolicySettings


@dataclass(frozen=True)
class Verifier:
    """A scorer that is not the reward model, asked during training on held-out prompts of its own."""

    name: str
    scorer: Scorer
    chats: Sequence[dict]
    every: int  # rollouts

    def figures(self, policy, models: Models, max_tokens: int, seed: int) -> dict[str, float]:
        """Mean score (`verifier`) and mean reward of the same samples."""
        rows = sampled(policy, models.tokenizer, self.chats, max_tokens, seed)
        scores = [s.value for s in self.scorer(self.chats, texts(models.tokenizer, rows))]
        return {"verifier": float(np.mean(scores)), "reward": float(rewarder(models, self.chats)(rows).mean())}

    @property
    def mark(self) -> list:
        return [self.name, self.every, [chat["row_id"] for chat in self.chats]]


@dataclass(frozen=True)
class Attempt:
    """One training with these knobs, and the limit that it broke, if any."""

    fault: str | None
    knobs: Knobs


def remedy(knobs: Knobs, fault: str) -> Knobs:
    """The knobs of the next attempt, by the decision table."""
    p = knobs.policy
    if fault in ("kl", "length_drift", "reward_gaming"):
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


def wire(limits: Limits, gaming: tripwires.Wire) -> tripwires.Wire:
    """Stops a run in the middle that is far outside its limits (twice the KL, or half the least entropy),
    whose answers grow or shrink too far, or that is `gaming` its reward."""
    return tripwires.first_of(tripwires.not_finite, tripwires.kl(2 * limits.kl),
                              tripwires.entropy(limits.entropy_low / 2),
                              tripwires.length_drift(limits.length_factor), gaming)


def gaming(limits: Limits, before: dict[str, float]) -> tripwires.Wire:
    """The wire of a reward that rises while the verifier falls, counted from the figures `before` the run;
    untouched where there are none."""
    watch = tripwires.reward_gaming(limits.gaming_fall, reward="validation_reward")
    first = {f"validation_{name}": value for name, value in before.items()}
    return lambda history: watch([first, *history])


def optimise(start: Callable[[], nn.Module], models: Models, prompts: Sequence[dict], knobs: Knobs, limits: Limits,
             judge: Callable[[object], Measured], *, max_tokens: int, seed: int, scratch: Path, origin: str,
             verifier: Verifier | None = None):
    """`(policy, measured, history, attempts)`: train from the policy `start()` until an attempt keeps its limits or
    none is left; the last attempt stands then, for the gate to judge."""
    tokens = [prompt_tokens(models.tokenizer, chat["messages"]) for chat in prompts]
    sampling = Sampling(max_tokens, 1.0, stop_tokens=capabilities.stop_tokens(models.tokenizer))
    attempts: list[Attempt] = []
    while True:
        pair = ScalarModel(start())
        rollouts = Rollouts(pair, models.reference, tokens, rewarder(models, prompts), sampling, knobs.policy, seed,
                            models.pad)
        mark = checkpoint.fingerprint(asdict(knobs), asdict(limits), origin, seed, tokens,
                                      verifier and verifier.mark)
        validate = verifier and partial(validated, verifier, models, rollouts, limits)
        history, said = _train(pair, rollouts, knobs, limits, validate, every=verifier.every if verifier else 0,
                               mark=mark, scratch=scratch / f"attempt_{len(attempts) + 1}")
        measured = judge(pair.trunk)
        fault = said.split()[0] if said else fault_of(measured.kl.value, measured.entropy.value, limits)
        fault = distributed.current().first(fault)  # unlike machines may measure unlike figures
        attempts.append(Attempt(fault, knobs))
        if fault is None or len(attempts) == limits.attempts:
            return pair.trunk, measured, history, attempts
        knobs = remedy(knobs, fault)


def validated(verifier: Verifier, models: Models, rollouts: Rollouts, limits: Limits,
              pair: ScalarModel) -> dict[str, float]:
    """The verifier's figures, and the `objective` that the best weights have least of: the later ones, unless
    the verifier fell by `gaming_fall` times the share of the run between."""
    found = verifier.figures(pair.trunk, models, rollouts.sampling.max_tokens, rollouts.seed)
    later = limits.gaming_fall * rollouts.made / rollouts.settings.rollouts
    return {"objective": -found["verifier"] - later, **found}


def _train(pair: ScalarModel, rollouts: Rollouts, knobs: Knobs, limits: Limits,
           validate: Callable[[ScalarModel], dict[str, float]] | None, *, every: int, mark: str, scratch: Path):
    """`(history, wire)` of one training, validated `every` so many rollouts: the wire that was touched, in the
    middle or in the end, else None. The pair is left at its best weights, the last where nothing validates."""
    loss, steps = objective(knobs.policy), rollouts.steps_per_rollout
    found = memory.fit(pair, loss, rollouts.heaviest, knobs.policy.minibatch,
                       limit=memory.room(pair) - rollouts.kept, validates=validate is not None)
    print(found, file=sys.stderr)
    rollouts.micro = found.micro
    settings = loop.Settings(knobs.learning_rate, knobs.warmup, weight_decay=0.0, log_every=steps,
                             checkpoint_every=5 * steps, evaluate_every=every * steps, patience=len(rollouts))
    games = gaming(limits, distributed.current().by_first(validate)(pair) if validate else {})
    try:
        history = loop.train(pair, loss, rollouts, settings, mark=mark, validate=validate,
                             wire=wire(limits, games), scratch=scratch,
                             progress_bar=bar(knobs.policy.algorithm)).history
    except loop.Stopped as stopped:
        return stopped.progress.history, str(stopped)
    return history, games(history)
