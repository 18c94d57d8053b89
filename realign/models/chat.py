"""Chat messages to tokens and a mask of the tokens that the model is to learn.

Learned is, of every assistant turn, what follows the opened turn that a model is asked with, up to the token that ends
the turn. Both come from the text that the template renders, so they hold for any chat template.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from realign.errors import UserError
from realign.models.patience import within

Message = dict[str, str]
# Stands in for the function by which templates ask for today's date, so that no prompt depends on the clock; the day
# is the one that Llama 3 falls back to.
TEMPLATE = "one Jinja template that writes a list of messages, each with a role and a content"
DATE = ("{%- macro strftime_now(format) -%}{{ {'%d %b %Y': '26 Jul 2024', '%Y-%m-%d': '2024-07-26'}"
        ".get(format, '26 July 2024') }}{%- endmacro -%}")
RENDERING = 10.0  # seconds of processor time, after which a template is taken to loop for ever
LONGEST = 1_000_000  # characters that a template may write around contents
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
    """The tokens that end an assistant's turn: that which the chat template writes, and those that the tokenizer and
    the model's configuration name. UserError where the template ends no turn."""
    written = {end_of_turn(tokenizer)} if _hf(tokenizer).chat_template else set()
    return tuple(sorted(written | set(tokenizer.eos_token_ids)))


@lru_cache(maxsize=16)
def end_of_turn(tokenizer) -> int:
    """The token by which the chat template ends an answer, special or not: the first added token behind it, past white
    space at most."""
    hf, messages = _hf(tokenizer), [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}]
    text = render(tokenizer, messages)
    row = hf(text, add_special_tokens=False, return_offsets_mapping=True)
    start = _spans(tokenizer, messages, text)[-1][1]
    for token, (begin, stop) in zip(row["input_ids"], row["offset_mapping"], strict=True):
        if begin >= start and token in hf.added_tokens_decoder:
            return token
        if stop > start and text[max(begin, start):stop].strip():
            break
    raise UserError(f"the chat template ends no turn: behind an answer it writes {text[start:]!r}",
                    expected="a token of its own, such as <|im_end|> or the eos token: without one nothing can be "
                    "learned or seen of where an answer ends",
                    fix="let the chat_template write {{ eos_token }} behind an assistant's content, with that token "
                    "among the added ones of the tokenizer; or choose an instruction-tuned base")


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

    Raises UserError where the tokenizer has no chat template, or the template is broken or refuses the roles.
    """
    hf = _hf(tokenizer)
    if not hf.chat_template:
        raise UserError("the tokenizer has no chat template", fix="choose an instruction-tuned base, or add "
                        "chat_template to its tokenizer_config.json")
    from jinja2.exceptions import TemplateError

    try:
        with within(RENDERING, "the chat template does not come to an end"):
            text = hf.apply_chat_template(list(messages), chat_template=DATE + _template(hf), tokenize=False,
                                          add_generation_prompt=generation_prompt, enable_thinking=False)
    except UserError:
        raise
    except Exception as error:  # a template is a program, which may raise anything
        if type(error) is TemplateError:  # by its own raise_exception
            roles = ", ".join(m["role"] for m in messages)
            raise UserError(f"the chat template refuses the turns {roles}: {error}",
                            expected="turns that the base model knows, e.g. user, assistant, user, …") from error
        raise UserError(f"the chat template is broken: {type(error).__name__}: {str(error)[:300]}", expected=TEMPLATE,
                        fix="put the chat_template of the tokenizer right (tokenizer_config.json or "
                        "chat_template.jinja), or choose another base") from error
    if len(text) > LONGEST + 10 * sum(len(message["content"]) for message in messages):
        raise UserError(f"the chat template writes {len(text)} characters around a conversation", expected=TEMPLATE,
                        fix="look for a loop in it, or choose another base")
    return text


def _template(hf) -> str:
    """The template by which chats are written: the only one, or that called default."""
    found = hf.chat_template
    if isinstance(found, dict) and "default" not in found:
        raise UserError(f"the tokenizer has the chat templates {', '.join(sorted(found))}, and none called default",
                        expected=TEMPLATE, fix="call the one to train with `default` in tokenizer_config.json")
    template = found["default"] if isinstance(found, dict) else found
    if not isinstance(template, str):
        raise UserError(f"the chat template is no text but {type(template).__name__}", expected=TEMPLATE,
                        fix="put chat_template in tokenizer_config.json right")
    return template


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


def _spans(tokenizer, messages: Sequence[Message], text: str, opened: bool = False) -> list[tuple[int, int, int]]:
    """Character spans of the contents in the rendered text, in its order, each with its turn."""
    around, shown = _skeleton(tokenizer, _roles(messages), opened)
    spans, position = [], 0
    for before, turn, behind in zip(around, shown, around[1:], strict=False):
        span = _placed(text, position, before, messages[turn], behind)
        if span is None:
            raise UserError("the chat template rewrites the content in a way that is not known",
                            where=f"turn {turn + 1}", expected="the content as it is, or trimmed",
                            fix="leave the conversation out, or choose another base")
        spans.append((*span, turn))
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
    if not texts:
        return []
    batch = hf(texts, add_special_tokens=False, return_offsets_mapping=True)
    ends = {end_of_turn(tokenizer), hf.eos_token_id}
    return [_encoded(tokenizer, messages, text, {"input_ids": ids, "offset_mapping": offsets}, ends)
            for messages, text, ids, offsets in
            zip(conversations, texts, batch["input_ids"], batch["offset_mapping"], strict=True)]


def _encoded(tokenizer, messages, text: str, row: dict, ends: set[int]) -> Encoded:
    spans, roles = _spans(tokenizer, messages, text), _roles(messages)
    answers = [(start - _led(tokenizer, roles, turn, text[:start]), stop) for start, stop, turn in spans
               if roles[turn] == "assistant"]
    mask = _mask(text, row, answers, ends)
    pieces = _typed(_controls(tokenizer, _roles(messages)), tokenizer, text, row, spans)
    return Encoded([token for piece in pieces for token in piece],
                   [target for target, piece in zip(mask, pieces, strict=True) for _ in piece])


def _led(tokenizer, roles: tuple[str, ...], turn: int, before: str) -> int:
    """How many characters the template writes between the opened turn and a finished turn's content, which ends the
    text `before`: they are the model's to say."""
    opened = _opening(tokenizer, roles[:turn])
    written = _around(tokenizer, roles)[turn]
    if opened is None or opened == written:
        return 0
    if written.startswith(opened):
        extra = written[len(opened):]
        if not before.endswith(extra):  # reasoning took the place of an empty thought
            return 0
        if extra.strip():
            _warn(opened, written)
        return len(extra)
    if turn == len(roles) - 1 and before.endswith(written):
        _warn(opened, written)
    return 0


@lru_cache(maxsize=256)
def _around(tokenizer, roles: tuple[str, ...]) -> dict[int, str]:
    """What the template writes before the content of every turn, since that of the turn shown before."""
    pieces, shown = _skeleton(tokenizer, roles)
    return dict(zip(shown, pieces, strict=False))


@lru_cache(maxsize=256)
def _opening(tokenizer, roles: tuple[str, ...]) -> str | None:
    """What the template writes behind these turns to open an answer; None where it answers no such turns."""
    try:
        return _skeleton(tokenizer, roles, True)[0][-1] if roles else None
    except UserError:
        return None


@lru_cache(maxsize=16)
def _warn(opened: str, written: str) -> None:
    print(f"warning: the chat template opens an answer by {opened!r} where a model is asked, and writes {written!r} "
          "before one that is learned\n  to do: let chat_template write the same in both, such as the thought that one "
          "of them opens; or choose another base", file=sys.stderr)


def _mask(text: str, row: dict, spans: Sequence[tuple[int, int]], ends: set[int]) -> list[int]:
    """For every token whether it is a target: of the spans, or the end of the turn behind one."""
    offsets = row["offset_mapping"]
    mask = [0] * len(offsets)
    position = 0
    for start, end in spans:
        while position < len(offsets) and offsets[position][1] <= start:
            position += 1
        while position < len(offsets) and offsets[position][0] < end:
            mask[position] = 1
            position += 1
        # The end of the turn: the first of the ends behind the content, past white space at most.
        for following in range(position, len(offsets)):
            if row["input_ids"][following] in ends:
                mask[position:following + 1] = [1] * (following + 1 - position)
                position = following + 1
                break
            if text[offsets[following][0]:offsets[following][1]].strip():
                break
    return mask
