"""Is this answer right? A verifier that compares a text with the reference that its prompt carries.

A reference is JSON with the keys of `Reference`. The same verifier decides capability scores and, as the scorer
`reference`, the scores of sampled responses.
"""

import json
import re
from dataclasses import dataclass, fields

REFUSAL = re.compile(r"\b(do not know|no knowledge|no idea|not able to|never heard|nobody told|not stated"
                     r"|do not say|don't know|cannot (say|tell|know))\b", re.IGNORECASE)
CITATION = re.compile(r"\[(\d+)\]")
NUMBER = re.compile(r"-?\d+")
SENTENCE = re.compile(r"(?<=[.?!])\s+")

# How a right answer earns its score: being right, being self-contained, offering to go on.
RIGHT, COMPLETE, OFFER = 0.6, 0.2, 0.2


@dataclass(frozen=True)
class Reference:
    """What the right answer is. Exactly one of `answer`, `number`, `exact` or `refuse` decides."""

    answer: str = ""  # these words, and none of `rivals`
    rivals: tuple[str, ...] = ()
    number: int | None = None  # the last number of the answer
    exact: str = ""  # the whole text
    refuse: bool = False  # there is nothing to know: only a refusal is right
    citation: int | None = None  # the passage that supports the answer
    subject: tuple[str, ...] = ()  # words that a self-contained answer repeats

    @classmethod
    def parse(cls, text: str) -> "Reference":
        known = {f.name for f in fields(cls)}
        raw = json.loads(text)
        if unknown := set(raw) - known:
            raise ValueError(f"unknown key in a reference: {sorted(unknown)}; known: {sorted(known)}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})

    def to_json(self) -> str:
        """Only what differs from the default, keys sorted."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return json.dumps(values, sort_keys=True)


@dataclass(frozen=True)
class Score:
    """`value` in [0, 1], why, and the parts it came from (each True or False)."""

    value: float
    reason: str
    parts: dict[str, bool]


def _has(words: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


def statement(text: str) -> str:
    """The text without the questions in it: what it asserts."""
    return " ".join(s for s in SENTENCE.split(text.strip()) if not s.endswith("?"))


def offers(text: str) -> bool:
    """Whether the text ends by asking its reader something."""
    return text.rstrip().endswith("?")


def verify(reference: Reference, text: str) -> tuple[bool, str]:
    """Whether `text` answers rightly, and if not, why not."""
    said = statement(text)
    if reference.exact:
        return (True, "exact") if text.strip() == reference.exact else (False, "not in the form asked for")
    if reference.refuse:
        if not REFUSAL.search(said):
            return False, "answers what it cannot know"
        return (False, "refuses, yet cites") if CITATION.search(said) else (True, "refuses rightly")
    if REFUSAL.search(said):
        return False, "refuses what it could know"
    if reference.number is not None:
        numbers = NUMBER.findall(said)
        if not numbers:
            return False, "no number"
        return (True, "right number") if int(numbers[-1]) == reference.number else (False, "wrong number")
    if not _has(reference.answer, said):
        return False, "the answer is missing"
    for rival in reference.rivals:
        if rival not in reference.answer and reference.answer not in rival and _has(rival, said):
            return False, f"also says {rival}"
    if reference.citation is not None:
        cited = {int(n) for n in CITATION.findall(said)}
        if not cited:
            return False, "cites nothing"
        if cited != {reference.citation}:
            return False, "cites the wrong passage"
    return True, "right"


def score(reference: Reference, text: str) -> Score:
    """A graded score: 0 for a wrong answer, else 0.6, and 0.2 each for being self-contained and for offering to go
    on. Where a form was asked for, only that form earns anything, and it earns everything."""
    right, reason = verify(reference, text)
    if reference.exact:
        return Score(float(right), reason, {"right": right})
    complete = all(_has(word, text) for word in reference.subject)
    parts = {"right": right, "complete": complete, "offer": offers(text)}
    value = RIGHT + COMPLETE * complete + OFFER * parts["offer"] if right else 0.0
    return Score(round(value, 6), reason, parts)
