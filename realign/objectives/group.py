"""GRPO and its kin: several responses a prompt are judged against each other, without a critic.

The settings choose among them: GRPO (Shao et al. 2024) by scale "std" and aggregate "sequence"; Dr. GRPO (Liu
et al. 2025) by scale "none" and aggregate "constant"; DAPO's loss (Yu et al. 2025) by aggregate "token" and
clip_high 0.28. Rolling out is `rollouts.Rollouts`, with the policy itself for its model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from pydantic import Field

from realign.models.batches import Batch
from realign.models.generate import Completion
from realign.models.prefix import response_logits
from realign.models.tokens import place, policy_terms, sampled_terms
from realign.objectives.advantages import group_relative
from realign.objectives.losses.policy import Grpo, grpo_loss, kl_estimate, weighted
from realign.params import Rows, Times
from realign.train.loop import Loss
from realign.train.rollouts import Columns, OnPolicy


@dataclass(frozen=True)
class GroupSettings:
    """How the policy is updated from groups of responses."""

    rollouts: Times
    """How often responses are sampled and learned from."""
    prompts_per_rollout: Rows
    """Prompts that are sampled from in a rollout."""
    samples: Annotated[int, Field(ge=2)]
    """Responses a prompt: each is judged against its prompt's others."""
    minibatch: Rows
    """Responses a step."""
    epochs: Times
    """Passes over a rollout."""
    scale: Literal["std", "none"]
    """Of the advantages in a group."""
    kl: Literal["exact", "sampled"]
    """Over the vocabulary, or estimated from the sampled tokens."""
    loss: Grpo
    """The clipped surrogate."""


def loss_of(settings: GroupSettings) -> Loss:
    """The clipped surrogate and the KL penalty, aggregated as the settings say; weight: answers, or tokens.

    Statistics, means over the same: those of `grpo_loss`, and the policy's `entropy` in nats.
    """
    def loss(model: nn.Module, batch: Batch):
        def by_row(flat: mx.array) -> mx.array:
            rows, width = batch["tokens"].shape
            return place(flat[0], batch["positions"], (rows, width - 1))

        logprobs, kl, spread = map(by_row, _terms(model, batch, settings.kl))
        old, advantages = by_row(batch["logprobs"]), by_row(batch["advantages"])
        mask = by_row(mx.ones(batch["targets"].shape))
        total, weight, stats = grpo_loss(logprobs, old, advantages, mask, kl, settings.loss)
        return total, weight, {**stats, "entropy": weighted(spread, mask, settings.loss.aggregate)}

    return loss


def _terms(model: nn.Module, batch: Batch, kl: str) -> tuple[mx.array, mx.array, mx.array]:
    """Log-probability, KL to the reference and entropy of the sampled tokens, each (1, N), nats."""
    logits, targets = response_logits(model, batch)[None], batch["targets"]
    if kl == "exact":
        logprobs, spread, divergence = policy_terms(logits, targets, batch["reference_logits"])
        return logprobs, divergence, spread
    logprobs, spread = sampled_terms(logits, targets)
    return logprobs, kl_estimate(logprobs, batch["reference_logprobs"], mx.ones(targets.shape)), spread


def estimate(settings: GroupSettings, samples: Sequence[Completion], rewards: np.ndarray) -> Columns:
    """Each answer's advantage over its group, at each of its tokens; 0 in a group that earned alike."""
    groups = rewards.astype(np.float64).reshape(-1, settings.samples)
    # Relative to the first of the group, so that equal rewards leave exactly 0 and no rounding of their mean.
    advantages = group_relative(groups - groups[:, :1], settings.scale).reshape(-1)
    each = zip(samples, advantages, strict=True)
    return {"advantages": [np.full(len(sample.tokens), advantage, np.float32) for sample, advantage in each]}


BY_GROUP = OnPolicy(loss_of, estimate, critic=False)
