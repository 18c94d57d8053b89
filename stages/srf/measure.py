"""Sampling a policy and measuring it on held-out prompts: used by `rl`, `iterate` and `evaluate`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from realign.evaluate import capabilities
from realign.evaluate.drift import drift
from realign.evaluate.generate import Sampling, generate
from realign.evaluate.scorers import with_answer
from realign.metrics import Metric
from realign.models.build import pad_token
from realign.models.chat import Encoded, encode, prompt_tokens
from realign.train import reward


@dataclass(frozen=True)
class Models:
    """The models of a policy run. `tokenizer` is all of theirs; a reward model that has another brings its own."""

    tokenizer: object
    reference: object
    reward_model: object
    reward_tokenizer: object | None
    pad: int


@dataclass(frozen=True)
class Measured:
    """A policy on held-out prompts: what it sampled, as rows and as texts, their rewards, and drift from the
    reference."""

    rows: list[Encoded]
    texts: list[str]
    rewards: np.ndarray
    kl: Metric
    entropy: Metric


def sampled(model, tokenizer, chats: Sequence[dict], max_tokens: int, seed: int) -> list[Encoded]:
    """One response a chat at temperature 1, masked to what was sampled."""
    prompts = [prompt_tokens(tokenizer, chat["messages"]) for chat in chats]
    sampling = Sampling(max_tokens, 1.0, stop_tokens=capabilities.stop_tokens(tokenizer))
    return [Encoded([*p, *c.tokens], [0] * len(p) + [1] * len(c.tokens))
            for p, c in zip(prompts, generate(model, prompts, sampling, seed=seed), strict=True)]


def texts(tokenizer, rows: Sequence[Encoded]) -> list[str]:
    """The sampled part of rows as text."""
    stops = capabilities.stop_tokens(tokenizer)
    return [capabilities.decode(tokenizer, [t for t, m in zip(r.tokens, r.mask, strict=True) if m], stops)
            for r in rows]


def rewarder(models: Models, chats: Sequence[dict]) -> Callable[[Sequence[Encoded]], np.ndarray]:
    """Rewards of rows sampled for the chats. A reward model with a tokenizer of its own reads chat and answer as text."""
    if models.reward_tokenizer is None:
        return lambda rows: reward.score(models.reward_model, rows, models.pad)
    asked = {tuple(prompt_tokens(models.tokenizer, chat["messages"])): chat for chat in chats}

    def rewards(rows: Sequence[Encoded]) -> np.ndarray:
        prompts = [tuple(t for t, m in zip(r.tokens, r.mask, strict=True) if not m) for r in rows]
        answered = [with_answer(asked[prompt], text)
                    for prompt, text in zip(prompts, texts(models.tokenizer, rows), strict=True)]
        return reward.score(models.reward_model, encode(models.reward_tokenizer, answered),
                            pad_token(models.reward_tokenizer))

    return rewards


def measure(model, models: Models, chats: Sequence[dict], max_tokens: int, seed: int) -> Measured:
    """Sample held-out prompts and measure reward, KL to the reference and entropy."""
    rows = sampled(model, models.tokenizer, chats, max_tokens, seed)
    kl, entropy = drift(model, models.reference, rows, models.pad)
    return Measured(rows, texts(models.tokenizer, rows), rewarder(models, chats)(rows), kl, entropy)
