"""On-policy training: roll out, score, estimate advantages, update.

A critic is a head on the policy's own hidden states: no second model in memory, and its values come with sampling
and with the update. Policy and head are one model to the loop, a ScalarModel; a rollout is made when the loop asks for
its first batch, from the policy as it then is, and serves `epochs` passes of minibatches. Checkpoints fall between
rollouts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from realign.errors import UserError
from realign.models.batches import PAD, Batch, by_part, by_prompt, cut, response_batch
from realign.models.chat import Encoded
from realign.models.generate import Completion, Sampling, generate
from realign.models.heads import ScalarModel
from realign.models.prefix import response_logits
from realign.models.tokens import token_logprobs
from realign.train.distributed import ALONE, Group, split
from realign.train.loop import Loss

Columns = dict[str, list[np.ndarray]]  # per row an array over its sampled tokens


class RolloutSettings(Protocol):
    """What rolling out reads of an algorithm's settings."""

    rollouts: int
    prompts_per_rollout: int
    samples: int  # responses a prompt
    minibatch: int  # responses
    epochs: int
    kl: str  # to the reference: "exact" over the vocabulary, or "sampled" from the tokens alone


@dataclass(frozen=True)
class OnPolicy:
    """How a policy learns from its rollouts: the loss, and the columns that it needs beside the log-probabilities.

    With a `critic` a value head is trained on the policy's own hidden states.
    """

    loss: Callable[[RolloutSettings], Loss]
    estimate: Callable[[RolloutSettings, Sequence[Completion], np.ndarray], Columns]
    critic: bool


@dataclass(frozen=True)
class Rollout:
    """Sampled responses: rows masked to what was sampled, and the columns over their sampled tokens.

    For the exact KL the reference's logits are the large part: 4 bytes × vocabulary a sampled token, so 64
    responses of 64 tokens take 32 MiB at a vocabulary of 2,048 and 2.3 GiB at 152,000. The sampled KL keeps
    one number a token.
    """

    rows: list[Encoded]
    columns: Columns


def _rows(prompts: Sequence[list[int]], samples: Sequence[Completion]) -> list[Encoded]:
    return [Encoded([*p, *s.tokens], [0] * len(p) + [1] * len(s.tokens))
            for p, s in zip(prompts, samples, strict=True)]


@dataclass
class Rollouts:
    """The loop's batches. `model` is what the loop trains: the policy with its critic's head, or the policy alone
    where `estimate` (see `OnPolicy`) asks no critic. `reward` maps rows to rewards; `reference` is the frozen model of
    the penalty. At most `micro` responses go through a model at once (0: a minibatch), but in sampling and in
    `reward`. In a `group` of processes each samples, scores and trains its share of the rows, by `shares`."""

    model: nn.Module
    reference: nn.Module
    prompts: Sequence[list[int]]
    reward: Callable[[Sequence[Encoded]], np.ndarray]
    sampling: Sampling
    settings: RolloutSettings
    seed: int
    estimate: Callable[[RolloutSettings, Sequence[Completion], np.ndarray], Columns]
    micro: int = 0
    group: Group = ALONE
    shares: Sequence[float] = (1.0,)
    _current: tuple[int, Rollout, list[np.ndarray]] | None = None
    _figures: dict = field(default_factory=dict)

    def __post_init__(self):
        wanted, there = self.settings.prompts_per_rollout, len(self.prompts)
        if not 1 <= wanted <= there:
            raise UserError(f"prompts_per_rollout is {wanted}", fix="lower it, or bring more prompts",
                            expected=f"from 1 to the {there} prompts that there are")
        self.micro = self.micro or self.settings.minibatch

    def join(self, group: Group, shares: Sequence[float]) -> None:
        """From now on sample, score and train this process's share; the others do the rest."""
        self.group, self.shares = group, shares

    @property
    def policy(self) -> nn.Module:
        return self.model.trunk if isinstance(self.model, ScalarModel) else self.model

    @property
    def steps_per_rollout(self) -> int:
        responses = self.settings.prompts_per_rollout * self.settings.samples
        return self.settings.epochs * -(-responses // self.settings.minibatch)

    def __len__(self) -> int:
        return self.settings.rollouts * self.steps_per_rollout

    @property
    def made(self) -> int:
        """How many rollouts of the run there have been, the present one among them."""
        return 0 if self._current is None else self._current[0] + 1

    def micro_batches(self, step: int) -> list[Batch]:
        number, place = divmod(step, self.steps_per_rollout)
        if self._current is None or self._current[0] != number:
            if place:
                raise RuntimeError(f"step {step} lies inside a rollout, whose samples are gone: "
                                   f"checkpoint_every must be a multiple of {self.steps_per_rollout} steps")
            self._current = (number, self._collect(number), self._order(number))
        _, rollout, order = self._current
        picks = by_prompt(rollout.rows, order[place])
        return [self._batch(rollout, part) for part in cut(picks, self.micro)]

    def heaviest(self, count: int) -> list[Batch]:
        """For `memory.fit`: `count` responses to the longest prompts of a rollout, as long as they may get, with
        every column that a batch holds."""
        samples = self.settings.samples
        longest = sorted(self.prompts, key=len, reverse=True)[:self.settings.prompts_per_rollout]
        drawn = self.sampling.max_tokens
        rows = [Encoded([*p, *[PAD] * drawn], [0] * len(p) + [1] * drawn)
                for p in longest[:-(-count // samples)] for _ in range(samples)]
        nothing = np.zeros(drawn, np.float32)
        samples = [Completion([PAD] * drawn, nothing, False, nothing)] * len(rows)
        columns = self._columns(rows, samples, np.zeros(len(rows), np.float32), np.arange(len(rows)))
        return [self._batch(Rollout(rows, columns), np.arange(min(count, len(rows))))]

    @property
    def kept(self) -> int:
        """Bytes of the columns of a rollout in host memory, if all its responses are as long as they may get."""
        responses = self.settings.prompts_per_rollout * self.settings.samples
        return responses * sum(column.nbytes for column in self.heaviest(1)[0].values())

    def figures(self) -> dict[str, float]:
        """Means over the last rollout: reward, response length; with several samples a prompt also
        `zero_variance`, the share of prompts whose samples all earned the same."""
        return self._figures

    def _order(self, number: int) -> list[np.ndarray]:
        """This process's rows of every minibatch, in random order; a prompt's samples stay side by side."""
        rng = np.random.default_rng([self.seed, number, 1])
        prompts, samples, size = self.settings.prompts_per_rollout, self.settings.samples, self.settings.minibatch
        orders = (rng.permutation(prompts)[:, None] * samples + np.arange(samples)
                  for _ in range(self.settings.epochs))
        return [split(part, self.shares, self.group.rank)
                for order in orders for part in np.split(order.reshape(-1), range(size, order.size, size))]

    def _collect(self, number: int) -> Rollout:
        """Roll out, score, advantage. A prompt's samples stand side by side."""
        rng = np.random.default_rng([self.seed, number, 0])
        picks = rng.choice(len(self.prompts), self.settings.prompts_per_rollout, replace=False)
        prompts = [self.prompts[i] for i in picks for _ in range(self.settings.samples)]
        self.model.eval()
        samples, rewards = self._sampled(prompts, int(rng.integers(2**31)))
        rows = _rows(prompts, samples)
        columns = self._columns(rows, samples, rewards, np.unique(np.concatenate(self._order(number))))
        self.model.train()
        length = float(np.mean([len(s.tokens) for s in samples]))
        self._figures = {"reward": float(rewards.mean()), "length": length}
        if self.settings.samples > 1:
            groups = rewards.reshape(-1, self.settings.samples)
            self._figures["zero_variance"] = float((groups == groups[:, :1]).all(axis=1).mean())
        return Rollout(rows, columns)

    def _sampled(self, prompts: Sequence[list[int]], seed: int) -> tuple[list[Completion], np.ndarray]:
        """A response to every prompt and its reward; each process makes its share, and all have them all."""
        samples = self.settings.samples
        groups = split(range(len(prompts) // samples), self.shares, self.group.rank)
        first, own = groups.start * samples, prompts[groups.start * samples:groups.stop * samples]
        head = self.model.head if isinstance(self.model, ScalarModel) else None
        made = generate(self.policy, own, self.sampling, seed=seed, first=first, head=head)
        rewards = self._rewards(_rows(own, made)) if own else np.zeros(0, np.float32)
        if self.group.size == 1:
            return made, rewards
        told = self.group.gather([[s.tokens, s.logprobs.tolist(), s.stopped, s.values.tolist(), float(reward)]
                                  for s, reward in zip(made, rewards, strict=True)])
        found = [part for parts in told for part in parts]
        return ([Completion(tokens, np.array(logprobs, np.float32), stopped, np.array(values, np.float32))
                 for tokens, logprobs, stopped, values, _ in found], np.array([reward for *_, reward in found]))

    def _columns(self, rows: Sequence[Encoded], samples: Sequence[Completion], rewards: np.ndarray,
                 needed: np.ndarray) -> Columns:
        return {"logprobs": [s.logprobs for s in samples], **self.estimate(self.settings, samples, rewards),
                **self._reference(rows, needed)}

    def _rewards(self, rows: Sequence[Encoded]) -> np.ndarray:
        rewards = np.asarray(self.reward(rows))
        if rewards.shape != (len(rows),) or not np.isfinite(rewards).all():
            raise UserError(f"{np.isfinite(rewards).sum()} finite rewards for {len(rows)} responses",
                            where="reward", expected="one finite number a response",
                            fix="look at the reward model and its training")
        return rewards

    def _reference(self, rows: Sequence[Encoded], needed: np.ndarray) -> Columns:
        """What the KL needs of the reference for the rows that this process trains on, once for all passes over the
        rollout."""
        def told(part: np.ndarray) -> mx.array:
            batch = response_batch([rows[i] for i in part], [self.reference])
            logits = response_logits(self.reference, batch)
            exact = self.settings.kl == "exact"
            return (logits if exact else token_logprobs(logits[None], batch["targets"])[0]).astype(mx.float32)

        columns: list[np.ndarray] = [np.zeros(0, np.float32)] * len(rows)
        for part, found in by_part(told, by_prompt(rows, needed), self.micro, self.reference):
            ends = np.cumsum([sum(rows[i].mask) for i in part])[:-1]
            for i, own in zip(part, np.split(np.array(found), ends), strict=True):
                columns[i] = own
        return {"reference_logits" if self.settings.kl == "exact" else "reference_logprobs": columns}

    def _batch(self, rollout: Rollout, picks: np.ndarray) -> Batch:
        batch = response_batch([rollout.rows[i] for i in picks], [self.policy, self.reference])
        for name, column in rollout.columns.items():
            batch[name] = mx.array(np.concatenate([column[i] for i in picks]))[None]
        return batch
