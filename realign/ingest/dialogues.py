"""Dialogues as chat messages, from text, messages or transcripts."""

import re

from realign.ingest.records import bad_text, parse_json

Messages = list[dict[str, str]]
NOTHING = (None, "", [], {})  # a field that holds none of its kind
ROLES = ("system", "user", "assistant", "tool")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
_SENDERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system",
            "tool": "tool"}  # ShareGPT's
# How messages begin that were written as text: JSON, JSON in JSON, Python's or numpy's own form of a list.
_WRITTEN = re.compile(r"""\s*\ufeff?\s*(?:["'(]\s*)?(?:\w+\s*\(\s*)?[\[{(]""")
_KEYS = [re.compile(rf"""\b(?:{names})\b\\*["']?\s*[:=]""", re.IGNORECASE)
         for names in ("role|from", "content|value|tool_calls")]
_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")  # the transcripts of Anthropic's hh-rlhf


class Fault(Exception):
    """Why a row cannot be used: `reason` names the fault, `detail` says where it lies."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def side_of(value, name: str, prompt: Messages | None) -> Messages:
    """The whole dialogue of `chosen` or `rejected`: the prompt, unless it is there, then the side.

    A plain text is an answer and needs a prompt; a transcript or a list of messages may hold it.
    """
    messages = parse_side(value, name, "assistant")
    if prompt is None:
        if len(messages) == 1:
            raise Fault("missing_field", f"`prompt` is missing, and `{name}` is not a whole dialogue")
        return messages
    if messages[0]["role"] not in ("system", "user"):
        return [*prompt, *messages]
    skip = 1 if messages[0]["role"] == "system" and prompt[0]["role"] != "system" else 0
    if _trimmed(messages[skip:skip + len(prompt)]) != _trimmed(prompt):
        raise Fault("no_shared_prompt", f"the dialogue in `{name}` does not begin with `prompt`")
    return messages


def parse_side(value, name: str, role: str) -> Messages:
    """A text, a transcript, one message or a list of messages, as messages; these also where JSON holds them as text.

    A plain text becomes one message of `role`. Raises Fault on a wrong type, text that was not
    UTF-8, or an empty message.
    """
    if isinstance(value, str):
        _refuse_bad(value, name)
        if (written := _written(value, name)) is not None:
            return parse_side(written, name, role)
        messages = transcript(value) or [{"role": role, "content": value}]
        if name == "prompt" and len(messages) > 1 and not messages[-1]["content"]:
            messages = messages[:-1]  # "…\n\nAssistant:" only opens the answer
    elif isinstance(value, dict):
        messages = [_message(value, name)]
    elif isinstance(value, list) and value:
        messages = [_message(message, name) for message in value]
    elif isinstance(value, list):
        raise Fault("empty_text", f"`{name}` holds no message")
    else:
        raise Fault("wrong_type", f"`{name}` is {type(value).__name__}, not text or messages")
    if any(not message["content"].strip() for message in messages):
        raise Fault("empty_text", f"`{name}` holds an empty text")
    return messages


def transcript(text: str) -> Messages:
    """The turns of "\\n\\nHuman: … \\n\\nAssistant: …", trimmed; empty if `text` is no transcript."""
    parts = _TURN.split(text)
    if len(parts) < 3 or parts[0].strip() or parts[1] != "Human":
        return []
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return [{"role": _SPEAKERS[speaker], "content": content.strip()} for speaker, content in turns]


def text_of(row: dict, *names: str) -> str:
    """The text of the first of the optional columns `names` that has one, else ""."""
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise Fault("wrong_type", f"`{name}` is {type(value).__name__}, not text")
        _refuse_bad(value, name)
        if value.strip():
            return value
    return ""


def _written(text: str, name: str):
    """The messages that a text holds as JSON, None where it is a text; Fault where it only looks like messages."""
    if not _WRITTEN.match(text):
        return None
    try:
        value = parse_json(text.strip().removeprefix("\ufeff"))
    except ValueError:
        value = None
    if isinstance(value, str):
        return _written(value, name)
    if isinstance(value, dict) and (value.keys() >= {"role", "content"} or value.keys() >= {"from", "value"}):
        return value
    if isinstance(value, list) and value and all(isinstance(m, dict) and ("role" in m or m.keys() >= {"from", "value"})
                                                 for m in value):
        return value
    if all(key.search(text) for key in _KEYS):
        raise Fault("messages_as_text", f"`{name}` looks like messages, but is no JSON list of them: {text[:60]}")
    return None


def _message(value, name: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Fault("wrong_type", f"`{name}` holds a {type(value).__name__} where a message should be")
    if value.get("role") is None and "from" in value:  # ShareGPT
        value = {**value, "role": _SENDERS.get(value["from"], value["from"]) if isinstance(value["from"], str)
                 else value["from"], "content": value.get("value"), "from": None, "value": None}
    for key, found in value.items():
        if key not in ("role", "content") and found not in NOTHING:
            raise Fault("unknown_field", f"a message of `{name}` has `{key}`, which would be lost; known are role and "
                                         "content")
    for key in ("role", "content"):
        if value.get(key) is None:
            raise Fault("missing_field", f"a message of `{name}` has no `{key}`")
        if not isinstance(value[key], str):
            kind = type(value[key]).__name__
            raise Fault("wrong_type", f"`{key}` of a message of `{name}` is {kind}, not text")
    if value["role"] not in ROLES:
        raise Fault("wrong_type", f"`{name}` has a message of role {value['role']!r}; "
                                  f"known are {', '.join(ROLES)}")
    _refuse_bad(value["content"], name)
    return {"role": value["role"], "content": value["content"]}


def _refuse_bad(text: str, name: str) -> None:
    if bad_text(text):
        raise Fault("invalid_utf8", f"`{name}` holds characters that stand for undecodable bytes")


def _trimmed(messages: Messages) -> list[tuple[str, str]]:
    return [(message["role"], message["content"].strip()) for message in messages]
