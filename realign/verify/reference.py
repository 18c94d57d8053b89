"""Is this answer right? A verifier that compares what a text claims with the reference that its prompt carries.

A reference is JSON with the keys of `Reference`. The same verifier decides capability scores and, as the scorer
`reference`, the scores of sampled responses. Its error rates are in docs/trust.md.
"""

import json
import re
from dataclasses import dataclass, fields
from fractions import Fraction

from realign.errors import UserError
from realign.verify import amounts, values
from realign.verify.claims import in_another_script, sentences
from realign.verify.form import normal, unwrapped
from realign.verify.names import has
from realign.verify.phrases import DECLINES, REFUSAL, SENTENCE

# [2], but also [2, 3] and [see 2]: whatever points at a passage counts as a citation of it.
CITATION = re.compile(r"\[([^\[\]]*\d[^\[\]]*)\]")
NUMERIC = re.compile(r"-?\d+(\.\d+)?")
SHRUG = re.compile(r"\b(?:who (?:knows|can (?:say|tell))|how (?:should|would) I know)\?", re.IGNORECASE)
# What a refusal must not go on to say: a value after all.
ANSWERS_AFTER_ALL = re.compile(
    r"(?:\b(?:but|though|although|however|still|yet|so|except that|only that)\b,?|[:;-])\s+(?:(?:I (?:would|will"
    r"|can) )?(?:\w+ )?(?:guess|say|think|"
    r"believe|suppose|try)\b|(?:it|this|that|the \w+|its \w+|my guess|perhaps|maybe|probably"
    r"|possibly)\b(?: \w+){0,3}? (?:is|was|"
    r"must be|may be|might be|could be|would be|has|have)\b (?!not\b|no\b|un\w+|never\b|hard\b|possible\b"
    r"|impossible\b|difficult\b))"
    r"|\b(?:but|so|though|although|still),?"
    r" (?:(?:about|around|roughly|approximately|nearly|some|over|the|it is) )?\d|\b(?:might|may|could"
    r"|must) (?:well )?be (?:the |an? )?(?!un|not|any|im|known"
    r"|found|given|some|wrong|mistaken|made|fiction)\w"
    r"|\b(?:perhaps|maybe|probably|possibly|presumably) (?:it is |the |an? )?\w+|\bmy (?:best )?guess\b"
    r"|\b(?:though|but|although|however|yet)\b[^.;]*\b(?:says?|tells?|has it|holds|believes?|claims?|names?)"
    r" (?-i:[A-Z])"
    r"|\bif I had to guess\b|\bI (?:would |will |can )?(?:guess|bet|venture)(?: it is| it was| that)?"
    r" (?!not\b|so\b|we\b|you\b|that\b)\w+"
    r"|(?:^|[.!;:]\s+|, (?:but |yet |though )?)(?:he|she|they) (?:was|were|is|are|has|had|won"
    r"|\w+ed|came|wrote|made|took|built) (?!not\b|no\b"
    r"|never\b|un\w+|nothing\b|nobody\b|none\b|\w+ (?:not|unknown)\b|real\b|fictional\b|made\b|invented\b)"
    r"|(?:^|[.!;:]\s+)(?:it|the answer|its \w+) (?:is|was|must be|may be|might be|could be|would be) (?!not\b|no\b"
    r"|un\w+|never\b"
    r"|hard\b|im\w+|possible\b|difficult\b|an? \w+ (?:day|question|one)\b|an?\b|beyond\b|too\b|left\b|nowhere\b"
    r"|made\b|fictional\b|that\b)", re.IGNORECASE)

# How a right answer earns its score: being right, being self-contained, offering to go on.
RIGHT, COMPLETE, OFFER = 0.6, 0.2, 0.2
OFFER_WORDS = 3  # the least that makes a question of what ends in a question mark


# A value without a verb after a refusal: "No idea. The euro."
FRAGMENT = re.compile(r"[.;:!-]\s+(?P<words>(?:(?:the|an?) )?[\w'-]+(?: [\w'-]+)?)(?:[.!?]+\s|[.!?]*$)", re.IGNORECASE)
# A value in question: "Hard to say. Lutz?"
TENTATIVE = re.compile(r"\W*(?:(?:maybe|perhaps|possibly|probably|the) )*[A-Z][\w'-]+(?: [A-Z][\w'-]+)*\?")
PLEASANTRIES = frozenset([
    "afraid", "alas", "all", "apologies", "clue", "course", "day", "done", "here", "honestly", "idea", "it", "know",
    "luck", "me", "mistaken", "not", "now", "one", "please", "question", "really", "regards", "regrettably", "sadly",
    "sorry", "sure", "thanks", "then", "there", "truly", "unfortunately", "well", "you"
])


STATES = re.compile(r" (?:is|are|was) (?!not\b|un\w+|nowhere\b|\w+ not\b|im\w+|(?:an? )?(?:\w+ )?"
                    r"(?:fictional|made|invented|non-?existent|mythical)\b)\w", re.IGNORECASE)
NO_WORD = re.compile(r"(?:\w|\bno )$", re.IGNORECASE)  # what ends in that word, or has none of it


@dataclass(frozen=True)
class Reference:
    """What the right answer is. Exactly one of `answer`, `number`, `exact` or `refuse` decides."""

    answer: str = ""  # these words, and none of `rivals`
    rivals: tuple[str, ...] = ()  # other values, which neither an answer nor a refusal may state
    number: int | float | None = None  # the last number that the answer claims
    unit: str = ""  # what `number` is in: km, minutes, %; another unit of the same dimension is converted
    exact: str = ""  # the whole text
    refuse: bool = False  # there is nothing to know: only a refusal is right
    citation: int | None = None  # the passage that supports the answer
    subject: tuple[str, ...] = ()  # words that a self-contained answer repeats

    def __post_init__(self):
        deciding = [bool(self.answer), self.number is not None, bool(self.exact), self.refuse]
        if sum(deciding) != 1 or not isinstance(self.number, int | float | None):
            raise UserError(f"a reference that decides nothing, or twice: {self!r}",
                            expected="exactly one of answer (text), number, exact (text), refuse (true)")

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

    def __str__(self) -> str:
        """As a person would write it: the answer, with its unit or passage, or that there is none."""
        if self.refuse:
            return "nothing to know: only a refusal is right"
        answer = self.exact or self.answer or f"{self.number:,}"
        cited = "" if self.citation is None else f" [{self.citation}]"
        return " ".join(filter(None, (answer, self.unit))) + cited

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


def written(text: str) -> str:
    """The reference that `text` describes as a person would write it; `text` as it is where it describes none."""
    try:
        return str(Reference.parse(text))
    except UserError:
        return "" if text == "{}" else text


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


def verify(reference: Reference, text: str) -> tuple[bool | None, str]:
    """Whether `text` answers rightly: True, False, or None where that cannot be told, which earns nothing. And why."""
    if reference.exact:
        return (True, "exact") if text.strip() == reference.exact else (False, "not in the form asked for")
    text = unwrapped(text, of_number=reference.number is not None)
    if reference.refuse:
        told = sentences(normal(SHRUG.sub("I do not know.", text)))
        return _refuses(reference, " ".join(s.text for s in told if not s.asks or TENTATIVE.fullmatch(s.text)))
    if reference.number is not None:
        return amounts.judge(Fraction(str(reference.number)), reference.unit, reference.subject, text)
    if NUMERIC.fullmatch(reference.answer):
        right, reason = amounts.judge(Fraction(reference.answer), reference.unit, reference.subject, text)
    else:
        right, reason = values.judge(reference.answer, reference.rivals, reference.subject, text)
    return _cites(reference.citation, statement(text)) if right and reference.citation is not None else (right, reason)


def _cites(passage: int, said: str) -> tuple[bool, str]:
    if not (cited := citations(said)):
        return False, "cites nothing"
    return (True, "right") if cited == {passage} else (False, "cites the wrong passage")


def _refuses(reference: Reference, said: str) -> tuple[bool | None, str]:
    found = REFUSAL.search(said)
    if not found and in_another_script(said, ""):
        return None, "answers in another script"
    if not found:
        return (None, "declines without a reason") if DECLINES.search(said) else (False, "answers what it cannot know")
    if citations(said):
        return False, "refuses, yet cites"
    if rival := values.first(reference.rivals, said):
        return False, f"refuses, yet says {rival}"
    after = FRAGMENT.search(said[found.end():])
    if after and not REFUSAL.search(after["words"]) and after["words"].split()[-1].casefold() not in PLEASANTRIES:
        return False, "refuses, yet answers"
    if any(_states(word, said) for word in reference.subject) or ANSWERS_AFTER_ALL.search(
            f"{said[:found.start()]}unknown; {said[found.end():]}"):
        return False, "refuses, yet answers"
    return True, "refuses rightly"


def _states(word: str, said: str) -> bool:
    """Whether a text says what something is: "the capital is …", not "no capital is known"."""
    lower, place = said.casefold(), -1
    while (place := lower.find(word.casefold(), place + 1)) >= 0:
        if STATES.match(said, place + len(word)) and not NO_WORD.search(said[:place]):
            return True
    return False


def score(reference: Reference, text: str) -> Score:
    """A graded score: 0 for a wrong answer, else 0.6, and 0.2 each for being self-contained and for offering to go
    on. Where a form was asked for, only that form earns anything, and it earns everything."""
    verdict, reason = verify(reference, text)
    right = verdict is True
    if reference.exact:
        return Score(float(right), reason, {"right": right})
    said = statement(text)
    complete = all(has(word, said) for word in reference.subject)
    parts = {"right": right, "complete": complete, "offer": offers(text)}
    value = RIGHT + COMPLETE * complete + OFFER * parts["offer"] if right else 0.0
    return Score(round(value, 6), reason, parts)
