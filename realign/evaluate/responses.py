"""What a model answers: sampled, as texts or as rows of tokens."""

from collections.abc import Sequence

from realign.models.chat import Encoded, decode, prompt_tokens, stop_tokens
from realign.models.generate import Sampling, generate
from realign.models.progress import bar

PATIENCE = 3.0  # seconds of sampling before which no progress is shown


def answers(model, tokenizer, chats: Sequence[dict], sampling: Sampling, seed: int) -> list[str]:
    """The text that the model gives to each chat's messages."""
    return texts(tokenizer, rows(model, tokenizer, chats, sampling, seed))


def rows(model, tokenizer, chats: Sequence[dict], sampling: Sampling, seed: int) -> list[Encoded]:
    """One response a chat as a row: its prompt, then what was sampled, which alone the mask marks."""
    prompts = [prompt_tokens(tokenizer, chat["messages"]) for chat in chats]
    show, done = bar("sampling", unit="responses", least=PATIENCE), 0

    def progress(finished: int) -> None:
        nonlocal done
        done += finished
        show(done, len(prompts), {})

    sampled = generate(model, prompts, sampling, seed=seed, progress=progress)
    return [Encoded([*p, *c.tokens], [0] * len(p) + [1] * len(c.tokens)) for p, c in zip(prompts, sampled, strict=True)]


def texts(tokenizer, sampled: Sequence[Encoded]) -> list[str]:
    """The sampled part of rows as text."""
    return [decode(tokenizer, [t for t, m in zip(r.tokens, r.mask, strict=True) if m]) for r in sampled]


def at_temperature(tokenizer, max_tokens: int, temperature: float = 1.0) -> Sampling:
    """How to sample until the assistant's turn ends."""
    return Sampling(max_tokens, temperature, stop_tokens=stop_tokens(tokenizer))


def several(model, tokenizer, chats: Sequence[dict], temperatures: Sequence[float], max_tokens: int,
            seed: int) -> list[list[str]]:
    """For every chat one response a temperature, without repeats, in order."""
    found: list[dict[str, None]] = [{} for _ in chats]
    for number, temperature in enumerate(temperatures):
        sampling = at_temperature(tokenizer, max_tokens, temperature)
        for own, text in zip(found, answers(model, tokenizer, chats, sampling, seed + number), strict=True):
            own[text] = None
    return [list(own) for own in found]
