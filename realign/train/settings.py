"""Knobs that several stages share. A stage inherits them, so that its section of params.yaml stays flat."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from realign.errors import UserError
from realign.params import (
    Count,
    Factor,
    LearningRate,
    NonNegative,
    OpenShare,
    PartShare,
    Positive,
    PositiveShare,
    Rate,
    Rows,
    Share,
    Times,
    Tokens,
)


@dataclass(frozen=True)
class Training:
    """How a model is trained on rows."""

    seed: Count
    """Of the order of rows, and of dropout."""
    epochs: Times
    """Passes over the rows."""
    batch_size: Rows
    """Rows a step."""
    learning_rate: LearningRate
    """Peak of AdamW's learning rate, a step."""
    warmup: PartShare
    """Share of all steps in which the rate rises from 0; then a cosine down to a tenth."""
    weight_decay: Share
    """AdamW's, a step, times the rate."""
    evaluate_every: Positive
    """Steps between two evaluations on held-out rows."""
    checkpoint_every: Positive
    """Steps between two checkpoints that a killed run goes on from."""
    patience: Positive
    """Evaluations without a better one, after which training ends."""


@dataclass(frozen=True)
class Policy:
    """How a policy learns from its own samples, with a critic: PPO or A2C."""

    samples: ClassVar[int] = 1
    kl: ClassVar[str] = "exact"

    seed: Count
    """Of the prompts that are picked, and of what is sampled."""
    algorithm: Literal["ppo", "a2c"]
    """PPO (Schulman 2017), or A2C (Mnih 2016), which takes one pass: epochs 1."""
    rollouts: Times
    """How often responses are sampled and learned from."""
    prompts_per_rollout: Rows
    """Prompts that are sampled from in a rollout."""
    minibatch: Rows
    """Responses a step."""
    epochs: Times
    """Passes over a rollout."""
    learning_rate: LearningRate
    """Peak of AdamW's learning rate, a step."""
    warmup: PartShare
    """Share of all steps in which the rate rises from 0; then a cosine down to a tenth."""
    kl_penalty: NonNegative
    """Weight of the exact KL to the reference (nats a token) against the whitened advantage."""
    entropy_bonus: NonNegative
    """Weight of the policy's entropy (nats a token)."""
    improbable_penalty: NonNegative
    """Weight of the policy's probability on tokens that the reference finds next to impossible."""
    reward_scale: Rate
    """Factor of every reward."""
    value_weight: NonNegative
    """Weight of the critic's loss."""
    clip: OpenShare
    """How far the ratio of new to old probability counts, from 1."""
    discount: PositiveShare
    """γ of the advantages."""
    gae_lambda: Share
    """λ of the generalised advantage estimates (Schulman 2016)."""
    max_tokens: Tokens
    """Longest response, tokens."""

    def __post_init__(self):
        if self.algorithm == "a2c" and self.epochs != 1:
            raise UserError(f"a2c with {self.epochs} epochs", where="epochs",
                            expected="1: without a ratio, a second pass would learn from responses that the "
                            "policy no longer gives", fix="set epochs to 1, or take ppo")


@dataclass(frozen=True)
class Limits:
    """Where a policy's run is stopped or tried again. The gates have thresholds of their own, in expectations/."""

    kl_limit: Rate
    """Nats a token to the reference, on held-out prompts; beyond it the run is tried again, tamer."""
    entropy_low: NonNegative
    """Least entropy, nats a token."""
    entropy_high: Rate
    """Most entropy, nats a token."""
    length_factor: Factor
    """Times the mean length of the first rollouts, or one part in as many; beyond it the run is stopped."""
    gaming_fall: Share
    """Of the verifier's mean score (0 to 1) while the reward rises, twice in a row: the run is stopped. The last
    weights are kept, unless earlier ones score better by this times the share of the run between."""
    attempts: Times
    """Trainings at most, the first one included."""
