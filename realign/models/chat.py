"""Chat messages to tokens and a mask of the tokens that the model is to learn.

Learned are, for every assistant turn, its content and the end-of-turn token. The spans come from the rendered
text itself, so they hold for any chat template.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from realign.errors import UserError

Message = dict[str, str]
# Stands in for the function by which templates ask for today's date, so that no prompt depends on the clock; the day
# is the one that Llama 3 falls back to.
DATE = ("{%- macro strftime_now(format) -%}{{ {'%d %b %Y': '26 Jul 2024', '%Y-%m-%d': '2024-07-26'}"
        ".get(format, '26 July 2024') }}{%- endmacro -%}")
NO_THOUGHT = "<think>\n\n</think>\n\n"  # how Qwen 3 and its kin write an answer without reasoning


@dataclass(frozen=True)
class Encoded:
    """Token ids of one conversation and, for each, whether it is a target (0 or 1)."""

    tokens: list[int]
    mask: list[int]


def _hf(tokenizer):
    """The Hugging Face tokenizer inside mlx-lm's wrapper, or the one given."""
    from mlx_lm.tokenizer_utils import TokenizerWrapper

    return tokenizer._tokenizer if isinstance(tokenizer, TokenizerWrapper) else tokenizer


def stop_tokens(tokenizer) -> tuple[int, ...]:
    """The tokens that end an assistant's turn."""
    return tuple(sorted(tokenizer.eos_token_ids))


def decode(tokenizer, tokens: Sequence[int]) -> str:
    """Text of sampled tokens, without the end of the turn."""
    stops = set(stop_tokens(tokenizer))
    return tokenizer.decode([t for t in tokens if t not in stops]).strip()


def with_answer(chat: dict, text: str) -> list[Message]:
    """The chat's messages with `text` as the assistant's answer."""
    return [*chat["messages"], {"role": "assistant", "content": text}]


def same_tokens(tokenizer, other) -> bool:
    """Whether two tokenizers write every chat in the same tokens."""
    a, b = _hf(tokenizer), _hf(other)
    return a.chat_template == b.chat_template and a.backend_tokenizer.to_str() == b.backend_tokenizer.to_str()


def render(tokenizer, messages: Sequence[Message], generation_prompt: bool = False) -> str:
    """The conversation as the model's chat template writes it; a template that knows reasoning opens no thought.

    Raises UserError where the tokenizer has no chat template or the template refuses the roles.
    """
    hf = _hf(tokenizer)
    if not hf.chat_template:
        raise UserError("the tokenizer has no chat template", fix="choose an instruction-tuned base, or add "
                        "chat_template to its tokenizer_config.json")
    from jinja2.exceptions import TemplateError

    try:
        return hf.apply_chat_template(list(messages), chat_template=DATE + hf.get_chat_template(), tokenize=False,
                                      add_generation_prompt=generation_prompt, enable_thinking=False)
    except TemplateError as error:
        roles = ", ".join(m["role"] for m in messages)
        raise UserError(f"the chat template refuses the turns {roles}: {error}",
                        expected="turns that the base model knows, e.g. user, assistant, user, …") from error


def prompt_tokens(tokenizer, messages: Sequence[Message]) -> list[int]:
    """Token ids of the conversation with the assistant's turn opened."""
    text = render(tokenizer, messages, True)
    batch = _hf(tokenizer)(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = _spans(tokenizer, messages, text, True)
    pieces = _typed(_controls(tokenizer, _roles(messages)), tokenizer, text, batch, spans)
    return [token for piece in pieces for token in piece]


@lru_cache(maxsize=256)
def _skeleton(tokenizer, roles: tuple[str, ...], opened: bool = False) -> tuple[list[str], list[int]]:
    """What the template writes around the contents, and the turns in the order in which it shows them."""
    marks = [{"role": role, "content": f"\x01{i}\x02"} for i, role in enumerate(roles)]
    pieces = re.split("\x01([0-9]+)\x02", render(tokenizer, marks, opened))
    shown = [int(i) for i in pieces[1::2]]
    for i, role in enumerate(roles):
        if shown.count(i) != 1:
            raise UserError(f"the chat template shows the {role} turn {shown.count(i)} times in a conversation of "
                            f"the turns {', '.join(roles)}", expected="every turn once",
                            fix="put a system text into the first user turn, or leave it out")
    return pieces[::2], shown


def _forms(message: Message) -> Iterator[str]:
    """The ways in which templates show a content: as it is, trimmed, or with its reasoning apart or left out."""
    content = message["content"]
    yield from (content, content.strip(), content.lstrip("\n"), content.lstrip(), content.rstrip(), content.strip("\n"))
    if message["role"] == "assistant" and "</think>" in content:
        thought, answer = content.rsplit("</think>", 1)
        thought = thought.split("<think>")[-1].strip("\n")
        answer = answer.lstrip("\n")
        yield from (f"<think>\n{thought}\n</think>\n\n{answer}", answer, answer.strip())


def _placed(text: str, position: int, before: str, message: Message, behind: str) -> tuple[int, int] | None:
    """Where the content stands in `text` that goes on, from `position`, with `before`, the content and `behind`."""
    behind = behind.removesuffix(NO_THOUGHT)
    for opening in (before, before.removesuffix(NO_THOUGHT)):  # reasoning takes the place of the empty one
        if text.startswith(opening, position):
            start = position + len(opening)
            for form in _forms(message):
                if text.startswith(form + behind, start):
                    return start, start + len(form)
    return None


def _roles(messages: Sequence[Message]) -> tuple[str, ...]:
    return tuple(message["role"] for message in messages)


def _spans(tokenizer, messages: Sequence[Message], text: str, opened: bool = False) -> list[tuple[int, int, str]]:
    """Character spans of the contents in the rendered text, in its order, each with its role."""
    around, shown = _skeleton(tokenizer, _roles(messages), opened)
    spans, position = [], 0
    for before, turn, behind in zip(around, shown, around[1:], strict=False):
        span = _placed(text, position, before, messages[turn], behind)
        if span is None:
            raise UserError("the chat template rewrites the content in a way that is not known",
                            where=f"turn {turn + 1}", expected="the content as it is, or trimmed",
                            fix="leave the conversation out, or choose another base")
        spans.append((*span, messages[turn]["role"]))
        position = span[1]
    return spans


@lru_cache(maxsize=256)
def _controls(tokenizer, roles: tuple[str, ...]) -> frozenset[int]:
    """Ids that no content may hold: special tokens, and added ones that the template writes around the contents."""
    hf = _hf(tokenizer)
    added = hf.added_tokens_decoder
    parts, _ = _skeleton(tokenizer, roles, roles[-1] != "assistant")
    around = [part.replace(NO_THOUGHT, "") for part in parts]
    written = {token for ids in hf(around, add_special_tokens=False)["input_ids"] for token in ids}
    return frozenset(i for i, token in added.items() if token.special or i in written) | frozenset(hf.all_special_ids)


def _typed(controls: frozenset[int], tokenizer, text: str, batch: dict, spans: Sequence[tuple]) -> list[list[int]]:
    """For every token of a rendered text itself, or the ids of its letters where a content holds a control token."""
    found = []
    for token, (start, end) in zip(batch["input_ids"], batch["offset_mapping"], strict=True):
        if token in controls:
            name = text[start:end]  # with white space around it that the token takes in
            first, last = start + len(name) - len(name.lstrip()), start + len(name.rstrip())
            if any(first < stop and begin < last for begin, stop, _ in spans):
                found.append(_letters(_hf(tokenizer).backend_tokenizer, name, controls))
                continue
        found.append([token])
    return found


def _letters(backend, text: str, controls: frozenset[int]) -> list[int]:
    """Ids of a text as if no token had a name; character by character where the vocabulary itself holds such a name."""
    def ids(part: str) -> list[int]:
        shown = backend.normalizer.normalize_str(part) if backend.normalizer else part
        words = backend.pre_tokenizer.pre_tokenize_str(shown) if backend.pre_tokenizer else [(shown, None)]
        return [piece.id for word, _ in words for piece in backend.model.tokenize(word)]

    whole = ids(text)
    return whole if controls.isdisjoint(whole) else [token for character in text for token in ids(character)]


def encode(tokenizer, conversations: Sequence[Sequence[Message]]) -> list[Encoded]:
    """Each conversation as tokens and target mask."""
    hf = _hf(tokenizer)
    texts = [render(tokenizer, messages) for messages in conversations]
    batch = hf(texts, add_special_tokens=False, return_offsets_mapping=True)
    stops = {hf.eos_token, *(t.content for t in hf.added_tokens_decoder.values() if t.special)}
    return [_encoded(tokenizer, messages, text, {"input_ids": ids, "offset_mapping": offsets}, stops)
            for messages, text, ids, offsets in
            zip(conversations, texts, batch["input_ids"], batch["offset_mapping"], strict=True)]


def _encoded(tokenizer, messages, text: str, row: dict, stops: set) -> Encoded:
    spans = _spans(tokenizer, messages, text)
    mask = _mask(text, row["offset_mapping"], [span[:2] for span in spans if span[2] == "assistant"], stops)
    pieces = _typed(_controls(tokenizer, _roles(messages)), tokenizer, text, row, spans)
    return Encoded([token for piece in pieces for token in piece],
                   [target for target, piece in zip(mask, pieces, strict=True) for _ in piece])


def _mask(text: str, offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]], stops: set) -> list[int]:
    """For every token whether it is a target: of the spans, or the end of the turn behind one."""
    mask = [0] * len(offsets)
    position = 0
    for start, end in spans:
        while position < len(offsets) and offsets[position][1] <= start:
            position += 1
        while position < len(offsets) and offsets[position][0] < end:
            mask[position] = 1
            position += 1
        # The end of the turn: the first special token behind the content, past white space at most.
        for following in range(position, min(position + 3, len(offsets))):
            piece = text[offsets[following][0]:offsets[following][1]]
            if piece in stops:
                mask[position:following + 1] = [1] * (following + 1 - position)
                position = following + 1
                break
            if piece.strip():
                break
    return mask
