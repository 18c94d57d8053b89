"""PPO and A2C: a policy learns from its own responses, with a critic, close to a reference."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from realign.models import prefix
from realign.models.batches import Batch
from realign.models.generate import Completion
from realign.models.heads import ScalarModel
from realign.models.hidden import project
from realign.models.tokens import improbable, masked_sum, policy_terms
from realign.objectives.advantages import gae, whiten
from realign.objectives.losses.policy import a2c_loss, ppo_loss, value_loss
from realign.train.loop import Loss
from realign.train.rollouts import Columns, OnPolicy
from realign.train.settings import Policy

MIN_P = 0.01  # of the likeliest token's probability: below it lies noise where the model is sure, little elsewhere


def loss_of(settings: Policy) -> Loss:
    """Clipped surrogate (or A2C), value loss, exact KL penalty, entropy bonus, and the penalty on improbable tokens,
    summed over sampled tokens.

    The last is exact, like the KL: of a sampled answer the reward tells that some token spoilt it, one in hundreds;
    this tells of every position how much would be spoilt there. Small models spread a hundredth of their probability
    over tokens that have no business there (Hewitt 2022, Truncation Sampling as Language Model Desmoothing).
    """

    def loss(model: ScalarModel, batch: Batch):
        ones = mx.ones(batch["targets"].shape)
        hidden = prefix.at_targets(model.trunk, batch)[None]
        logits, values = project(model.trunk, hidden), model.head(mx.stop_gradient(hidden)).squeeze(-1)
        logprobs, spread, kl = policy_terms(logits, batch["targets"], batch["reference_logits"])
        if settings.algorithm == "ppo":
            surrogate, weight, stats = ppo_loss(logprobs, batch["logprobs"], batch["advantages"], ones,
                                                settings.clip, settings.clip)
            clip = settings.clip
        elif settings.algorithm == "a2c":
            surrogate, weight, stats = a2c_loss(logprobs, batch["advantages"], ones)
            clip = None
        else:
            raise ValueError(f"no such algorithm: {settings.algorithm}")
        value, _, value_stats = value_loss(values, batch["values"], batch["returns"], ones, clip)
        kl_sum, entropy_sum = masked_sum(kl, ones), masked_sum(spread, ones)
        total = (surrogate + settings.value_weight * value + settings.kl_penalty * kl_sum
                 - settings.entropy_bonus * entropy_sum)
        stats = {**stats, **value_stats, "kl": kl_sum, "entropy": entropy_sum}
        if settings.improbable_penalty:
            stats["improbable"] = masked_sum(improbable(logits, batch["reference_logits"], MIN_P), ones)
            total = total + settings.improbable_penalty * stats["improbable"]
        return total, weight, stats

    return loss


def critic_estimate(s: Policy, samples: Sequence[Completion], rewards: np.ndarray) -> Columns:
    """Values, whitened GAE advantages and returns; the reward stands on the last sampled token."""
    values = [sample.values for sample in samples]
    lengths = [len(v) for v in values]
    shape = (len(values), max(lengths))
    mask, value, reward = (np.zeros(shape, np.float32) for _ in range(3))
    for i, v in enumerate(values):
        mask[i, :len(v)], value[i, :len(v)] = 1.0, v
        reward[i, len(v) - 1:len(v)] = rewards[i] * s.reward_scale  # nowhere, where nothing was sampled
    advantages, returns = gae(reward, value, mask, s.discount, s.gae_lambda)
    advantages = whiten(advantages, mask)
    return {"values": values, "advantages": [advantages[i, :n] for i, n in enumerate(lengths)],
            "returns": [returns[i, :n] for i, n in enumerate(lengths)]}


WITH_CRITIC = OnPolicy(loss_of, critic_estimate, critic=True)
