"""Whether the number that a text claims is the one that is wanted.

The last claim of a text decides: working and story come before it. A claim may be of one number, of a range, of all
above or below a number, or of one of several; only the first can be right, the others are wrong where they leave the
wanted number out and undecided where they hold it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from realign.verify import quantities
from realign.verify.claims import AFFIRMED, ASKED, DENIED, OPEN, SUPPOSED, Sentence, refusals, sentences, stance
from realign.verify.form import CITED, normal
from realign.verify.numbers import UNITS, Number, in_degrees, in_digits, more_in_digits, numbers, unit_name
from realign.verify.phrases import ASKS_ANEW, RETRACTION, TAKES_BACK

FEW = 3  # other words in a sentence that only gives a number
NEARLY = Fraction(1, 100)  # share by which a number in another unit may be off, rounded as people round
YEAR = 1000  # from here on a number may be a year, and the day beside it is not asked for


@dataclass(frozen=True)
class Claim:
    """All from `low` to `high` (either may be infinite; `strict`: without the ends), or some of `among`."""

    sentence: int
    number: Number
    status: str
    low: Fraction | float
    high: Fraction | float
    strict: bool = False
    among: tuple[Number, ...] = ()

    @property
    def exact(self) -> bool:
        return self.low == self.high and not self.among and self.status == AFFIRMED


def judge(wanted: Fraction, unit: str, subject: Sequence[str], text: str) -> tuple[bool | None, str]:
    """Whether `text` claims the number `wanted`, of `unit` (or no unit, ""), where the question is of the words in
    `subject`; None where it leaves that open. And why."""
    plain = in_digits(CITED.sub("", _without_labels(normal(text))))
    if wanted >= YEAR:
        plain = quantities.DAY.sub(lambda m: m["month"] or m["before"] or m["year"] or "", plain)
    said = sentences(plain)
    if unit and any(unit_name(word) == unit_name(unit) for s in said for word in re.findall(r"[^\W\d]{2,}", s.text)):
        subject = (*subject, unit)  # "the distance in km is 5"
    asked = {word.casefold().rstrip("s") for each in subject for word in each.split()}
    claims = [claim for index in range(len(said)) for claim in _claims(said, index, asked)]
    if not claims:
        said = [replace(each, text=more_in_digits(each.text)) for each in said]
        claims = [claim for index in range(len(said)) for claim in _claims(said, index, asked)]
    claims = [_of_century(c, said) for c in claims] if wanted >= YEAR else claims
    stated = [claim for claim in _about(claims, said, asked) if claim.status not in (DENIED, ASKED, SUPPOSED)]
    if not stated:
        return _unstated(claims, wanted, unit, subject, said)
    last = _answer(stated, said)
    held = _holds(last, wanted, unit, subject)
    if held is False:
        return False, "wrong number"
    if last.among and _same(last.among, wanted, unit, subject):
        return True, "right number, in several units"
    if last.among:
        return None, f"also says {_others(last, wanted)}"
    if held is None:
        return None, "in another unit, or in none"
    if not last.exact:
        return None, "not sure of the number"
    if other := _contradicts(stated, last, said):
        return None, f"also says {other}"
    if refusals(said, subject):
        return None, "answers, yet refuses what it could know"
    if any(TAKES_BACK.search(s.text, last.number.end if index == last.sentence else 0) or (
            s.asks and ASKS_ANEW.search(s.text))
           for index, s in enumerate(said) if index >= last.sentence and (s.asks or not s.plain)):
        return None, "takes it back"
    return True, "right number"


def _of_century(claim: Claim, said: Sequence[Sentence]) -> Claim:
    """A claim of a century as one of its years."""
    if claim.exact and quantities.CENTURY.match(said[claim.sentence].text, claim.number.end):
        return replace(claim, low=100 * claim.low - 100, high=100 * claim.high - 1)
    return claim


def _without_labels(text: str) -> str:
    """A text without the numbers of the items of its list; one such number alone may be an answer."""
    return quantities.LABEL.sub("", text) if len(quantities.LABEL.findall(text)) > 1 else text


def _same(among: Sequence[Number], wanted: Fraction, unit: str, subject: Sequence[str]) -> bool:
    """Whether all are the wanted number, one as it is and the others as nearly as people convert."""
    held = [_equal(n, wanted, unit, subject) for n in among]
    return True in held and False not in held and len({n.unit for n in among}) > 1


def _unstated(claims: Sequence[Claim], wanted: Fraction, unit: str, subject: Sequence[str],
              said: Sequence[Sentence]) -> tuple[bool | None, str]:
    """The judgement of a text that claims no number: it denies, asks or supposes some, or names none."""
    held = {c.status for c in claims if _holds(c, wanted, unit, subject)}
    if DENIED in held:
        return False, "denies it"
    if claims and all(c.status == DENIED for c in claims):
        return None, "no number: it says only what it is not"
    if held and not any(c.status == DENIED for c in claims):
        return None, "no number, only a question or a condition"
    if not claims and wanted == 0 and quantities.NOTHING.search(" ".join(s.text for s in said)):
        return True, "right number"
    return False, "no number"


def _answer(stated: Sequence[Claim], said: Sequence[Sentence]) -> Claim:
    """The claim that the text calls its answer, and that it does not take back; else its last."""
    for claim in reversed(stated):
        after = " ".join(s.text for s in said[claim.sentence + 1:])
        before = said[claim.sentence].text[:claim.number.start]
        if claim.exact and quantities.MARKED.search(before) and not RETRACTION.search(after):
            later = stated[stated.index(claim) + 1:]
            return next((c for c in reversed(later) if _frame(said, c) is not None), claim)
    return stated[-1]


def _claims(said: Sequence[Sentence], index: int, asked: set[str]) -> list[Claim]:
    """The claims of one sentence: its numbers without operands, asides and causes where other numbers are left."""
    text = said[index].text
    found = [n for n in numbers(text) if not _operand(text, n)]
    for dropped in quantities.BESIDES if len(found) > 1 else ():
        spans = [m.span() for m in dropped.finditer(text)
                 if dropped is not quantities.COMMENT or not _speaks_of(m.group(), asked)]
        kept = [n for place, n in enumerate(found) if not any(a <= n.start < b for a, b in spans)
                or (place and _same_dimension(found[place - 1], n))]
        found = kept or found
    found = [n for place, n in enumerate(found) if not place or not _of_circumstance(text, n, found[place - 1])]
    claims = []
    while found:
        claim, count = _claim(said, index, found, asked)
        claims.append(claim)
        found = found[count:]
    return claims


def _same_dimension(one: Number, other: Number) -> bool:
    """Whether two numbers measure alike in two units: 55 lb (25 kg)."""
    return bool(one.unit and other.unit and one.unit[0] == other.unit[0] and one.noun != other.noun)


def _speaks_of(words: str, asked: set[str]) -> bool:
    """Whether words hold one that was asked about: "of whom 43 were sailors"."""
    said = quantities.WORD.findall(words.casefold())
    return any(len(each) > 3 and word.startswith(each) for word in said for each in asked)


def _of_circumstance(text: str, number: Number, last: Number) -> bool:
    """Whether a number only tells when, where or of how many the one before it holds: "13 kites in 2 bags"."""
    before, of_time = text[:number.start], number.unit and not last.unit
    counts_else = number.noun not in ("", last.noun) and (of_time or last.noun not in ("", "is"))
    return bool(counts_else and quantities.CIRCUMSTANCE.search(before)) and not RETRACTION.search(before)


def _claim(said: Sequence[Sentence], index: int, found: Sequence[Number], asked: set[str]) -> tuple[Claim, int]:
    """The claim that begins with the first number, and how many numbers it is made of."""
    text, number = said[index].text, found[0]
    status = stance(list(said), index, number.start, number.end)
    several = _of_range(index, text, found, status) or _of_choice(index, text, found, status, asked)
    if several:
        return several
    before, after = text[:number.start], text[number.end:]
    if bounded := _bounded(index, number, before, after, status, alone=len(found) == 1):
        return bounded, 1
    if status == DENIED and before.casefold().endswith("not quite "):
        status = OPEN
    if status == AFFIRMED and (quantities.ABOUT_BEFORE.search(before) or quantities.ABOUT_AFTER.match(after)):
        status = OPEN
    return Claim(index, number, status, number.value, number.value), 1


def _of_range(index: int, text: str, found: Sequence[Number], status: str) -> tuple[Claim, int] | None:
    """The claim of all between the first two numbers, if they are the ends of a range."""
    if len(found) < 2:
        return None
    (number, second), before = found[:2], text[:found[0].start]
    between = text[number.end:second.start]
    joined = second.start == number.end and second.value < 0  # 12-14
    ranged = joined or quantities.RANGE.fullmatch(between) or (quantities.BETWEEN.search(before) and " and " in between)
    if not ranged or quantities.GREW.search(before) or "=" in text:
        return None
    noun = number.noun if number.unit else second.noun
    ends = sorted((number.value, abs(second.value) if joined else second.value))
    return Claim(index, replace(number, noun=noun), status, *ends), 2


def _of_choice(index: int, text: str, found: Sequence[Number], status: str,
               asked: set[str]) -> tuple[Claim, int] | None:
    """The claim of one of the first numbers, if they are offered for choice."""
    among = [found[0]]
    while len(among) < len(found) and quantities.CHOICE.fullmatch(text[among[-1].end:found[len(among)].start]):
        among.append(found[len(among)])
    other = {n.noun.rstrip("s") for n in among if not n.unit} - asked - quantities.NO_NOUN
    apart = other and any(n.noun.rstrip("s") in asked for n in among)  # "48 sheep and 12 goats"
    if quantities.IN_ALL.match(text, among[-1].end):
        among = among[:1]
    if len({n.value for n in among}) == 1 or apart or status == DENIED or _retracted(text, among):
        return None
    return Claim(index, among[-1], status, -math.inf, math.inf, among=tuple(among)), len(among)


def _bounded(index: int, number: Number, before: str, after: str, status: str, *, alone: bool) -> Claim | None:
    """The claim of all that lie on one side of a number, or in its decade or its ten; None where it is of that number
    alone."""
    value, told = number.value, AFFIRMED if status == DENIED else status
    if quantities.DECADE.match(after) and value % 10 == 0 and (value >= YEAR or before.endswith("the ")):
        last = value + (99 if value % 100 == 0 and value >= YEAR else 9)
        return Claim(index, replace(number, noun=""), status, value, last)
    if quantities.ODD.match(after):
        return Claim(index, number, status, value, value + 9)
    least = quantities.LEAST.search(before) or quantities.LEAST_AFTER.match(after)
    most = quantities.MOST.search(before) or quantities.MOST_AFTER.match(after)
    if (least and most) or quantities.NOT_ONE.match(after):  # not one more, and not one fewer
        return Claim(index, number, AFFIRMED, value, value)
    if least or most:
        return Claim(index, number, told, value if least else -math.inf, math.inf if least else value)
    year = alone and value >= YEAR and number.noun in quantities.NO_NOUN and quantities.TIME.search(before)
    if quantities.ABOVE.search(before) or (year and year[1].casefold() == "after"):
        return Claim(index, number, told, value, math.inf, strict=True)
    if quantities.BELOW.search(before) or year:
        return Claim(index, number, told, -math.inf, value, strict=True)
    return None


def _operand(text: str, number: Number) -> bool:
    return bool(quantities.OPERATOR_AFTER.match(text, number.end)
                or quantities.OPERATOR_BEFORE.search(text, max(0, number.start - 30), number.start))


def _retracted(text: str, among: Sequence[Number]) -> bool:
    return RETRACTION.search(text[among[0].end:among[-1].start]) is not None


def _about(claims: list[Claim], said: Sequence[Sentence], asked: set[str]) -> list[Claim]:
    """The claims without those that count another thing than the question asks for, where some count that thing."""
    kept = [c for c in claims if not quantities.BY_THE_WAY.match(said[c.sentence].text)]
    claims = kept or claims
    kept = [c for c in claims if (c.number.noun not in quantities.NEVER_ASKED or c.number.noun.rstrip("s") in asked)
            and not quantities.FOOTNOTE.match(said[c.sentence].text)]
    claims = kept or claims
    sizes = {id(c): m[1].casefold() for c in claims
             if (m := quantities.SIZE.match(said[c.sentence].text, c.number.end))}
    if asked & set(sizes.values()):  # "18 metres deep and 2 metres wide"
        claims = [c for c in claims if sizes.get(id(c)) in (None, *asked)]
    dated = [c for c in claims if c.number.noun not in asked
             and quantities.DATED.search(said[c.sentence].text[:c.number.start])]
    kept = [c for c in claims if c not in dated or any(c.sentence == d.sentence for d in claims if d not in dated)]
    claims = kept if any(c.exact for c in kept) else claims
    counted = [c for c in claims if c.number.noun.rstrip("s") in asked]
    if not counted:
        return _before_other_counts(claims, said)
    return [c for c in claims if c in counted or c.number.noun in quantities.NO_NOUN or c.number.unit
            or not quantities.CIRCUMSTANCE.search(said[c.sentence].text[:c.number.start])
            and c.sentence not in {each.sentence for each in counted}]


def _before_other_counts(claims: list[Claim], said: Sequence[Sentence]) -> list[Claim]:
    """The claims without those behind a plain answer ("Exactly 13.") that count who does something ("10 agree")."""
    answer = next((c for c in claims if c.exact and c.number.noun in quantities.NO_NOUN and len(quantities.WORD.findall(
        said[c.sentence].text[:c.number.start] + said[c.sentence].text[c.number.end:])) <= FEW), None)
    if answer is None:
        return claims
    return [c for c in claims if c.sentence <= answer.sentence or c.number.noun in quantities.NO_NOUN or c.number.unit
            or not quantities.DOERS.match(said[c.sentence].text, c.number.end)]


def _holds(claim: Claim, wanted: Fraction, unit: str, subject: Sequence[str]) -> bool | None:
    """Whether the claim allows the wanted number; None where its unit does not let it be known."""
    if claim.among:
        return any(_equal(n, wanted, unit, subject) is not False for n in claim.among)
    if claim.low == claim.high:
        return _equal(claim.number, wanted, unit, subject)
    factor = _factor(claim.number, unit, subject)
    if factor is None:
        return False
    low, high = claim.low * factor, claim.high * factor
    return low < wanted < high if claim.strict else low <= wanted <= high


def _equal(number: Number, wanted: Fraction, unit: str, subject: Sequence[str]) -> bool | None:
    number = in_degrees(number, unit_name(unit))
    value = number.value
    factor = _factor(number, unit, subject)
    if factor is None:
        return False
    if number.grouped and value * 1000 == wanted:
        return None
    if value * factor == wanted:
        bare = unit_name(unit) and not number.unit and not any(unit_name(w) for each in subject for w in each.split())
        return None if bare else True
    if factor != 1 and wanted and abs(value * factor / wanted - 1) <= NEARLY:
        return None
    if number.noun in ("%", "percent") and not unit:
        return value == wanted and (True if _percent_asked(subject) else None)
    return False


def _factor(number: Number, unit: str, subject: Sequence[str]) -> Fraction | None:
    """What the number is to be multiplied with; None where it measures another thing."""
    asked = (unit_name(word) for each in subject for word in each.split() if len(word) > 2)
    name = unit_name(unit) or next(filter(None, asked), "")
    if number.unit is None:
        return Fraction(1)
    dimension, factor = number.unit
    if not name:
        return factor if dimension == "share" and not unit else Fraction(1) if not unit else None
    return factor / UNITS[name][1] if UNITS[name][0] == dimension else None


def _percent_asked(subject: Sequence[str]) -> bool:
    return any("percent" in each.casefold() for each in subject)


def _others(claim: Claim, wanted: Fraction) -> str:
    return next(_written(n.value) for n in reversed(claim.among) if n.value != wanted)


def _contradicts(stated: Sequence[Claim], last: Claim, said: Sequence[Sentence]) -> str:
    """Another number that the text claims in the same words, without taking it back."""
    if (frame := _frame(said, last)) is None:
        return ""
    for claim in stated[:-1]:
        if claim.exact and claim.number.value != last.number.value and _frame(said, claim) == frame:
            between = " ".join(s.text for s in said[claim.sentence:last.sentence + 1])
            if not RETRACTION.search(between):
                return _written(claim.number.value)
    return ""


def _frame(said: Sequence[Sentence], claim: Claim) -> str | None:
    text = said[claim.sentence].text
    before = text[:claim.number.start].strip().casefold()
    alone = not before.strip("-*• ") and not text[claim.number.end:].strip(" .!")
    return before if alone or quantities.FRAME.fullmatch(before) else None


def _written(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):g}"
