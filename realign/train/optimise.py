"""Training a policy on a reward, within limits.

A run that drifts too far, narrows too much or games its reward is tried again with the remedies of the decision table
(`remedies`), a bounded number of times; what was done is recorded.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlx.nn as nn
import numpy as np

from realign.models.chat import Encoded, prompt_tokens, stop_tokens
from realign.models.generate import Sampling
from realign.models.heads import ScalarModel
from realign.models.progress import bar
from realign.train import checkpoint, distributed, loop, memory, stopping
from realign.train.remedies import Attempt, fault_of, remedy
from realign.train.rollouts import OnPolicy, Rollouts
from realign.train.settings import Limits, Policy

Figures = dict[str, float]


@dataclass(frozen=True)
class Watch:
    """What watches for a gamed reward: `figures(policy)` gives the mean score of a scorer that is not the reward
    (`verifier`) and the mean `reward` of the same samples, `every` so many rollouts. `identity` tells its prompts and
    its scorer, as JSON."""

    figures: Callable[[nn.Module], Figures]
    every: int
    identity: Any


@dataclass(frozen=True)
class Task:
    """What a policy is to learn: from which prompts and rewards, by which objective, close to which reference.

    `start()` loads the policy anew for every attempt. `measure(policy)` gives what held-out prompts say of it: an
    object with `kl` and `entropy`, both Metric.
    """

    objective: OnPolicy
    start: Callable[[], nn.Module]
    reference: nn.Module
    tokenizer: Any
    prompts: Sequence[dict]
    reward: Callable[[Sequence[Encoded]], np.ndarray]
    measure: Callable[[nn.Module], Any]
    watch: Watch | None = None


@dataclass(frozen=True)
class Run:
    """Where a run keeps its checkpoints, and the fingerprint of the models that it is made from."""

    scratch: Path
    origin: str


@dataclass(frozen=True)
class Outcome:
    """The policy of the last attempt, what `Task.measure` found of it, the history of its training, all attempts."""

    policy: nn.Module
    measured: Any
    history: list[dict]
    attempts: list[Attempt]


def optimise(task: Task, p: Policy, limits: Limits, run: Run) -> Outcome:
    """Train until an attempt keeps its limits or none is left; the last attempt stands then, for the gate to judge."""
    tokens = [prompt_tokens(task.tokenizer, chat["messages"]) for chat in task.prompts]
    attempts: list[Attempt] = []
    while True:
        policy = task.start()
        model = ScalarModel(policy) if task.objective.critic else policy
        sampling = Sampling(p.max_tokens, 1.0, stop_tokens=stop_tokens(task.tokenizer))
        rollouts = Rollouts(model, task.reference, tokens, task.reward, sampling, p, p.seed, task.objective.estimate)
        run_id = checkpoint.run_id(asdict(p), asdict(limits), run.origin, tokens, task.watch and task.watch.identity)
        history, said = _train(task, rollouts, p, limits, run_id, run.scratch / f"attempt_{len(attempts) + 1}")
        measured = task.measure(policy)
        fault = said.split()[0] if said else fault_of(measured.kl.value, measured.entropy.value, limits)
        fault = distributed.current().first(fault)  # unlike machines may measure unlike figures
        attempts.append(Attempt(fault, p))
        if fault is None or len(attempts) == limits.attempts:
            return Outcome(policy, measured, history, attempts)
        p = remedy(p, fault)


def stop_conditions(limits: Limits, gaming: stopping.StopCondition) -> stopping.StopCondition:
    """Stops a run in the middle that is far outside its limits (twice the KL, or half the least entropy),
    whose answers grow or shrink too far, or that is `gaming` its reward."""
    return stopping.first_of(stopping.not_finite, stopping.kl(2 * limits.kl_limit),
                             stopping.entropy(limits.entropy_low / 2),
                             stopping.length_drift(limits.length_factor), gaming)


def gaming(limits: Limits, before: Figures) -> stopping.StopCondition:
    """Whether the reward rises while the verifier falls, counted from the figures `before` the run; never where there
    are none."""
    condition = stopping.reward_gaming(limits.gaming_fall, reward="validation_reward")
    first = {f"validation_{name}": value for name, value in before.items()}
    return lambda history: condition([first, *history])


def validated(watch: Watch, rollouts: Rollouts, limits: Limits, _: nn.Module) -> Figures:
    """The watch's figures, and the `objective` that the best weights have least of: the later ones, unless
    the verifier fell by `gaming_fall` times the share of the run between."""
    found = watch.figures(rollouts.policy)
    later = limits.gaming_fall * rollouts.made / rollouts.settings.rollouts
    return {"objective": -found["verifier"] - later, **found}


def _train(task: Task, rollouts: Rollouts, p: Policy, limits: Limits, run_id: str,
           scratch: Path) -> tuple[list[dict], str | None]:
    """`(history, reason)` of one training: the reason for which it stopped, in the middle or in the end, else None.
    The model is left at its best weights, the last where nothing validates."""
    model, loss, steps = rollouts.model, task.objective.loss(p), rollouts.steps_per_rollout
    every = task.watch.every if task.watch else 0
    validate = task.watch and partial(validated, task.watch, rollouts, limits)
    found = memory.fit(model, loss, rollouts.heaviest, p.minibatch, limit=memory.room(model) - rollouts.kept,
                       validates=validate is not None)
    print(found, file=sys.stderr)
    rollouts.micro = found.micro
    settings = loop.Settings(p.learning_rate, p.warmup, weight_decay=0.0, log_every=steps,
                             checkpoint_every=5 * steps, evaluate_every=every * steps, patience=len(rollouts))
    games = gaming(limits, distributed.current().by_first(validate)(model) if validate else {})
    try:
        history = loop.train(model, loss, rollouts, settings, run_id=run_id, validate=validate,
                             stop_when=stop_conditions(limits, games), scratch=scratch,
                             progress_bar=bar("policy")).history
    except loop.Stopped as stopped:
        return stopped.progress.history, str(stopped)
    return history, games(history)
