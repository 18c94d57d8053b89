"""What a text claims, sentence by sentence: whether it affirms a value that it mentions, denies it, or leaves it open.

The rules are of English grammar, not of any workflow's phrasings: how denials, hedges, reports, conditions, questions
and retractions (`realign.verify.phrases`) stand before and after what they speak of. What no rule knows counts as
affirmed.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from realign.verify import phrases, words

AFFIRMED, DENIED, OPEN, REPORTED, SUPPOSED, ASKED = "affirmed", "denied", "open", "reported", "supposed", "asked"


@dataclass(frozen=True)
class Sentence:
    """One sentence, whether it asks, and where its clauses begin."""

    text: str
    asks: bool
    plain: bool  # asks, or has no word that can deny, hedge, report, suppose or offer
    clauses: tuple[int, ...]

    def clause(self, place: int) -> tuple[int, int]:
        """Start and end of the clause that `place` is in."""
        start = max((c for c in self.clauses if c <= place), default=0)
        return start, min((c for c in self.clauses if c > place), default=len(self.text))


@dataclass(frozen=True)
class Mention:
    """A value that a text mentions, where, how the text stands to it, and whether it is the wanted one."""

    value: str
    sentence: int
    start: int
    end: int
    stance: str
    wanted: bool = False


def is_plain(text: str) -> bool:
    """Whether no rule can apply to `text`, since it has none of their words: most answers, told apart quickly."""
    return text.isascii() and "/" not in text and not text.startswith(("Of ", "Out of ")) \
        and words.SIGNALS.isdisjoint(phrases.WORD.findall(text.casefold()))


def sentences(text: str) -> list[Sentence]:
    """The sentences of a normal text, without figures of speech that deny nothing; one that ends in "right?" or "isn't
    it?" asserts."""
    found = []
    for each in phrases.SENTENCE_END.split(text.strip()):
        told = phrases.TOLD.sub("", phrases.TAG_QUESTION.sub(".", each)) if each.endswith("?") else each
        told = each if told != each and phrases.INVERTED.match(each) and not phrases.TOLD.match(each) else told
        told = f"{told[:-1]}." if told != each and told.endswith("?") else told
        if told.strip(" .\"'"):
            asks = told.rstrip("\"')] ").endswith("?")
            plain = asks or is_plain(told)
            if not plain:
                told = phrases.FIGURES.sub("", told)
            clauses = () if plain else tuple(m.end() for m in phrases.CLAUSE_BREAK.finditer(told))
            found.append(Sentence(told, asks, plain, clauses))
    return found


def stance(found: list[Sentence], index: int, start: int, end: int) -> str:
    """How sentence `index` stands to what it mentions between `start` and `end`."""
    sentence = found[index]
    text, following = sentence.text, found[index + 1].text if index + 1 < len(found) else ""
    if not sentence.asks and sentence.plain and (not following or found[index + 1].plain):
        return AFFIRMED
    first, last = sentence.clause(start)
    before, after, rest = text[first:start], text[end:last], text[end:]
    if following and phrases.DENIES_LAST.search(following) and not sentence.asks:
        return DENIED
    if sentence.asks:
        if phrases.DENIES_LAST.search(following):
            return DENIED
        return AFFIRMED if phrases.AFFIRMS_LAST.search(following) else ASKED
    if phrases.WHETHER.search(before):
        return AFFIRMED if phrases.CONFIRMED.search(rest) else SUPPOSED
    if phrases.UNCERTAIN.search(before) or (
            phrases.REPORTED_BEFORE.search(before) and phrases.DENIED_BEFORE.search(before)):
        return OPEN
    if _denied(before, after, rest):
        return OPEN if phrases.MODAL.search(before) or phrases.MODAL.search(after) else DENIED
    since, until = _turns(text, start, end)
    if phrases.CONDITION.search(text[since:until]) or phrases.CONDITION_AFTER.search(text[end:until]):
        return SUPPOSED
    if phrases.REPORTED_BEFORE.search(before) or phrases.REPORTED_AFTER.search(rest):
        return AFFIRMED if phrases.ENDORSED.search(rest) or phrases.ENDORSES_LAST.search(following) else REPORTED
    if (phrases.HEDGE.search(before) or phrases.HEDGE.search(after) or phrases.HEDGE_TAIL.search(rest)
            or phrases.DOUBT.search(before) or phrases.DOUBT.search(rest)
            or phrases.DOUBT_FIRST.search(text[:first]) or phrases.GUESSED_FIRST.search(text[:first])
            or _own_doubt(following)
            or phrases.ALTERNATIVE_AFTER.search(rest) or phrases.ALTERNATIVE_BEFORE.search(before)):
        return OPEN
    return AFFIRMED


def refusals(said: list[Sentence], subject: Sequence[str]) -> list[tuple[int, int, int]]:
    """Sentence, start and end of what refuses. A clause that speaks of something else than the question's `subject` ("I
    do not know its age, but …") refuses nothing."""
    asked = {word.removesuffix("'s").removesuffix("s")
             for each in subject for word in phrases.WORD.findall(each.casefold())}
    found = []
    for index, sentence in enumerate(said):
        for m in () if sentence.plain else phrases.REFUSAL.finditer(sentence.text):
            first, last = sentence.clause(m.start())
            around = sentence.text[first:m.start()] + " " + sentence.text[m.end():last]
            of = {word.removesuffix("s") for word in phrases.WORD.findall(around.casefold())} - words.ABOUT_NOTHING
            if not of or not asked or of & asked:
                found.append((index, m.start(), m.end()))
    return found


def in_another_script(text: str, reference: str) -> bool:
    """Whether most letters of `text` are of a script that `reference` has no letter of."""
    if text.isascii():
        return False
    letters = [_script(c) for c in text if c.isalpha()]
    known = {_script(c) for c in reference if c.isalpha()} or {"LATIN"}
    return bool(letters) and sum(each not in known for each in letters) > len(letters) / 2


def _turns(text: str, start: int, end: int) -> tuple[int, int]:
    """The part of a sentence around a mention that has one condition: from turn ("but", "in fact", ";") to turn."""
    turns = list(phrases.TURN.finditer(text))
    return (max((m.end() for m in turns if m.end() <= start), default=0),
            min((m.start() for m in turns if m.start() >= end), default=len(text)))


def _denied(before: str, after: str, rest: str) -> bool:
    if (phrases.DENIED_BEFORE.search(before) or phrases.DENIED_SHORT.search(rest)
            or phrases.DENIED_PREDICATE.search(after)):
        return True
    itself = phrases.DENIED_SELF.search(rest)
    if itself and not phrases.OTHER_SUBJECT.search(itself["between"]):
        return True
    return bool(phrases.DENIED_AFTERWARDS.search(rest) or phrases.PAST.search(rest))


def _own_doubt(following: str) -> bool:
    """Whether the next sentence takes back the certainty of this one: it speaks of the speaker, and names nothing."""
    return bool(phrases.OF_THE_SPEAKER.match(following) and phrases.DOUBT.search(following))


def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").split()[0]
