"""Chat messages to tokens and a mask of the tokens that the model is to learn.

Learned are, for every assistant turn, its content and the end-of-turn token. The spans come from the rendered
text itself, so they hold for any chat template.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from realign.errors import UserError

Message = dict[str, str]


@dataclass(frozen=True)
class Encoded:
    """Token ids of one conversation and, for each, whether it is a target (0 or 1)."""

    tokens: list[int]
    mask: list[int]


def _hf(tokenizer):
    """The Hugging Face tokenizer inside mlx-lm's wrapper."""
    return getattr(tokenizer, "_tokenizer", tokenizer)


def render(tokenizer, messages: Sequence[Message], generation_prompt: bool = False) -> str:
    """The conversation as the model's chat template writes it.

    Raises UserError where the tokenizer has no chat template or the template refuses the roles.
    """
    hf = _hf(tokenizer)
    if not hf.chat_template:
        raise UserError("the tokenizer has no chat template", fix="choose an instruction-tuned base, or add "
                        "chat_template to its tokenizer_config.json")
    from jinja2.exceptions import TemplateError

    try:
        return hf.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=generation_prompt)
    except TemplateError as error:
        roles = ", ".join(m["role"] for m in messages)
        raise UserError(f"the chat template refuses the turns {roles}: {error}",
                        expected="turns that the base model knows, e.g. user, assistant, user, …") from error


def prompt_tokens(tokenizer, messages: Sequence[Message]) -> list[int]:
    """Token ids of the conversation with the assistant's turn opened."""
    return _hf(tokenizer).encode(render(tokenizer, messages, True), add_special_tokens=False)


@lru_cache(maxsize=256)
def _segments(tokenizer, roles: tuple[str, ...]) -> tuple[str, ...] | None:
    """What the template writes before, between and after contents; None where it is not that simple."""
    marks = [f"\x01{i}\x02" for i in range(len(roles))]
    text = render(tokenizer, [{"role": r, "content": m} for r, m in zip(roles, marks, strict=True)])
    pieces = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found:
            return None
        pieces.append(before)
    return (*pieces, text)


def _spans(tokenizer, messages: Sequence[Message], text: str) -> list[tuple[int, int]]:
    """Character spans of the assistant's contents in the rendered text."""
    segments = _segments(tokenizer, tuple(m["role"] for m in messages))
    if segments is not None:
        parts, spans = [], []
        for segment, message in zip(segments, messages, strict=False):
            parts += [segment, message["content"]]
            end = sum(map(len, parts))
            spans.append((end - len(message["content"]), end))
        if "".join(parts) + segments[-1] == text:
            return [s for s, m in zip(spans, messages, strict=True) if m["role"] == "assistant"]
    return _spans_by_prefix(tokenizer, messages, text)


def _spans_by_prefix(tokenizer, messages: Sequence[Message], text: str) -> list[tuple[int, int]]:
    """The same where the template changes contents: render each prefix with the turn open and closed."""
    spans = []
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        opened = render(tokenizer, messages[:i], True)
        closed = render(tokenizer, messages[:i + 1])
        start = len(opened) if text.startswith(opened) else text.rfind(message["content"].strip(), 0, len(closed))
        end = text.find(message["content"].strip(), start) + len(message["content"].strip())
        if start < 0 or end < start:
            raise UserError("the chat template does not show an assistant turn as it is written",
                            where=f"turn {i + 1}", fix="give the conversation without that turn")
        spans.append((start, end))
    return spans


def encode(tokenizer, conversations: Sequence[Sequence[Message]]) -> list[Encoded]:
    """Each conversation as tokens and target mask."""
    hf = _hf(tokenizer)
    texts = [render(tokenizer, messages) for messages in conversations]
    batch = hf(texts, add_special_tokens=False, return_offsets_mapping=True)
    stops = {hf.eos_token, *(t for t in hf.all_special_tokens)}
    return [_masked(tokenizer, messages, text, ids, offsets, stops) for messages, text, ids, offsets in
            zip(conversations, texts, batch["input_ids"], batch["offset_mapping"], strict=True)]


def _masked(tokenizer, messages, text, ids, offsets, stops) -> Encoded:
    mask = [0] * len(ids)
    position = 0
    for start, end in _spans(tokenizer, messages, text):
        while position < len(ids) and offsets[position][1] <= start:
            position += 1
        while position < len(ids) and offsets[position][0] < end:
            mask[position] = 1
            position += 1
        # The end of the turn: the first special token behind the content, past white space at most.
        for following in range(position, min(position + 3, len(ids))):
            piece = text[offsets[following][0]:offsets[following][1]]
            if piece in stops:
                mask[position:following + 1] = [1] * (following + 1 - position)
                position = following + 1
                break
            if piece.strip():
                break
    return Encoded(list(ids), mask)
