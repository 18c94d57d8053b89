"""Whether the words that a text claims are those that are wanted.

Every mention of the wanted value and of its rivals is affirmed, denied or left open by its sentence
(`realign.verify.claims`). Where the reference names no rivals, a claim of another value is told by its place: after "it
is", as a whole sentence, or in the words in which the wanted value is claimed too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from realign.verify.claims import (
    AFFIRMED,
    ASKED,
    DENIED,
    OPEN,
    REFUSAL,
    REPORTED,
    RETRACTION,
    Sentence,
    in_another_script,
    normal,
    sentences,
    stance,
)

SHORT = 3  # letters; up to this, case tells a value (In, As, He) from a word
_I = re.IGNORECASE
_LONGER_BEFORE = re.compile(r"\b(?:San|Santa|Santo|New|North|South|East|West|Port|Mount|Lake|Fort|Saint|St\.?|Los|Las|El|Great|Upper"
                            r"|Lower|Old|Little|Anti|Non|Nueva|Nova|Rio)[ -]$")
_LONGER_AFTER = re.compile(r"^(?:[ -](?:Beach|County|City|Street|River|Bay|Lake|Junior|Jr|II|III|Province|Island|Islands|Airport"
                           r"|University|Hills?|Park|Town|Valley|Heights)\b| (?:beans?|syndrome|sauce|airport|street)\b"
                           r"|-[a-z]|'s (?!the\b|a\b|my\b|what\b)\w+ (?:is|was)\b)")
# What capital letters name no value: the first words of sentences, and greetings.
_NO_NAMES = frozenset(
    "I A An The It This That These Those There Here He She We You They My Your His Her Its Our Their Yes No Not Sure Well Ok Okay "
    "Wait Sorry Actually Correct Right Wrong True False So But And Or If Then Now Hello Hi Thanks Please Of Certainly Gladly Oops "
    "Correction Answer Everyone People Some Many Most Nobody Nothing None What Who Which When Where Why How Maybe Perhaps "
    "Possibly Probably Definitely Obviously Clearly Indeed Exactly Good Great Happy As In On At To For From With By According "
    "Although Though However Also Just Only Both Either Neither One Two Let Easy Done Hmm Ah Oh Unknown Absolutely Yep Nope".split())
_NAME = r"(?P<name>[A-Z][\w'-]*(?: (?:(?:de|del|la|le|of|the|van|von|da|di) )*[A-Z][\w'-]*)*)"
_CLAIMED = re.compile(rf"(?:\b(?:is|was|be|are|were|meant|mean|say|answer|actually|instead|called|named|becomes?|became|chose"
                      rf"|choose|pick|but|no|nope|now|by|it)\b[\s,:\"'-]{{1,3}}(?:(?:the|in|of|actually|really) )?\"?|:\s\"?){_NAME}")
_BARE = re.compile(rf"^\W*(?:the )?{_NAME}\W*(?:$|,? (?:is|was|not|rather|instead|of course|I|definitely|surely|for sure"
                   r"|obviously|wrote|won|did|has)\b)")
_COPULA = re.compile(r"\b(?:is|was|are|were|answer:)\s+(?:the |an? )?$", _I)
_FOLLOWS = re.compile(r"(?:the |an? )?(?P<words>[\w'-]+(?: [\w'-]+)?)\s*[.!,;]*$", _I)
_TURN = re.compile(r"\b(?:but|actually|now|correction|instead|really|no|in fact|rather)\b\W{1,2}(?:it is|it was|(?:the|my|its|his|her)"
                   r" (?:\w+ ){1,3}?(?:is|was)|that is|we have)? ?(?:an? |the |now )*(?P<name>[a-z][\w-]*)\W*$", _I)
_ITEM_AFTER = re.compile(rf"^[\"']?,? (?:and |& |as well as |plus )?(?:also )?{_NAME}(?=\W*$|,| and\b| or\b| are\b)")
_ITEM_BEFORE = re.compile(rf"(?:^|\b(?:is|are|was|of|:) |, ){_NAME}[\"']?,?(?: and| &|,)?(?: also)? [\"']?$")
_SMALL_LIST = re.compile(r"^(?:, (?!not\b|please\b|sir\b|I\b)[a-z][\w-]*){1,}(?:,? (?:and|or) [a-z][\w-]*)?\W*$"
                         r"|^,? (?:and|&) (?:also )?(?:an? |the )?[a-z][\w-]*\W*$")
_SMALL_LIST_BEFORE = re.compile(r"(?:^|\b(?:is|are|was) |: )(?:an? |the )?(?:[\w-]+, )+(?:and |or )?(?:an? |the )?$"
                                r"|(?:^|\b(?:is|are|was) )(?:an? |the )?[\w-]+ (?:and|&) (?:an? |the )?$", _I)
_NOT_KNOWN_WHETHER = re.compile(r"\b(?:whether|if|that|the|about)\b[^,;:]*$", _I)


@dataclass(frozen=True)
class Mention:
    """A value that a text mentions, where, and how the text stands to it."""

    value: str
    sentence: int
    start: int
    stance: str


def _words(words: str) -> str:
    """Pattern of `words` as whole words; case counts only in short ones."""
    start, end = (r"(?<!\w)" if words[:1].isalnum() else ""), (r"(?!\w)" if words[-1:].isalnum() else "")
    escaped = re.escape(words)
    return start + (escaped if len(words) <= SHORT else f"(?i:{escaped})") + end


@lru_cache(maxsize=8192)
def whole_words(candidates: frozenset[str]) -> re.Pattern:
    """Finds any of the candidates, the longest first, so that `gas` is not found in `noble gas`."""
    return re.compile("|".join(_words(c) for c in sorted(candidates, key=lambda c: (-len(c), c))))


def has(words: str, text: str) -> bool:
    """Whether `text` holds `words` as whole words."""
    return whole_words(frozenset({words})).search(text) is not None


@lru_cache(maxsize=8192)
def folded(words: str) -> str:
    """A value as it stands in a normal text."""
    return normal(words) or words


@lru_cache(maxsize=8192)
def _candidates(answer: str, rivals: tuple[str, ...]) -> re.Pattern:
    return whole_words(frozenset(folded(c) for c in (answer, *rivals) if c))


def first(candidates: tuple[str, ...], text: str) -> str | None:
    """The first of the values that a normal text mentions, as it stands there."""
    found = _candidates("", candidates).search(text) if candidates else None
    return found.group() or None if found else None


def judge(answer: str, rivals: tuple[str, ...], subject: Sequence[str], text: str) -> tuple[bool | None, str]:
    """Whether `text` claims `answer` and no other value, where the question is of the words in `subject`; None where it
    leaves that open. And why."""
    wanted, said = folded(answer), sentences(normal(text))
    found = [m for index in range(len(said)) for m in _mentions(said, index, wanted, _candidates(answer, rivals))]
    own = [m for m in found if m.value == wanted]
    other = [m for m in found if m.value != wanted]
    refusal = _refusal(said, own, wanted)
    if own or not rivals:
        other += [m for index in range(len(said)) for m in _unnamed(said, index, wanted, subject, own, not rivals)]
    own, other = _without_retracted(said, own, other)
    rival = next((m.value for m in other if m.stance in (AFFIRMED, OPEN)), None)
    stances = {m.stance for m in own}
    if not own:
        return _missing(wanted, rival, refusal, said)
    if AFFIRMED in stances:
        if refusal:
            return None, "answers, yet refuses what it could know"
        if rival:
            return None, f"also says {rival}"
        if DENIED in stances:
            return None, "denies it, too"
        if OPEN in stances:
            return None, "not sure of it"
        return True, "right"
    if DENIED in stances and OPEN not in stances:
        return False, "denies it"
    if any(m.stance == AFFIRMED for m in other) and OPEN not in stances:
        return False, f"also says {rival}"
    if rival:
        decided = any(m.stance == AFFIRMED and m.sentence != own[-1].sentence for m in other)
        return (False if decided and DENIED in stances else None), f"also says {rival}"
    if ASKED in stances and len(stances) == 1:
        return None, "the answer is missing but for a question"
    return None, "leaves it open"


def _mentions(said: list[Sentence], index: int, wanted: str, candidates: re.Pattern) -> list[Mention]:
    """The named values that a sentence mentions; rivals in questions are none."""
    text, found = said[index].text, []
    for m in candidates.finditer(text):
        same = m.group() == wanted or (len(wanted) > SHORT and m.group().casefold() == wanted.casefold())
        before, after = text[:m.start()], text[m.end():]
        if same and wanted[:1].isupper() and (_LONGER_BEFORE.search(before) or _LONGER_AFTER.search(after)):
            continue
        how = stance(said, index, m.start(), m.end())
        if same or how != ASKED:
            found.append(Mention(wanted if same else m.group(), index, m.start(), how))
    return found


def _refusal(said: list[Sentence], own: list[Mention], wanted: str) -> bool:
    """Whether the text refuses; a mention of the value within the refusal ("I cannot say whether it is Lima") is taken
    out of `own`."""
    refuses = False
    for index, sentence in enumerate(said):
        if sentence.asks:
            continue
        for m in REFUSAL.finditer(sentence.text):
            here = [o for o in own if o.sentence == index]
            if any(o.start < m.end() and m.start() < o.start + len(wanted) for o in here):
                continue
            refuses = True
            for o in here:
                if o.start > m.end() and _NOT_KNOWN_WHETHER.search(sentence.text[m.end():o.start]):
                    own.remove(o)
    return refuses


def _unnamed(said: list[Sentence], index: int, wanted: str, subject: Sequence[str], own: list[Mention],
             names: bool) -> list[Mention]:
    """Claims of values that the reference does not name, by their place. `names`: capitalised words count as well."""
    text, found = said[index].text, []
    if said[index].asks:
        return []
    here = [m for m in own if m.sentence == index]
    if wanted[:1].isupper():
        if names:
            places = [*_CLAIMED.finditer(text), *_BARE.finditer(text)]
            places += [m for o in here for m in _listed(text, o.start, o.start + len(wanted))]
            for m in places:
                name = m["name"]
                while name.split()[0] in _NO_NAMES and " " in name:
                    name = name.partition(" ")[2]
                start = m.end("name") - len(name)
                if _another(name, wanted, subject):
                    found.append(Mention(name, index, start, stance(said, index, start, m.end("name"))))
    elif names:
        for o in here:
            if _SMALL_LIST.search(text[o.start + len(wanted):]) or _SMALL_LIST_BEFORE.search(text[:o.start]):
                found.append(Mention("another", index, o.start + 1, OPEN))
        if (m := _TURN.search(text)) and m["name"].casefold() not in wanted.casefold() and not any(
                o.start >= m.start() for o in here):
            found.append(Mention(m["name"], index, m.start("name"), stance(said, index, m.start("name"), m.end("name"))))
        elif not here and (m := re.fullmatch(r"(?:an? |the )?(?P<name>[A-Za-z-]+)[.!]*", text)) \
                and m["name"] not in _NO_NAMES and m["name"].casefold() != wanted.casefold() and own:
            found.append(Mention(m["name"], index, m.start("name"), stance(said, index, m.start("name"), m.end("name"))))
    for o in own:  # in the words in which the wanted value is claimed
        frame = said[o.sentence].text[:o.start]
        if o.sentence != index and o.stance == AFFIRMED and _COPULA.search(frame) and not here and text.startswith(frame):
            m = _FOLLOWS.match(text, len(frame))
            if m and m["words"][:1].isupper() == wanted[:1].isupper() and "not" not in m["words"].split():
                found.append(Mention(m["words"], index, m.start("words"),
                                     stance(said, index, m.start("words"), m.end("words"))))
    return found


def _listed(text: str, start: int, end: int) -> list[re.Match]:
    """Names that stand beside a mention in one list."""
    return [m for m in (_ITEM_AFTER.search(text[end:]), _ITEM_BEFORE.search(text[:start])) if m]


def _another(name: str, wanted: str, subject: Sequence[str]) -> bool:
    """Whether a name is another value: not the wanted one or a part of it, nor what the question is of."""
    words = [w.removesuffix("'s") for w in name.split()]
    known = {w.casefold().strip(".,?!'\"") for each in (wanted, *subject) for w in each.split()}
    known |= {w.removesuffix("'s") for w in known}
    return bool(words) and not any(w.casefold() in known for w in words) and words[0] not in _NO_NAMES


def _without_retracted(said: list[Sentence], own: list[Mention], other: list[Mention]) -> tuple[list, list]:
    """What is claimed after the last retraction, if something is."""
    marks = [(index, m.end()) for index, s in enumerate(said) for m in RETRACTION.finditer(s.text)]
    for mark in reversed(marks):
        after = [[m for m in part if (m.sentence, m.start) >= mark] for part in (own, other)]
        if any(m.stance != DENIED for part in after for m in part) and len(after[0]) + len(after[1]) < len(own) + len(other):
            return after[0], after[1]
    return own, other


def _missing(wanted: str, rival: str | None, refusal: bool, said: list[Sentence]) -> tuple[bool | None, str]:
    text = " ".join(s.text for s in said if not s.asks)
    if refusal and not rival:
        return False, "refuses what it could know"
    if in_another_script(text, wanted):
        return None, "the answer is missing, or in another script"
    last = wanted.rpartition(" ")[2]
    if last != wanted and last[:1].isupper() and len(last) > SHORT and not rival and re.search(
            rf"(?<![A-Za-z] )(?<!\w){re.escape(last)}(?!\w)|\b(?:by|is|was) {re.escape(last)}(?!\w)", text):
        return None, "the answer is missing but for a part of it"
    return False, "the answer is missing"
