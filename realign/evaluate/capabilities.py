"""Capability suites: greedy answers to held-out prompts, verified one by one."""

from collections import defaultdict
from collections.abc import Sequence

from realign.evaluate.generate import Sampling, generate
from realign.metrics import Metric, proportion
from realign.models.chat import prompt_tokens
from realign.verify.reference import Reference, verify


def answers(model, tokenizer, chats: Sequence[dict], sampling: Sampling, seed: int) -> list[str]:
    """The text that the model gives to each chat's messages."""
    prompts = [prompt_tokens(tokenizer, chat["messages"]) for chat in chats]
    completions = generate(model, prompts, sampling, seed=seed)
    return [decode(tokenizer, c.tokens, sampling.stop_tokens) for c in completions]


def decode(tokenizer, tokens: Sequence[int], stop_tokens: Sequence[int]) -> str:
    """Text of sampled tokens, without the end of the turn."""
    stops = set(stop_tokens)
    return tokenizer.decode([t for t in tokens if t not in stops]).strip()


def stop_tokens(tokenizer) -> tuple[int, ...]:
    """The tokens that end an assistant's turn."""
    return tuple(sorted(tokenizer.eos_token_ids))


def records(chats: Sequence[dict], outputs: Sequence[str]) -> list[dict]:
    """Per-example records: score 1 where the verifier finds the output right, else 0."""
    return [{
        "example_id": chat["row_id"], "capability": chat["capability"], "slice": chat["slice"],
        "prompt": chat["messages"][-1]["content"], "output": output, "reference": chat["reference"],
        "score": float(verify(Reference.parse(chat["reference"]), output)[0]),
    } for chat, output in zip(chats, outputs, strict=True)]


def accuracy(rows: Sequence[dict]) -> dict[str, Metric]:
    """Share answered right, by capability."""
    scores = defaultdict(list)
    for row in rows:
        scores[row["capability"]].append(row["score"])
    return {name: proportion(int(sum(found)), len(found)) for name, found in sorted(scores.items())}


def greedy(model, tokenizer, chats: Sequence[dict], max_tokens: int = 64) -> list[str]:
    """The answers at temperature 0."""
    return answers(model, tokenizer, chats, Sampling(max_tokens, 0.0, stop_tokens=stop_tokens(tokenizer)), seed=0)
