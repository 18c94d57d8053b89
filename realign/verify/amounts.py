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

from realign.verify.claims import AFFIRMED, ASKED, DENIED, SUPPOSED, Sentence, refusals, sentences, stance
from realign.verify.form import CITED, normal
from realign.verify.numbers import UNITS, Number, in_degrees, in_digits, more_in_digits, numbers, unit_name
from realign.verify.phrases import ASKS_ANEW, RETRACTION, TAKES_BACK

_I = re.IGNORECASE
_LABEL = re.compile(r"^\s*\d+[.)]\s+(?=\S)", re.MULTILINE)  # of an item of a list
_ASIDE = re.compile(r"\([^()]*\)")
# What is said of a number besides, with numbers of its own: "27, with 9 more expected", "164, which is more than 150".
_COMMENT = re.compile(
    r",? (?:(?:which|that) (?:is|was|are|were) (?:\w+ )?(?:more|less|fewer|over|under|above|below|twice|half"
    r"|double|\w+er) "
    r"|(?:which|who|where|whose)\b(?! (?:makes?|gives?|leaves?|equals?|comes?|brings?|adds?|yields?|means?|is|was"
    r"|are|were|has"
    r"|had)\b)"
    r"|(?<=, )(?:\w+ed|rebuilt|sold|lost) (?:again )?(?:in|on|by|around) (?=\d)|(?:up|down) from |compared (?:to|with) |as against |(?:of which|of whom|including|not counting"
    r"|not including|besides)\b"
    r"|with \d+ (?:more|others?|left|extra|further|of)\b"
    r"|(?:(?:exactly |just |about |only |some )?\d+ (?:\w+ )?|far |many |well |one |a (?:few|dozen) )?"
    r"(?:more|less|fewer|greater|higher"
    r"|lower|longer|later|earlier|shorter|older)(?: \w+)? than (?=.*\d)"
    r")[^.;]*[.;!]?$", _I)
_OUT_OF = re.compile(r"(?<=\d)(?: \w+)? (?:out )?of (?:the |all |all the |about |some )?\d+")
_THEN = re.compile(r"(?:^|[;,.] )(?:\w+ )?(?:last (?:year|month|week|time|season)|yesterday|previously|formerly"
                   r"|back then|in the past"
                   r"|a year ago|earlier)\b[^;,.]*", _I)
_BY_THE_WAY = re.compile(r"\W*(?:and )?(?:by the way|btw|incidentally|fun fact|did you know|on another note|ps|p s"
                         r"|side note|as an aside|in other news|trivia)\b", _I)
_CAUSE = re.compile(r",? (?:because|since|given that) .*$|,? as [^,]*$", _I | re.DOTALL)
_OPERATOR_AFTER = re.compile(r"\s*[+*×÷/x^]\s*[-(]?\d|\s+-\s+\(?\d|-\d+\s*=", _I)
_OPERATOR_BEFORE = re.compile(r"\d\)?(?: \w+)?(?:\s*[+*×÷/^]\s*|\s+-\s+|\s?x\s?)[-(]?$", _I)
_ABOUT_BEFORE = re.compile(
    r"(?:\b(?:something like|in the ballpark of|an estimated|estimated at|close (?:on|upon)|getting on for|say,"
    r"|about|around|roughly|approximately|approx\.?|nearly|almost|close to|circa|ca?\.|some|near(?: to)?"
    r"|somewhere"
    r"(?: near| around)|in the (?:region|neighbou?rhood|vicinity) of|of the order of|on the order of|not quite"
    r"|just (?:about"
    r"|shy of|short of)|practically|virtually|as good as|more or less|give or take|average of|plus or minus|up to"
    r"|as many as"
    r"|as much as)|[~≈≃±]|\+/-)\s*(?:the |an? )?[$€£]?$", _I)
_ABOUT_AFTER = re.compile(
    r"^(?: \w+)?,?(?:-?ish\b| \(?(?:an? )?(?:estimate[ds]?|rough\w*|approximate\w*)\b| or so\b"
    r"| at a (?:rough )?(?:count|estimate)| or thereabouts| (?:more or less|give or take|approximately|roughly|approx"
    r"|or something"
    r"|at a guess|on average|plus or minus|almost|nearly)\b|\s?(?:±|\+/-))", _I)
_ABOVE = re.compile(r"(?:\b(?:more|greater|higher|larger|longer|later|bigger|older|further|farther|heavier) than"
                    r"|\b(?:over|above"
                    r"|beyond|exceeds?|exceeding|past|upwards? of|in excess of|north of)|(?<!-)>)\s*[$€£]?$", _I)
_BELOW = re.compile(r"(?:\b(?:less|fewer|lower|smaller|shorter|earlier|younger|nearer|lighter) than|\b(?:under|below"
                    r"|short of|shy"
                    r" of|south of|not even)|<)\s*[$€£]?$", _I)
_LEAST = re.compile(r"(?:\b(?:at (?:the )?(?:very )?least|a minimum of|minimum|not before|no (?:less|fewer) than|not (?:less"
                    r"|fewer) than"
                    r"|(?:not|never|cannot be) (?:under|below)|(?:no|not)(?: an?| one)? \w+ (?:less|fewer) than)"
                    r"|>=|≥)\s*[$€£]?$", _I)
_MOST = re.compile(r"(?:\b(?:at (?:the )?(?:very )?most|a maximum of|maximum|(?:no|not|never) more than|up to"
                   r"|(?:no|not)(?: an?| one)? \w+ more than|(?:not"
                   r"|never)"
                   r" (?:over|above|exceeding)|(?:not|never) exceeds?|as (?:many|much) as)|<=|≤)\s*[$€£]?$", _I)
_LEAST_AFTER = re.compile(r"^(?: \w+)?,?(?:\s?\+(?!\s?\d)| (?:or|and|if not) (?:more|above|over|greater|higher|up"
                          r"|upwards|later)\b"
                          r"| at (?:the )?(?:very )?least| minimum|,? (?:and|or) (?:no|not)(?: an?"
                          r"| one)?(?: \w+)? (?:fewer|less)\b| plus\b(?! \d))", _I)
_MOST_AFTER = re.compile(r"^(?: \w+)?,?(?: (?:or|and|if not) (?:less|fewer|below|under|lower)\b"
                         r"| at (?:the )?(?:very )?most"
                         r"| maximum| tops|,? (?:and|or) (?:no|not)(?: an?| one)?(?: \w+)? more\b)", _I)
_NOT_ONE = re.compile(r"(?: \w+)?,? and not (?:an?|one)\b(?: \w+)? (?:more|fewer|less)\b(?!.*\bmore\b)", _I)
_ODD = re.compile(r"[ -](?:odd|something)\b", _I)  # 30-odd
_DECADE = re.compile(r"s\b(?!/)")  # 1840s, the 30s
_RANGE = re.compile(r"\s*(?:(?:\w+ )?(?:to|through|till|until|up to)|-{1,2})\s*(?:about |maybe |perhaps )?[$€£]?", _I)
_BETWEEN = re.compile(r"\bbetween (?:about )?[$€£]?$", _I)
_GREW = re.compile(r"\b(?:grew|rose|went|goes|increased|fell|dropped|changed|moved|climbed|shrank|counts?|raised"
                   r"|cut|reduced|lowered|marked|came"
                   r"|up|down)\b", _I)
# "6 or 7", "6, 7", "between 6 and 7": what stands between two numbers that are offered for choice.
_CHOICE = re.compile(r"(?: [a-z]+)?[\s,;/.]*(?:and|&|or|and/or)?[\s,;/]*(?:(?:is it|was it|it is|it was) )?"
                     r"|.*\b(?:or|maybe|perhaps|possibly)\b.*", _I | re.DOTALL)
_FRAME = re.compile(r"(?:it|that|this|(?:the|my|final) (?:\w+ ){0,2}?(?:answer|total|result|number|sum)) (?:is|was"
                    r"|comes to)"
                    r"|answer:", _I)
_CIRCUMSTANCE = re.compile(r"\b(?:in|on|at|for|after|by|per|across|within|every|among|during|over|from|with|since|of)"
                           r" (?:the |her |his |its |all |just |only )?$", _I)
_NO_NOUN = {"", "is", "and", "or", "in", "all", "left", "now", "altogether", "total", "of", "because", "since", "as",
            "not", "but"}
_NEVER_ASKED = {"times", "examples", "questions", "steps"}
_DATED = re.compile(r"\b(?:in|on|since|until|during|for|after|before|within|across) $", _I)
_FOOTNOTE = re.compile(r"\W*(?:sources?|see|references?|page|pp?\.|updated|last updated|confidence|question \d"
                       r"|example|chapter|figure|table"
                       r" \d|as of|copyright|tokens?|word count)\b", _I)
_MARKED = re.compile(r"\b(?:answer|result|solution)\b[^.]{0,30}?(?:is|:|=)|#### ?$|^\s*(?:a|ans)\s*:|\bboxed\b", _I)
_NOTHING = re.compile(r"\b(?:none|nothing|no(?! doubt)(?! longer) \w+|not (?:\w+ )?(?:any|a single)|nil|nought"
                      r"|naught)\b", _I)
_WORD = re.compile(r"[^\W\d]+")
_SIZE = re.compile(r"[ -]?\w* (deep|wide|long|high|tall|thick|broad|heavy|old|across)\b", _I)
_DOERS = re.compile(r" \w+ (?:have|had|agreed?|asked?|say|said|told|came|know|think|helped|saw|did|were asked)\b", _I)
FEW = 3  # other words in a sentence that only gives a number
_TIME = re.compile(r"(?<!not )\b(after|before) (?:the year )?$", _I)
YEAR = 1000  # from here on a number may be a year, and the day beside it is not asked for
_MONTH = (r"(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar"
          r"|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)")
_DAY = re.compile(rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH}),?(?= \d{{4}}\b)"
                  rf"|(?P<before>{_MONTH}) \d{{1,2}}(?:st|nd|rd|th)?,?(?= \d{{4}}\b)"
                  rf"|\d{{1,2}}[/.]\d{{1,2}}[/.](?=\d{{4}}\b)|(?P<year>\d{{4}})-\d\d-\d\d\b)")
_CENTURY = re.compile(r"(?:st|nd|rd|th) century\b", _I)
NEARLY = Fraction(1, 100)  # share by which a number in another unit may be off, rounded as people round


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
        plain = _DAY.sub(lambda m: m["month"] or m["before"] or m["year"] or "", plain)
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
    if claim.exact and _CENTURY.match(said[claim.sentence].text, claim.number.end):
        return replace(claim, low=100 * claim.low - 100, high=100 * claim.high - 1)
    return claim


def _without_labels(text: str) -> str:
    """A text without the numbers of the items of its list; one such number alone may be an answer."""
    return _LABEL.sub("", text) if len(_LABEL.findall(text)) > 1 else text


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
    if not claims and wanted == 0 and _NOTHING.search(" ".join(s.text for s in said)):
        return True, "right number"
    return False, "no number"


def _answer(stated: Sequence[Claim], said: Sequence[Sentence]) -> Claim:
    """The claim that the text calls its answer, and that it does not take back; else its last."""
    for claim in reversed(stated):
        after = " ".join(s.text for s in said[claim.sentence + 1:])
        before = said[claim.sentence].text[:claim.number.start]
        if claim.exact and _MARKED.search(before) and not RETRACTION.search(after):
            later = stated[stated.index(claim) + 1:]
            return next((c for c in reversed(later) if _frame(said, c) is not None), claim)
    return stated[-1]


def _claims(said: Sequence[Sentence], index: int, asked: set[str]) -> list[Claim]:
    """The claims of one sentence: its numbers without operands, asides and causes where other numbers are left."""
    text = said[index].text
    found = [n for n in numbers(text) if not _operand(text, n)]
    for dropped in (_ASIDE, _CAUSE, _COMMENT, _THEN, _OUT_OF) if len(found) > 1 else ():
        spans = [m.span() for m in dropped.finditer(text) if dropped is not _COMMENT or not _speaks_of(m.group(), asked)]
        kept = [n for n in found if not any(a <= n.start < b for a, b in spans)]
        found = kept or found
    found = [n for place, n in enumerate(found) if not place or not _of_circumstance(text, n, found[place - 1])]
    claims = []
    while found:
        claim, count = _claim(said, index, found, asked)
        claims.append(claim)
        found = found[count:]
    return claims


def _speaks_of(words: str, asked: set[str]) -> bool:
    """Whether words hold one that was asked about: "of whom 43 were sailors"."""
    return any(len(each) > 3 and word.startswith(each) for word in _WORD.findall(words.casefold()) for each in asked)


def _of_circumstance(text: str, number: Number, last: Number) -> bool:
    """Whether a number only tells when, where or of how many the one before it holds: "13 kites in 2 bags"."""
    before, of_time = text[:number.start], number.unit and not last.unit
    counts_else = number.noun not in ("", last.noun) and (of_time or last.noun not in ("", "is"))
    return bool(counts_else and _CIRCUMSTANCE.search(before)) and not RETRACTION.search(before)


def _claim(said: Sequence[Sentence], index: int, found: Sequence[Number], asked: set[str]) -> tuple[Claim, int]:
    """The claim that begins with the first number, and how many numbers it is made of."""
    text, number = said[index].text, found[0]
    status = stance(list(said), index, number.start, number.end)
    before, after = text[:number.start], text[number.end:]
    if len(found) > 1:
        second = found[1]
        between = text[number.end:second.start]
        joined = second.start == number.end and second.value < 0
        ranged = joined or _RANGE.fullmatch(between) or (_BETWEEN.search(before) and " and " in between)
        if ranged and not _GREW.search(before) and "=" not in text:
            noun = number.noun if number.unit else second.noun
            ends = sorted((number.value, abs(second.value) if joined else second.value))
            return Claim(index, replace(number, noun=noun), status, *ends, among=()), 2
        among = [number]
        while len(among) < len(found) and _CHOICE.fullmatch(text[among[-1].end:found[len(among)].start]):
            among.append(found[len(among)])
        other = {n.noun.rstrip("s") for n in among} - asked - _NO_NOUN
        apart = other and any(n.noun.rstrip("s") in asked for n in among)  # "48 sheep and 12 goats"
        if len({n.value for n in among}) > 1 and not apart and status != DENIED and not _retracted(text, among):
            return Claim(index, among[-1], status, -math.inf, math.inf, among=tuple(among)), len(among)
    if _DECADE.match(after) and number.value % 10 == 0 and (number.value >= 1000 or before.endswith("the ")):
        last = number.value + (99 if number.value % 100 == 0 and number.value >= 1000 else 9)
        return Claim(index, replace(number, noun=""), status, number.value, last), 1
    if _NOT_ONE.match(after):
        return Claim(index, number, AFFIRMED, number.value, number.value), 1
    if (_LEAST.search(before) or _LEAST_AFTER.match(after)) and (_MOST.search(before) or _MOST_AFTER.match(after)):
        return Claim(index, number, AFFIRMED, number.value, number.value), 1  # not one more, and not one fewer
    if len(found) == 1 and number.value >= YEAR and number.noun in _NO_NOUN and (side := _TIME.search(before)):
        ends = (number.value, math.inf) if side[1].casefold() == "after" else (-math.inf, number.value)
        return Claim(index, number, AFFIRMED if status == DENIED else status, *ends, strict=True), 1
    for patterns, low, high, strict in (((_LEAST, _LEAST_AFTER), number.value, math.inf, False),
                                        ((_MOST, _MOST_AFTER), -math.inf, number.value, False),
                                        ((_ABOVE,), number.value, math.inf, True),
                                        ((_BELOW,), -math.inf, number.value, True)):
        if patterns[0].search(before) or (len(patterns) > 1 and patterns[1].match(after)):
            return Claim(index, number, AFFIRMED if status == DENIED else status, low, high, strict), 1
    if _ODD.match(after):
        return Claim(index, number, status, number.value, number.value + 9), 1
    if status == DENIED and before.casefold().endswith("not quite "):
        status = "open"
    if status == AFFIRMED and (_ABOUT_BEFORE.search(before) or _ABOUT_AFTER.match(after)):
        status = "open"
    return Claim(index, number, status, number.value, number.value), 1


def _operand(text: str, number: Number) -> bool:
    return bool(_OPERATOR_AFTER.match(text, number.end)
                or _OPERATOR_BEFORE.search(text, max(0, number.start - 30), number.start))


def _retracted(text: str, among: Sequence[Number]) -> bool:
    return RETRACTION.search(text[among[0].end:among[-1].start]) is not None


def _about(claims: list[Claim], said: Sequence[Sentence], asked: set[str]) -> list[Claim]:
    """The claims without those that count another thing than the question asks for, where some count that thing."""
    kept = [c for c in claims if not _BY_THE_WAY.match(said[c.sentence].text)]
    claims = kept or claims
    kept = [c for c in claims if (c.number.noun not in _NEVER_ASKED or c.number.noun.rstrip("s") in asked)
            and not _FOOTNOTE.match(said[c.sentence].text)]
    claims = kept or claims
    sizes = {id(c): m[1].casefold() for c in claims if (m := _SIZE.match(said[c.sentence].text, c.number.end))}
    if asked & set(sizes.values()):  # "18 metres deep and 2 metres wide"
        claims = [c for c in claims if sizes.get(id(c)) in (None, *asked)]
    dated = [c for c in claims if _DATED.search(said[c.sentence].text[:c.number.start]) and c.number.noun not in asked]
    kept = [c for c in claims if c not in dated or any(c.sentence == d.sentence for d in claims if d not in dated)]
    claims = kept if any(c.exact for c in kept) else claims
    counted = [c for c in claims if c.number.noun.rstrip("s") in asked]
    if not counted:
        return _before_other_counts(claims, said)
    return [c for c in claims if c in counted or c.number.noun in _NO_NOUN or c.number.unit
            or not _CIRCUMSTANCE.search(said[c.sentence].text[:c.number.start])
            and c.sentence not in {each.sentence for each in counted}]


def _before_other_counts(claims: list[Claim], said: Sequence[Sentence]) -> list[Claim]:
    """The claims without those behind a plain answer ("Exactly 13.") that count who does something ("10 agree")."""
    answer = next((c for c in claims if c.exact and c.number.noun in _NO_NOUN and len(_WORD.findall(
        said[c.sentence].text[:c.number.start] + said[c.sentence].text[c.number.end:])) <= FEW), None)
    if answer is None:
        return claims
    return [c for c in claims if c.sentence <= answer.sentence or c.number.noun in _NO_NOUN or c.number.unit
            or not _DOERS.match(said[c.sentence].text, c.number.end)]


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
    return before if alone or _FRAME.fullmatch(before) else None


def _written(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):g}"
