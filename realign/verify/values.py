"""Whether the words that a text claims are those that are wanted.

Every mention of the wanted value and of its rivals is affirmed, denied or left open by its sentence
(`realign.verify.claims`), or made by the way only. Values that the reference does not name are told by their place
(`realign.verify.others`). A text is right if it affirms the wanted value and nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from realign.verify import names, others
from realign.verify.claims import (
    AFFIRMED,
    ASKED,
    DENIED,
    OPEN,
    SUPPOSED,
    Mention,
    Sentence,
    in_another_script,
    refusals,
    sentences,
    stance,
)
from realign.verify.form import CITED, normal
from realign.verify.phrases import ASKS_ANEW, CORRECTS, RETRACTION, TAKES_BACK
from realign.verify.words import NO_NAMES

ENOUGH = 8  # values of one sentence whose place is looked at; more rivals change nothing
_I = re.IGNORECASE
_LONGER_BEFORE = re.compile(r"\b(?:San|Santa|Santo|New|North|South|East|West|Port|Mount|Lake|Fort|Saint|St\.?|Los"
                            r"|Las|El|Great|Upper"
                            r"|Lower|Old|Little|Anti|Non|Nueva|Nova|Rio)[ -]$")
_LONGER_AFTER = re.compile(r"^(?:[ -](?:Beach|County|City|Street|River|Bay|Lake|Junior|Jr|II|III|Province|Island"
                           r"|Islands|Airport"
                           r"|University|Hills?|Park|Town|Valley|Heights)\b| (?:beans?|syndrome|sauce|airport|street)\b"
                           r"|-[a-z]|'s (?!the\b|a\b|my\b|what\b)\w+ (?:is|was)\b)")
_MARKED = re.compile(r"\banswer(?: is)?\W*(?:the )?$|^\W*(?:answer|a|ans)\W*:", _I)
# "Saturn comes second" is no answer, unless that was asked for.
_RANKS = ("second", "third", "fourth", "last", "next", "runner-up")
_NOT_FIRST = re.compile(rf"^ (?:is|was|comes?|came|ranks?|ranked|finished)(?: only| just| a close| the)?"
                        rf" (?:{'|'.join(_RANKS)})\b", _I)
# What may stand before a surname: another first name may not.
_DENIES_ANOTHER = re.compile(r"\W*(?:\w+ ){0,3}(?:not|never|neither)(?: the| an?| in| by)? \w+(?: (?:and|or"
                             r"|nor) (?:\w+ )?\w+)?\W*$", _I)
_RELATIVES = (r"(?:sister|brother|son|daughter|wife|husband|father|mother|cousin|uncle|aunt|pupil|student|assistant"
              r"|friend|neighbou?r|rival|niece|nephew|widow)")
_OF_RELATIVE = re.compile(rf"\b{_RELATIVES} of (?:the )?$", _I)
_HIS_RELATIVE = re.compile(rf"^'s (?:\w+ )?{_RELATIVES}\b", _I)
_HIS = re.compile(r"^'s (?:\w+ )?(\w+)\W*$")  # "Edith Crane's guide."
_IS_NO = re.compile(r"^ (?:is|was|are|were) not (?:an?|the|its) (\w+)", _I)  # of what was asked: "is not a capital"
_PERSONS = frozenset([
    "actor", "architect", "artist", "author", "composer", "director", "discoverer", "explorer", "founder", "inventor",
    "painter", "player", "poet", "president", "scientist", "singer", "who", "whose", "writer",
])
_FIRST_NAME = re.compile(r"\b([A-Z][\w'-]+) $")  # another one may not stand before a surname



def first(values: tuple[str, ...], text: str) -> str | None:
    """The first of the values that a normal text mentions, as it stands there."""
    found = names.pattern(frozenset(), values).search(text) if values else None
    return found.group() or None if found else None


def judge(answer: str, rivals: tuple[str, ...], subject: Sequence[str], text: str) -> tuple[bool | None, str]:
    """Whether `text` claims `answer` and no other value, where the question is of the words in `subject`; None where it
    leaves that open. And why."""
    wanted, said = names.folded(answer), sentences(names.one_spelling(normal(CITED.sub("", text))))
    forms = names.forms(answer, not _PERSONS.isdisjoint(word.casefold() for word in subject))
    asked, pattern = {word.casefold() for each in subject for word in each.split()}, names.pattern(forms, rivals)
    found = [m for index in range(len(said)) for m in _mentions(said, index, forms, pattern, asked)]
    own, other = [m for m in found if m.wanted], [m for m in found if not m.wanted]
    refusal = any(not any(m.sentence == index and m.start < end and start < m.end for m in own)
                  for index, start, end in refusals(said, subject))
    if own or not rivals:
        other += [m for index in range(len(said))
                  for m in others.claimed(said, index, wanted, subject, own, open_list=not rivals)]
    lists = {m.sentence for m in other if m.value == others.LISTED}
    own = [replace(m, stance=OPEN) if m.sentence in lists and m.stance == AFFIRMED else m for m in own]
    if any(m.stance == AFFIRMED for m in own):
        other = [m for m in other if not others.by_the_way(said, m, own, subject)]
    instead = others.instead(said, wanted, subject, own) if own and not others.alone(said, own) else None
    if instead and _taken_back(said, instead, own[-1]):
        instead = None
    if instead and _taken_back(said, own[-1], instead):
        return False, f"settles on {instead.value}"
    own, other = _without_retracted(said, own, other)
    return _decided(own, other, instead, said, wanted, refusal, subject)


def _decided(own: list[Mention], other: list[Mention], instead: Mention | None, said: list[Sentence], wanted: str,
             refusal: bool, subject: Sequence[str]) -> tuple[bool | None, str]:
    sure = max(((m.sentence, m.start) for m in own if m.stance == AFFIRMED), default=(-1, -1))
    # What was offered for choice or asked about before the choice is no claim.
    only_denies = any(m.stance == DENIED for m in other) and all(m.stance == DENIED for m in other)
    own = [m for m in own if m.stance not in (OPEN, SUPPOSED, ASKED) or (m.sentence, m.start) > sure]
    other = [m for m in other if m.stance == AFFIRMED or (m.stance == OPEN and (m.sentence, m.start) > sure)]
    rival, stances = next((m.value for m in other), None), {m.stance for m in own}
    if not own and only_denies and not refusal:
        return None, "the answer is missing: it says only what it is not"
    if not own:
        return _missing(wanted, rival, refusal, said)
    if any(m.stance == AFFIRMED and _MARKED.search(said[m.sentence].text[:m.start]) for m in other) and not any(
            _MARKED.search(said[m.sentence].text[:m.start]) for m in own):
        return False, f"the answer is {rival}"
    if any(_MARKED.search(said[m.sentence].text[:m.start]) for m in own if m.stance == AFFIRMED) and not any(
            _MARKED.search(said[m.sentence].text[:m.start]) for m in other):
        other = [m for m in other if (m.sentence, m.start) > sure]
        rival = next((m.value for m in other), None)
    if DENIED in stances and not stances & {AFFIRMED, OPEN}:
        return False, "denies it"
    if AFFIRMED not in stances and OPEN not in stances and any(m.stance == AFFIRMED for m in other):
        return False, f"also says {rival}"
    last = (own[-1].sentence, own[-1].start)
    settled = next((m for m in other if m.stance == AFFIRMED and (m.sentence, m.start) > last), instead)
    if settled and AFFIRMED not in stances:
        return False, f"settles on {settled.value}"
    if all(others.of_another_subject(said, m, subject) for m in own):
        return False, "says it of something else"
    claim = instead or next((m for m in other if m.stance == AFFIRMED), None)
    if claim and all(others.aside(said, m, claim, subject) for m in own):
        return False, f"says {claim.value}, and it by the way"
    if rival:
        return None, f"also says {rival}"
    if AFFIRMED not in stances:
        return None, "the answer is missing but for a question" if stances == {ASKED} else "leaves it open"
    if refusal:
        return None, "answers, yet refuses what it could know"
    if stances & {DENIED, OPEN}:
        return None, "denies it, too" if DENIED in stances else "not sure of it"
    if any(TAKES_BACK.search(s.text, sure[1] if index == sure[0] else 0) or (s.asks and ASKS_ANEW.search(s.text))
           for index, s in enumerate(said) if index >= sure[0] and (s.asks or not s.plain)):
        return None, "takes it back"
    return True, "right"


def _mentions(said: list[Sentence], index: int, forms: frozenset[str], pattern: re.Pattern,
              asked: set[str]) -> list[Mention]:
    """The named values that a sentence mentions; rivals in questions are none."""
    text, found = said[index].text, []
    for m in pattern.finditer(text):
        same = names.is_one(m.group(), forms)
        before, after = text[:m.start()], text[m.end():]
        if same and m.group()[:1].isupper() and (_is_longer(before, after, asked) or _OF_RELATIVE.search(before)
                                                 or _HIS_RELATIVE.match(after)):
            continue
        his = _HIS.match(after) if same and m.group()[:1].isupper() else None
        if his and his[1].casefold() not in asked:
            continue
        if same and _NOT_FIRST.match(after) and asked.isdisjoint((*_RANKS, "place", "rank")):
            continue
        if same and names.is_surname(m.group(), forms) and (n := _FIRST_NAME.search(before)) and n[1] not in NO_NAMES:
            continue
        if not same and len(found) >= ENOUGH:
            continue
        how = stance(said, index, m.start(), m.end())
        if same and (none := _IS_NO.match(after)) and none[1].casefold() in asked:
            how = DENIED
        if same or how != ASKED:
            found.append(Mention(m.group(), index, m.start(), m.end(), how, same))
    return found


def _is_longer(before: str, after: str, asked: set[str]) -> bool:
    """Whether a name goes on to that of something else: Lima Beach, but Elbe River where a river was asked for."""
    found = [m for m in (_LONGER_BEFORE.search(before), _LONGER_AFTER.search(after)) if m]
    return any(m.group().strip(" -").casefold() not in asked for m in found)


def _without_retracted(said: list[Sentence], own: list[Mention], other: list[Mention]) -> tuple[list, list]:
    """What is claimed after the last retraction, if something is."""
    marks = [(index, m.end()) for index, s in enumerate(said) if not s.plain for m in RETRACTION.finditer(s.text)]
    for mark in reversed(marks):
        after = [[m for m in part if (m.sentence, m.start) >= mark] for part in (own, other)]
        fewer = len(after[0]) + len(after[1]) < len(own) + len(other)
        if fewer and any(m.stance != DENIED for part in after for m in part):
            return after[0], after[1]
    return own, other


def _taken_back(said: list[Sentence], one: Mention, other: Mention) -> bool:
    """Whether the text takes back one claim before it makes the other."""
    marks = ((index, m.end()) for index, s in enumerate(said) if not s.plain for m in RETRACTION.finditer(s.text))
    if one.sentence < other.sentence and CORRECTS.search(said[other.sentence].text):
        return True
    return any((one.sentence, one.start) < mark <= (other.sentence, other.start) for mark in marks)


def _missing(wanted: str, rival: str | None, refusal: bool, said: list[Sentence]) -> tuple[bool | None, str]:
    text = " ".join(s.text for s in said if not s.asks)
    if refusal and not rival:
        return False, "refuses what it could know"
    if in_another_script(text, wanted):
        return None, "the answer is missing, or in another script"
    if names.nearly(wanted, rival or text):
        return None, "the answer is missing, or misspelt"
    if all(_DENIES_ANOTHER.match(s.text) for s in said if not s.asks) and text:
        return None, "the answer is missing: it says only what it is not"
    if " " in wanted and names.has(wanted.rpartition(" ")[2], text):
        return False, "the answer is missing but for a part of it"
    return False, "the answer is missing"
