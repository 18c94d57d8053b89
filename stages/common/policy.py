"""A policy that learns from a reward model, close to the model that it started from: what several stages do alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realign import paths
from realign.errors import UserError
from realign.evaluate import policy, responses
from realign.evaluate.policy import Measured, Reward
from realign.models import build, heads
from realign.objectives.policy import WITH_CRITIC
from realign.params import NonNegative, Positive, Rows
from realign.stage import Stage
from realign.train.optimise import Outcome, Run, Task, Watch, optimise
from realign.train.settings import Limits, Policy
from stages.common import data


@dataclass(frozen=True)
class Optimised(Policy, Limits):
    """How a policy is trained on a reward, and on which prompts it is measured and watched."""

    verify_every: Positive
    """Rollouts after which the scorer judges samples for held-out prompts, beside the reward (Gao 2023)."""
    verify_prompts: Rows
    """Held-out prompts for that, after the first `heldout_prompts`."""
    heldout_prompts: Rows
    """Prompts on which the policy is measured."""
    wrong_penalty: NonNegative
    """What the reward model's reward loses in training where the scorer gives an answer nothing. Labelled pairs without
    a scorer of their own have no such loss."""

    def __post_init__(self):
        super().__post_init__()
        if not self.entropy_low < self.entropy_high:
            raise ValueError(f"entropy_low, {self.entropy_low:g}, is not below entropy_high, {self.entropy_high:g}")


@dataclass(frozen=True)
class Learnt:
    """A trained policy with its figures: what came of the training, and the rewards of what it samples."""

    outcome: Outcome
    rewards: np.ndarray


def measured(here: Stage, model: Path, reward_model: Path, chats: Sequence[dict],
             p: Optimised) -> tuple[Measured, np.ndarray]:
    """The policy of a directory on held-out prompts, against the SFT model, and the rewards of what it samples."""
    reference, tokenizer, _ = build.load(str(here.of("sft").checkpoint))
    found = policy.measure(build.load(str(model))[0], reference, tokenizer, chats, p.max_tokens, p.seed)
    return found, rewarder(reward_model, tokenizer, chats)(found.rows)


def rewarder(reward_model: Path, tokenizer, chats: Sequence[dict]) -> Reward:
    """Rewards of rows sampled for the chats, by the reward model of a directory."""
    model, own_tokenizer = heads.load_scalar(reward_model)
    return policy.rewarder(model, own_tokenizer, tokenizer, chats)


def learn(here: Stage, start: Path, reward_model: Path, prompts: Sequence[dict], held_out: Sequence[dict],
          p: Optimised, seed: int, scratch: Path) -> Learnt:
    """Train the policy of a directory on the prompts and the reward model of another, close to the SFT model; `seed`
    is that of what it is measured on, on the prompts held out."""
    reference, tokenizer, _ = build.load(str(here.of("sft").checkpoint))
    model, own_tokenizer = heads.load_scalar(reward_model)

    def reward(chats: Sequence[dict]) -> Reward:
        return policy.rewarder(model, own_tokenizer, tokenizer, chats)

    taught, scorer = reward(prompts), data.independent_scorer(here)
    if scorer and p.wrong_penalty:
        taught = policy.grounded(taught, scorer, tokenizer, prompts, p.wrong_penalty)
    task = Task(WITH_CRITIC, lambda: build.load(str(start))[0], reference, tokenizer, prompts, taught,
                lambda tuned: policy.measure(tuned, reference, tokenizer, held_out, p.max_tokens, seed),
                watch(here, p, tokenizer, reward))
    origin = build.fingerprint(str(start)) + build.fingerprint(str(reward_model))
    outcome = optimise(task, p, p, Run(scratch, origin))
    return Learnt(outcome, reward(held_out)(outcome.measured.rows))


def watch(here: Stage, p: Optimised, tokenizer, reward: Callable[[Sequence[dict]], Reward]) -> Watch | None:
    """What watches for gaming, on held-out prompts that the stage's own figures do not use; None where nothing
    can."""
    scorer = data.independent_scorer(here)
    if scorer is None:
        return None
    chats = data.prompts(here, "validation")[p.heldout_prompts:][:p.verify_prompts]
    if len(chats) < p.verify_prompts or not chats:
        raise UserError(f"{len(chats)} held-out prompts are left beside the first {p.heldout_prompts}",
                        where=f"{paths.PARAMS}: {here.workflow}.{here.name}.verify_prompts",
                        expected=f"{max(p.verify_prompts, 1)}, and at least 1",
                        fix="lower it or heldout_prompts, or bring more held-out prompts")
    rewards, sampling = reward(chats), responses.at_temperature(tokenizer, p.max_tokens)

    def figures(tuned) -> dict[str, float]:
        rows = responses.rows(tuned, tokenizer, chats, sampling, p.seed)
        scores = [s.value for s in scorer(chats, responses.texts(tokenizer, rows))]
        return {"verifier": float(np.mean(scores)), "reward": float(rewards(rows).mean())}

    identity = [here.params(data.Scorer, "scorer").name, p.verify_every, [chat["row_id"] for chat in chats]]
    return Watch(figures, p.verify_every, identity)
