"""Is this answer right? A verifier that compares a text with the reference that its prompt carries.

A reference is JSON with the keys of `Reference`. The same verifier decides capability scores and, as the scorer
`reference`, the scores of sampled responses.
"""

import json
import re
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import lru_cache

from realign.errors import UserError

REFUSAL = re.compile(r"\b(do not know|no knowledge|no idea|not able to|never heard|nobody told|not (stated|mentioned)"
                     r"|(do|does|did) not (say|mention|state)|(cannot|could not) (say|tell|know)|not sure|not known"
                     r"|is unknown)\b", re.IGNORECASE)
# [2], but also [2, 3] and [see 2]: whatever points at a passage counts as a citation of it.
CITATION = re.compile(r"\[([^\[\]]*\d[^\[\]]*)\]")
# A minus sign belongs to a number unless something to subtract from stands right before it.
NUMBER = re.compile(r"(?:(?<![\w)])[-−])?(?<!\w)\d+(?:,\d{3})*(?:\.\d+)?")
SENTENCE = re.compile(r"(?<=[.?!])\s+|\n+")
# "6 or 7", "6, 7", "between 6 and 7": what stands between two numbers that are offered for choice.
CHOICE = re.compile(r"[\s,;/–-]*(and|&)?[\s,;/–-]*|.*\b(or|maybe|perhaps|possibly)\b.*", re.IGNORECASE | re.DOTALL)
DENIAL = re.compile(r"\b(not|never)(\W+\w+){0,3}\W*$", re.IGNORECASE)
SHORT = 3  # letters; up to this, case tells a value (In, As, He) from a word

# How a right answer earns its score: being right, being self-contained, offering to go on.
RIGHT, COMPLETE, OFFER = 0.6, 0.2, 0.2
OFFER_WORDS = 3  # the least that makes a question of what ends in a question mark


@dataclass(frozen=True)
class Reference:
    """What the right answer is. Exactly one of `answer`, `number`, `exact` or `refuse` decides."""

    answer: str = ""  # these words, and none of `rivals`
    rivals: tuple[str, ...] = ()  # other values, which neither an answer nor a refusal may state
    number: int | None = None  # the last number of the answer
    exact: str = ""  # the whole text
    refuse: bool = False  # there is nothing to know: only a refusal is right
    citation: int | None = None  # the passage that supports the answer
    subject: tuple[str, ...] = ()  # words that a self-contained answer repeats

    def __post_init__(self):
        deciding = [bool(self.answer), self.number is not None, bool(self.exact), self.refuse]
        if sum(deciding) != 1 or not isinstance(self.number, int | None):
            raise UserError(f"a reference that decides nothing, or twice: {self}",
                            expected="exactly one of answer (text), number (whole), exact (text), refuse (true)")

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """The reference that `text`, a JSON object, describes. Raises UserError where it describes none."""
        known = {f.name for f in fields(cls)}
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"a reference that is not JSON ({error})", expected="{\"answer\": …}") from error
        if not isinstance(raw, dict) or set(raw) - known:
            raise UserError(f"not a reference: {text[:100]}", expected=f"an object with some of {sorted(known)}")
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


def _words(words: str) -> str:
    """Pattern of `words` as whole words; case counts only in short ones."""
    start, end = (r"(?<!\w)" if words[:1].isalnum() else ""), (r"(?!\w)" if words[-1:].isalnum() else "")
    escaped = re.escape(words)
    return start + (escaped if len(words) <= SHORT else f"(?i:{escaped})") + end


@lru_cache(maxsize=8192)
def whole_words(candidates: frozenset[str]) -> re.Pattern:
    """Finds any of the candidates, the longest first, so that `gas` is not found in `noble gas`."""
    return re.compile("|".join(_words(c) for c in sorted(candidates, key=lambda c: (-len(c), c))))


def _has(words: str, text: str) -> bool:
    return whole_words(frozenset({words})).search(text) is not None


def _stated(rivals: tuple[str, ...], answer: str, said: str) -> str | None:
    """The first rival that `said` states."""
    candidates = frozenset({*rivals, answer} - {""})
    found = (m.group() for m in whole_words(candidates).finditer(said)) if candidates else ()
    return next((value for value in found if value != answer and value.casefold() != answer.casefold()), None)


def _plain(text: str) -> str:
    """`text` without contracted negations: don’t, can't and the like are written out."""
    return re.sub(r"n't\b", " not", re.sub(r"\b(c)an't\b", r"\1annot", text.replace("’", "'"), flags=re.IGNORECASE))


def statement(text: str) -> str:
    """The text without the questions in it: what it asserts."""
    return " ".join(s for s in SENTENCE.split(text.strip()) if not s.endswith("?"))


def citations(text: str) -> set[int]:
    """The numbers of the passages that `text` cites."""
    return {int(n[:9]) for group in CITATION.findall(text) for n in re.findall(r"\d+", group)}


def offers(text: str) -> bool:
    """Whether the text ends by asking its reader something."""
    last = SENTENCE.split(text.strip())[-1]
    return last.endswith("?") and len(re.findall(r"\w+", last)) >= OFFER_WORDS


def verify(reference: Reference, text: str) -> tuple[bool, str]:
    """Whether `text` answers rightly, and if not, why not."""
    if reference.exact:
        return (True, "exact") if text.strip() == reference.exact else (False, "not in the form asked for")
    said = _plain(statement(text))
    if reference.refuse:
        return _refuses(reference, said)
    if REFUSAL.search(said):
        return False, "refuses what it could know"
    if reference.number is not None:
        return _numbers(reference.number, said)
    return _answers(reference, said)


def _refuses(reference: Reference, said: str) -> tuple[bool, str]:
    if not REFUSAL.search(said):
        return False, "answers what it cannot know"
    if citations(said):
        return False, "refuses, yet cites"
    if rival := _stated(reference.rivals, "", said):
        return False, f"refuses, yet says {rival}"
    if any(re.search(_words(word) + r" (is|are|was) (?!not\b|unknown\b)\w", said) for word in reference.subject):
        return False, "refuses, yet answers"
    return True, "refuses rightly"


def _numbers(wanted: int, said: str) -> tuple[bool, str]:
    """The last number decides; not one that is denied, or named as one of several."""
    for sentence in reversed(SENTENCE.split(said)):
        found = list(NUMBER.finditer(sentence))
        if not found:
            continue
        *before, last = (Decimal(m.group().replace(",", "").replace("−", "-")) for m in found)
        if last != wanted:
            return False, "wrong number"
        if before and before[-1] != last and CHOICE.fullmatch(sentence[found[-2].end():found[-1].start()]):
            return False, f"also says {before[-1]}"
        return (False, "denies it") if DENIAL.search(sentence[:found[-1].start()]) else (True, "right number")
    return False, "no number"


def _answers(reference: Reference, said: str) -> tuple[bool, str]:
    found = list(whole_words(frozenset({reference.answer})).finditer(said))
    if not found:
        return False, "the answer is missing"
    if rival := _stated(reference.rivals, reference.answer, said):
        return False, f"also says {rival}"
    if any(DENIAL.search(SENTENCE.split(said[:m.start()])[-1]) for m in found):
        return False, "denies it"
    if reference.citation is not None:
        cited = citations(said)
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
    said = statement(text)
    complete = all(_has(word, said) for word in reference.subject)
    parts = {"right": right, "complete": complete, "offer": offers(text)}
    value = RIGHT + COMPLETE * complete + OFFER * parts["offer"] if right else 0.0
    return Score(round(value, 6), reason, parts)
