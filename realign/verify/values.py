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
    SUPPOSED,
    Sentence,
    in_another_script,
    refusals,
    sentences,
    stance,
)
from realign.verify.form import normal
from realign.verify.phrases import ASKS_ANEW, RETRACTION, TAKES_BACK

ENOUGH = 8  # values of one sentence whose place is looked at; more rivals change nothing
SHORT = 3  # letters; up to this, case tells a value (In, As, He) from a word
_I = re.IGNORECASE
_LONGER_BEFORE = re.compile(r"\b(?:San|Santa|Santo|New|North|South|East|West|Port|Mount|Lake|Fort|Saint|St\.?|Los"
                            r"|Las|El|Great|Upper"
                            r"|Lower|Old|Little|Anti|Non|Nueva|Nova|Rio)[ -]$")
_LONGER_AFTER = re.compile(r"^(?:[ -](?:Beach|County|City|Street|River|Bay|Lake|Junior|Jr|II|III|Province|Island"
                           r"|Islands|Airport"
                           r"|University|Hills?|Park|Town|Valley|Heights)\b| (?:beans?|syndrome|sauce|airport|street)\b"
                           r"|-[a-z]|'s (?!the\b|a\b|my\b|what\b)\w+ (?:is|was)\b)")
# What capital letters name no value: the first words of sentences, and greetings.
_NO_NAMES = frozenset(
    [
        "Legend", "Rumour", "Rumor", "Tradition", "I", "A", "An", "The", "It", "This", "That", "These", "Those",
        "There", "Here", "He", "She", "We", "You", "They", "My", "Your", "His", "Her", "Its", "Our", "Their", "Yes",
        "No", "Not", "Sure", "Well", "Ok", "Okay", "Wait", "Sorry", "Actually", "Correct", "Right", "Wrong", "True",
        "False", "So", "But", "And", "Or", "If", "Then", "Now", "Hello", "Hi", "Thanks", "Please", "Of", "Certainly",
        "Gladly", "Oops", "Correction", "Answer", "Everyone", "People", "Some", "Many", "Most", "Nobody", "Nothing",
        "None", "What", "Who", "Which", "When", "Where", "Why", "How", "Maybe", "Perhaps", "Possibly", "Probably",
        "Definitely", "Obviously", "Clearly", "Indeed", "Exactly", "Good", "Great", "Happy", "As", "In", "On", "At",
        "To", "For", "From", "With", "By", "According", "Although", "Though", "However", "Also", "Just", "Only",
        "Both", "Either", "Neither", "One", "Two", "Let", "Easy", "Done", "Hmm", "Ah", "Oh", "Unknown", "Absolutely",
        "Yep", "Nope"
    ])
_NAME = r"(?P<name>[A-Z][\w'-]*(?: (?:(?:de|del|la|le|of|the|van|von|da|di) )*[A-Z][\w'-]*)*)"
_CLAIMED = re.compile(rf"(?:\b(?:is|was|be|are|were|meant|mean|say|answer|actually|instead|called|named|becomes?"
                      rf"|became|chose"
                      rf"|choose|pick|but|no|nope|now|by|it)\b[\s,:\"'-]{{1,3}}(?:(?:the|in|of|actually"
                      rf"|really) )?\"?|:\s\"?){_NAME}")
_BARE = re.compile(rf"^\W*(?:the )?{_NAME}\W*(?:$|,? (?:is|was|not|rather|instead|of course|I|definitely|surely"
                   rf"|for sure"
                   r"|obviously|wrote|won|did|has)\b)")
_COPULA = re.compile(r"\b(?:is|was|are|were|answer:)\s+(?:the |an? )?$", _I)
_FOLLOWS = re.compile(r"(?:the |an? )?(?P<words>[\w'-]+(?: [\w'-]+)?)\s*[.!,;]*$", _I)
_TURN = re.compile(r"\b(?:but|actually|now|correction|instead|really|no|in fact|rather)\b\W{1,2}(?:it is|it was"
                   r"|(?:the|my|its|his|her)"
                   r" (?:\w+ ){1,3}?(?:is|was)|that is|we have)? ?(?:an? |the |now )*(?P<name>[a-z][\w-]*)\W*$", _I)
_REMARKS = frozenset([
    "all", "clear", "correct", "easy", "enough", "fine", "good", "hard", "it", "known", "nice", "obvious", "right",
    "simple", "so", "true"
])
_ALONE = re.compile(r"(?:an? |the )?(?P<name>[A-Za-z-]+)[.!]*", _I)
_ITEM_AFTER = re.compile(rf"^[\"']?,? (?:and |& |as well as |plus )?(?:also )?{_NAME}(?=\W*$|,| and\b| or\b| are\b)")
_ITEM_BEFORE = re.compile(rf"(?:^|\b(?:is|are|was|of|:) |, ){_NAME}[\"']?,?(?: and| &|,)?(?: also)? [\"']?$")
_SMALL_LIST = re.compile(r"^(?:, (?!not\b|please\b|sir\b|I\b)[a-z][\w-]*){1,}(?:,? (?:and|or) [a-z][\w-]*)?\W*$"
                         r"|^,? (?:and|&) (?:also )?(?:an? |the )?[a-z][\w-]*\W*$")
_SMALL_LIST_BEFORE = re.compile(r"(?:^|\b(?:is|are|was) |: )(?:an? |the )?(?:[\w-]+, )+(?:and |or )?(?:an? |the )?$"
                                r"|(?:^|\b(?:is|are|was) )(?:an? |the )?[\w-]+ (?:and|&) (?:an? |the )?$", _I)
_MARKED = re.compile(r"\banswer(?: is)?\W*(?:the )?$|^\W*(?:answer|a|ans)\W*:", _I)
_BRITISH = {"gray": "grey", "color": "colour", "center": "centre", "theater": "theatre", "aluminum": "aluminium",
            "sulfur": "sulphur",
            "harbor": "harbour", "plow": "plough", "jewelry": "jewellery", "mustache": "moustache",
            "pajamas": "pyjamas",
            "donut": "doughnut", "tire": "tyre", "armor": "armour", "fiber": "fibre"}
_AMERICAN = re.compile(rf"\b(?:{'|'.join(_BRITISH)})\b", _I)


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


def one_spelling(text: str) -> str:
    """`text` with American spellings of some common words made British."""
    return _AMERICAN.sub(lambda m: m.group()[0] + _BRITISH[m.group().casefold()][1:], text)


@lru_cache(maxsize=8192)
def folded(words: str) -> str:
    """A value as it stands in a normal text."""
    return one_spelling(normal(words)) or words


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
    wanted, said = folded(answer), sentences(one_spelling(normal(text)))
    found = [m for index in range(len(said)) for m in _mentions(said, index, wanted, _candidates(answer, rivals))]
    own = [m for m in found if m.value == wanted]
    other = [m for m in found if m.value != wanted]
    refusal = any(not any(m.sentence == index and m.start < end and start < m.start + len(wanted) for m in own)
                  for index, start, end in refusals(said, subject))
    if own or not rivals:
        other += [m for index in range(len(said)) for m in _unnamed(said, index, wanted, subject, own, not rivals)]
    own, other = _without_retracted(said, own, other)
    return _decided(own, other, said, wanted, refusal, subject)


def _decided(own: list[Mention], other: list[Mention], said: list[Sentence], wanted: str,
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
        return _missing(wanted, rival, refusal, said, subject)
    if any(m.stance == AFFIRMED and _MARKED.search(said[m.sentence].text[:m.start]) for m in other) and not any(
            _MARKED.search(said[m.sentence].text[:m.start]) for m in own):
        return False, f"the answer is {rival}"
    if DENIED in stances and not stances & {AFFIRMED, OPEN}:
        return False, "denies it"
    if AFFIRMED not in stances and OPEN not in stances and any(m.stance == AFFIRMED for m in other):
        return False, f"also says {rival}"
    settled = next((m.value for m in other if m.stance == AFFIRMED and m.sentence > own[-1].sentence), None)
    if settled and AFFIRMED not in stances:
        return False, f"settles on {settled}"
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


def _mentions(said: list[Sentence], index: int, wanted: str, candidates: re.Pattern) -> list[Mention]:
    """The named values that a sentence mentions; rivals in questions are none."""
    text, found = said[index].text, []
    for m in candidates.finditer(text):
        same = m.group() == wanted or (len(wanted) > SHORT and m.group().casefold() == wanted.casefold())
        before, after = text[:m.start()], text[m.end():]
        if same and wanted[:1].isupper() and (_LONGER_BEFORE.search(before) or _LONGER_AFTER.search(after)):
            continue
        if not same and len(found) >= ENOUGH:
            continue
        how = stance(said, index, m.start(), m.end())
        if same or how != ASKED:
            found.append(Mention(wanted if same else m.group(), index, m.start(), how))
    return found


def _unnamed(said: list[Sentence], index: int, wanted: str, subject: Sequence[str], own: list[Mention],
             open_list: bool) -> list[Mention]:
    """Claims of values that the reference does not name, by their place. `open_list`: it names no rivals at all."""
    if said[index].asks:
        return []
    spans = _same_frame(said, index, wanted, own)
    if open_list:
        spans += _names(said[index].text, index, wanted, subject, own) if wanted[:1].isupper() else \
            _plain_words(said[index].text, index, wanted, own)
    text = said[index].text
    found = [Mention(text[start:end], index, start, stance(said, index, start, end)) for start, end in spans]
    lists = open_list and not wanted[:1].isupper() and any(
        _SMALL_LIST.search(said[index].text[m.start + len(wanted):]) or _SMALL_LIST_BEFORE.search(
            said[index].text[:m.start]) for m in own if m.sentence == index)
    return found + [Mention("another", index, len(said[index].text), OPEN)] * lists


def _names(text: str, index: int, wanted: str, subject: Sequence[str], own: list[Mention]) -> list[tuple[int, int]]:
    """Where capitalised words are claimed: after "is", as a whole sentence, or beside the wanted value in a list."""
    here = [(m.start, m.start + len(wanted)) for m in own if m.sentence == index]
    places = [*_CLAIMED.finditer(text), *_BARE.finditer(text)]
    places += [m for start, end in here for m in _listed(text, start, end)]
    spans = []
    for m in places:
        name, end = m["name"], m.end("name")
        if m.re is _ITEM_AFTER:  # it was searched in the rest of the text
            end += next(e for s, e in here if text[e:].startswith(m.string))
        while name.split()[0] in _NO_NAMES and " " in name:
            name = name.partition(" ")[2]
        if _another(name, wanted, subject):
            spans.append((end - len(name), end))
    return spans


def _plain_words(text: str, index: int, wanted: str, own: list[Mention]) -> list[tuple[int, int]]:
    """Where another word is claimed: after a turn ("but it is X"), or as a whole sentence besides the wanted one."""
    here = [m for m in own if m.sentence == index]
    turn, alone = _TURN.search(text), _ALONE.fullmatch(text)
    if turn and turn["name"].casefold() not in wanted.casefold() and all(m.start < turn.start() for m in here):
        return [turn.span("name")]
    if own and not here and alone and alone["name"] not in _NO_NAMES:
        return [alone.span("name")]
    return []


def _same_frame(said: list[Sentence], index: int, wanted: str, own: list[Mention]) -> list[tuple[int, int]]:
    """Where another value is claimed in the words in which the wanted value is claimed elsewhere."""
    spans, text = [], said[index].text
    if any(m.sentence == index for m in own):
        return spans
    for m in own:
        frame = said[m.sentence].text[:m.start]
        if m.stance == AFFIRMED and _COPULA.search(frame) and text.startswith(frame):
            other = _FOLLOWS.match(text, len(frame))
            words = other["words"] if other else "not"
            if words[:1].isupper() == wanted[:1].isupper() and "not" not in words.split() and words not in _REMARKS:
                spans.append(other.span("words"))
    return spans


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
    marks = [(index, m.end()) for index, s in enumerate(said) if not s.plain for m in RETRACTION.finditer(s.text)]
    for mark in reversed(marks):
        after = [[m for m in part if (m.sentence, m.start) >= mark] for part in (own, other)]
        fewer = len(after[0]) + len(after[1]) < len(own) + len(other)
        if fewer and any(m.stance != DENIED for part in after for m in part):
            return after[0], after[1]
    return own, other


def _missing(wanted: str, rival: str | None, refusal: bool, said: list[Sentence],
             subject: Sequence[str]) -> tuple[bool | None, str]:
    text = " ".join(s.text for s in said if not s.asks)
    if refusal and not rival:
        return False, "refuses what it could know"
    if in_another_script(text, wanted):
        return None, "the answer is missing, or in another script"
    first, _, last = wanted.partition(" ")[0], "", wanted.rpartition(" ")[2]
    if last != first and wanted[:1].isupper() and not rival and re.search(
            rf"(?<!\w){re.escape(first)}(?: (?:[A-Z][\w.'-]*|de|la|van|von))+ {re.escape(last)}(?!\w)", text):
        return True, "right, with a middle name"
    if last != wanted and last[:1].isupper() and len(last) > SHORT and not rival and re.search(
            rf"(?<![A-Za-z] )(?<!\w){re.escape(last)}(?!\w)|\b(?:by|is|was) {re.escape(last)}(?!\w)", text):
        if "who" in {each.casefold() for each in subject}:
            return True, "right by surname"
        return False, "the answer is missing but for a part of it"
    return False, "the answer is missing"
