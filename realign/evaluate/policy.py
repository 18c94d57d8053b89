"""A policy on held-out prompts: what it samples, what that earns, and how far it has moved from its reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.nn as nn
import numpy as np

from realign.evaluate import responses
from realign.evaluate.drift import drift
from realign.evaluate.scorers import Scorer
from realign.metrics import Metric
from realign.models.batches import prompt_of
from realign.models.chat import Encoded, encode, prompt_tokens, same_tokens, with_answer
from realign.models.heads import ScalarModel, score

Reward = Callable[[Sequence[Encoded]], np.ndarray]  # of rows sampled for known prompts


@dataclass(frozen=True)
class Measured:
    """A policy on held-out prompts: what it sampled, as rows and as texts, and drift from the reference."""

    rows: list[Encoded]
    texts: list[str]
    kl: Metric
    entropy: Metric


def measure(policy: nn.Module, reference: nn.Module, tokenizer, chats: Sequence[dict], max_tokens: int,
            seed: int) -> Measured:
    """One response a chat at temperature 1; exact KL to the reference and entropy on them, nats a token."""
    sampled = responses.rows(policy, tokenizer, chats, responses.at_temperature(tokenizer, max_tokens), seed)
    kl, entropy = drift(policy, reference, sampled)
    return Measured(sampled, responses.texts(tokenizer, sampled), kl, entropy)


def rewarder(reward_model: ScalarModel, reward_tokenizer, tokenizer, chats: Sequence[dict]) -> Reward:
    """Rewards of rows that `tokenizer` wrote for the chats. A reward model with a tokenizer of its own reads chat and
    answer as text."""
    if same_tokens(tokenizer, reward_tokenizer):
        return lambda sampled: score(reward_model, sampled)
    asked = {tuple(prompt_tokens(tokenizer, chat["messages"])): chat for chat in chats}

    def rewards(sampled: Sequence[Encoded]) -> np.ndarray:
        answered = [with_answer(asked[prompt_of(row)], text)
                    for row, text in zip(sampled, responses.texts(tokenizer, sampled), strict=True)]
        return score(reward_model, encode(reward_tokenizer, answered))

    return rewards


def grounded(reward: Reward, scorer: Scorer, tokenizer, chats: Sequence[dict], wrong: float) -> Reward:
    """`reward` of rows that `tokenizer` wrote for the chats, less `wrong` where the scorer gives an answer nothing: a
    reward model alone does not know right from wrong well enough, and a policy finds out where."""
    asked = {tuple(prompt_tokens(tokenizer, chat["messages"])): chat for chat in chats}

    def rewards(sampled: Sequence[Encoded]) -> np.ndarray:
        scores = scorer([asked[prompt_of(row)] for row in sampled], responses.texts(tokenizer, sampled))
        return reward(sampled) - wrong * np.array([score.value == 0 for score in scores], np.float32)

    return rewards
