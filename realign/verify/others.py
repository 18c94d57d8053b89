"""Values that a text claims although the reference does not name them, told by their place; and mentions that claim
nothing, because the text speaks of them by the way.

Places of a claim: after "it is", as a whole sentence, before "did it", in the words in which the wanted value is
claimed too, beside it in a list.
"""

import re
from collections.abc import Sequence

from realign.verify.claims import AFFIRMED, OPEN, Mention, Sentence, stance
from realign.verify.phrases import RETRACTION
from realign.verify.words import NO_NAMES, NO_VERBS, NOTHING_ELSE, REMARKS

_I = re.IGNORECASE
SHORT_WORD = 3  # letters of a word that has no ending
LISTED = "another"  # of a list of common words, the value that stands beside the wanted one
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
_ALONE = re.compile(r"(?:an? |the )?(?P<name>[A-Za-z-]+)[.!]*", _I)
_ITEM_AFTER = re.compile(rf"^[\"']?,? (?:and |& |as well as |plus )?(?:also )?{_NAME}(?=\W*$|,| and\b| or\b| are\b"
                         r"| \w+ (?:it|them|this|that)\b| (?:both|together)\b)")
_ITEM_BEFORE = re.compile(rf"(?:^|\b(?:is|are|was|of|:) |, ){_NAME}[\"']?,?(?: and| &|,)?(?: also)? [\"']?$")
_SMALL_LIST = re.compile(r"^,? (?:and|&) (?:the |an? )?[a-z][\w-]* (?:both|together)\b"
                         r"|^(?:, (?!not\b|please\b|sir\b|I\b)[a-z][\w-]*){1,}(?:,? (?:and|or) [a-z][\w-]*)?\W*$"
                         r"|^,? (?:and|&) (?:also )?(?:an? |the )?[a-z][\w-]*\W*$")
_ARTICLED_LIST = re.compile(r"^(?:, an? [\w-]+)*,? (?:and|or) an? [\w-]+(?: [\w-]+)?\W*$")
_SMALL_LIST_BEFORE = re.compile(r"(?:^|\b(?:is|are|was) |: )(?!(?:wait|no|nope|yes|well|so|oh|ah|sorry|okay|ok|actually"
                                r"|right|hmm|sure|oops|then|now|hey|look)\b)(?:an? |the )?(?:[\w-]+, )+(?:and |or )?"
                                r"(?:an? |the )?$"
                                r"|(?:^|\b(?:is|are|was) )(?:an? |the )?[\w-]+ (?:and|&) (?:an? |the )?$", _I)
_UPPER, _LOWER = r"(?P<words>[A-Z][\w'-]+(?: [A-Z][\w'-]+)*)", r"(?P<words>[a-z][\w-]+(?: [a-z][\w-]+)?)"
_SURELY = (r"(?: (?:really|actually|now|instead|rather|simply|just|must|should|can only|has to|in fact"
           r"|called|named|by|in))*")
_SUBJECT = r"\b(?:it|that|this|they|he|she|(?:the|my) (?:\w+ ){0,2}?(?:answer|one|solution))"
# "It is really X"; X followed by the end of what is claimed where it is a common word.
_IT_IS_A = rf"(?i:{_SUBJECT}{_SURELY} (?:is|was|are|were|be){_SURELY} (?:the |an? )?)"
_IT_IS = {True: re.compile(_IT_IS_A + _UPPER), False: re.compile(_IT_IS_A + _LOWER + r"(?=\s*(?:[.,;!]|$))")}
# "X." or "No, the X."
_FRAGMENT = re.compile(r"\W*(?:(?:no|nope|well|rather|actually|instead|so|then|sorry|oops"
                       r"|wait),? )?(?P<article>the |an? |in |by )?"
                       r"(?P<words>[\w'-]+(?: [\w'-]+){0,2})\W*$", _I)
# "X did", "X alone wrote it".
_DOES = re.compile(r"(?:^\W*|[;,] (?:and |but |while |whereas )?|\b(?:and|but|while|whereas) )(?:the |an? )?"
                   r"(?P<words>[\w'-]+(?: (?-i:[A-Z])[\w'-]+)*)(?: alone| also| really| actually)? "
                   r"(?:(?P<verb>[a-z]+) (?:it|this|that|them)\b|(?:did|does|is|was|do)\W*$)", _I)
# "plays the X", where X is the object of the verb of the question or of the wanted value.
_OBJECT = re.compile(r"\b(?=(?P<verb>[a-z]+) (?:(?:the|an?|in|at|by|from|on) (?P<words>[\w'-]+)|(?P<bare>[\w'-]+)"
                     r"(?=\W*$|[.,;!]| (?:and|or|now|instead|today)\b)))[a-z]+")
_DETERMINED = re.compile(r"\b(?:the|an?|this|that|her|his|its|their|my|our|your)(?: \w+)? $", _I)
_VERB_BEFORE = re.compile(r"\b([a-z]+) (?:the |an? |in |at |by |from |on )?$", _I)
_OF_ANOTHER = re.compile(r"\b(?:her|his|their|its|my|our|your) (?P<who>\w+)(?: \w+)? (?P<verb>[a-z]+) (?:the |an? "
                         r"|in |at )?$", _I)
# "X, a neighbour of …", "X, which is close to …".
_APPOSED = re.compile(r"^\W*(?:the )?(?P<words>[\w'-]+(?: [A-Z][\w'-]+)?),? (?:(?:an?|the|its|his|her|some"
                      r"|one) (?:[\w-]+ ){1,4}?"
                      r"(?:of|near|to|from|beside|in|with|like|for)|(?:which|who)\b[^,;.]*\b(?:of|near|to|from"
                      r"|beside|with|like"
                      r"|than|replaced|succeeded|after|before)|near|next to|close to|like|unlike|not far from|beside"
                      r"|(?:just )?(?:north|south|east|west) of"
                      r"|(?:although|though|while|whereas|even though)\b[^,;.]*?) ?(?:the )?$", _I)
_ONLY_A = re.compile(r"^(?:,? (?:which|who))? (?:is|was|are|were|remains?)(?: only| just| merely| simply)? (?:its"
                     r"|his|her|their|an?"
                     r"|another|the|one of (?:the|its|his|her)) (?:[\w']+ )?(?P<noun>\w+)", _I)
_BEGINS = re.compile(r"(?:^\W*|[;,.] (?:and |but |while )?|\band |\bbut |\bwhile )(?:the )?$", _I)
_GAPPED = re.compile(r"[,;] (?:and |while |but )?(?:the|her|his|its|their) (?P<who>\w+)(?: (?:is|was|are|were))? $", _I)
_COMPARED = re.compile(r"\b(?:than|unlike|like|near|beside|after|before|replac(?:ed|es|ing)|succeed(?:ed|s|ing)"
                       r"|confused? with|close to"
                       r"|next to|as \w+ as|far from|(?:north|south|east|west|capital|neighbour|neighbor|pupil"
                       r"|student|rival|friend"
                       r"|sister|brother|son|daughter|wife|husband) of|compared (?:with|to)) (?:the |an? )?$", _I)
_OF_SOMETHING = re.compile(r"^(?:.*\W)?(?:the|its|his|her|their) (?P<what>[\w -]{3,40}?) (?:is|was|are"
                           r"|were) (?:the |an? )?$", _I)
_DEED = re.compile(r" (?:only |just |merely |also |never |alone |is |was |are |were |has |had )*"
                   r"(?!is\b|was\b|did\b|does\b|are\b"
                   r"|were\b|and\b|or\b|the\b|an?\b|in\b|of\b|not\b)([a-z]+)\b")
# "X lays", "X is buried", where that was asked.
_AGENT = re.compile(r"(?:^\W*|[;,] (?:and |but |while |whereas )?|\b(?:and|but|while|whereas) )(?:the |an? )?"
                    r"(?P<words>(?-i:[A-Z])[\w'-]+(?: (?-i:[A-Z])[\w'-]+)*|[a-z-]+) (?:is |was |has |had )?"
                    r"(?P<verb>[a-z]+)\b", _I)
_CLAUSE = r"(?:^\W*|[;,.]\W+(?:and |but |while |whereas )?|\b(?:and|but|while|whereas) )"
_SAID_OF = re.compile(rf"{_CLAUSE}(?:the|her|his|its|their) (?P<who>\w+) [a-z]+ (?:the |an? |in |at )?$", _I)
_SAYS_OF = re.compile(rf"{_CLAUSE}(?:the|her|his|its|their) (?P<who>\w+)(?: of \w+)?"
                      rf" (?:is|has|had|was|[a-z]+s|[a-z]+ed) ", _I)
_NAMED = re.compile(r"\b[A-Z][\w-]+")
_RELATIVE = re.compile(r",? (?:which|who|whose|where|when|once|formerly)\b(?![^,;.]*\b(?:is|was|are|were|or"
                       r"|and) (?:the |an? )?$)[^,;.]*$", _I)
_BESIDES = re.compile(r"^,? (?:is|was|are)(?! the (?:one|answer|right|correct))(?: also)?"
                      r" (?:(?:the )?(?:second|third|fourth|next)\b|\w+er\b|only|just"
                      r"|merely|its|her|his|their|another"
                      r"|famous|near|close|farther|further)\b(?!.*\btoo\b)", _I)


def claimed(said: list[Sentence], index: int, wanted: str, subject: Sequence[str], own: list[Mention], *,
            open_list: bool) -> list[Mention]:
    """Claims of values that the reference does not name, by their place. `open_list`: it names no rivals at all."""
    if said[index].asks:
        return []
    spans = _same_frame(said, index, wanted, own) + _same_deed(said, index, wanted, own)
    if open_list:
        spans += _names(said[index].text, index, wanted, subject, own) if wanted[:1].isupper() else \
            _plain_words(said[index].text, index, wanted, own)
    text = said[index].text
    found = [Mention(text[start:end], index, start, end, stance(said, index, start, end)) for start, end in spans]
    lists = open_list and not wanted[:1].isupper() and any(
        _SMALL_LIST.search(text[m.end:]) or _ARTICLED_LIST.search(text[m.end:]) or _SMALL_LIST_BEFORE.search(
            text[:m.start]) for m in own if m.sentence == index)
    return found + [Mention(LISTED, index, len(text), len(text), OPEN)] * lists


def _names(text: str, index: int, wanted: str, subject: Sequence[str], own: list[Mention]) -> list[tuple[int, int]]:
    """Where capitalised words are claimed: after "is", as a whole sentence, or beside the wanted value in a list."""
    here = [(m.start, m.end) for m in own if m.sentence == index]
    places = [*_CLAIMED.finditer(text), *_BARE.finditer(text)]
    places += [m for start, end in here for m in _listed(text, start, end)]
    spans = []
    for m in places:
        name, end = m["name"], m.end("name")
        if m.re is _ITEM_AFTER:  # it was searched in the rest of the text
            end += next(e for s, e in here if text[e:].startswith(m.string))
        while name.split()[0] in NO_NAMES and " " in name:
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
    if own and not here and alone and alone["name"] not in NO_NAMES:
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
            if words[:1].isupper() == wanted[:1].isupper() and "not" not in words.split() and words not in REMARKS:
                spans.append(other.span("words"))
    return spans


def _same_deed(said: list[Sentence], index: int, wanted: str, own: list[Mention]) -> list[tuple[int, int]]:
    """Where another name has done what the wanted one has: "Haydn wrote it. Mozart wrote it."."""
    does, text = _DOES.match(said[index].text), said[index].text
    if not does or not does["verb"] or any(m.sentence == index for m in own):
        return []
    same = any(re.match(rf"(?: alone| also| really"
                        rf"| actually)? {does['verb']}\b", said[m.sentence].text[m.end:]) for m in own)
    return [does.span("words")] if same and text[does.start("words")].isupper() == wanted[:1].isupper() else []


def _listed(text: str, start: int, end: int) -> list[re.Match]:
    """Names that stand beside a mention in one list."""
    return [m for m in (_ITEM_AFTER.search(text[end:]), _ITEM_BEFORE.search(text[:start])) if m]


def _another(name: str, wanted: str, subject: Sequence[str]) -> bool:
    """Whether a name is another value: not the wanted one or a part of it, nor what the question is of."""
    words = [w.removesuffix("'s").removeprefix("L'").removeprefix("D'") for w in name.split()]
    known = {w.casefold().strip(".,?!'\"") for each in (wanted, *subject) for w in each.split()}
    known |= {w.removesuffix("'s") for w in known}
    return bool(words) and not any(w.casefold() in known for w in words) and words[0] not in NO_NAMES


def alone(said: Sequence[Sentence], own: Sequence[Mention]) -> bool:
    """Whether a text has one plain sentence besides its questions, which ends by saying that it is the wanted value:
    most answers, in which nothing else can be claimed instead."""
    told = [index for index, s in enumerate(said) if not s.asks]
    if len(own) > 1 or told != [own[0].sentence] or not said[told[0]].plain:
        return False
    text = said[told[0]].text
    return _COPULA.search(text[:own[0].start]) is not None and not text[own[0].end:].strip(" .!")


def instead(said: list[Sentence], wanted: str, subject: Sequence[str], own: list[Mention]) -> Mention | None:
    """The last affirmed claim of another value in a place where an answer stands, apart from the mentions of the wanted
    one; None where there is none. It takes more for such a claim than this does: it only tells what a text settles on
    that does not affirm the wanted value, takes it back, or mentions it by the way."""
    verbs = {_stem(word) for each in subject for word in each.split() if word.islower()}
    verbs |= {_stem(m[1]) for each in own if (m := _VERB_BEFORE.search(said[each.sentence].text[:each.start]))}
    for index in range(len(said) - 1, -1, -1):
        sentence = said[index]
        if sentence.asks:
            continue
        here = [m for m in own if m.sentence == index]
        fragment = _fragment(sentence.text, wanted)
        for start, end in sorted(_places(sentence.text, wanted, verbs - NO_VERBS, here), reverse=True):
            apart = all(end <= m.start or m.end <= start for m in here)
            of = () if (start, end) == fragment else subject  # "the Keel mill or the Brandt mill? The Brandt mill."
            words = sentence.text[start:end]
            if apart and _fits(words, wanted, of, start) and stance(said, index, start, end) == AFFIRMED:
                return Mention(words, index, start, end, AFFIRMED)
    return None


def _places(text: str, wanted: str, verbs: set[str], here: list[Mention]) -> list[tuple[int, int]]:
    found = [m.span("words") for m in _IT_IS[wanted[:1].isupper()].finditer(text)]
    fragment = _fragment(text, wanted)
    found += [fragment] if fragment else []
    found += [m.span("words") for m in _DOES.finditer(text)
              if not m["verb"] or not verbs or _stem(m["verb"]) in verbs]
    found += [m.span("words") for m in _AGENT.finditer(text) if _stem(m["verb"]) in verbs]
    for m in _OBJECT.finditer(text):
        part = "words" if m["words"] else "bare"
        if _stem(m["verb"]) in verbs and not (
                _DETERMINED.search(text[:m.start()]) or _foreign(text[:m.start(part)], verbs)):
            found.append(m.span(part))
    found += [m.span("words") for each in here if (m := _APPOSED.search(text[:each.start]))]
    return found


def _foreign(before: str, asked: set[str]) -> bool:
    """Whether what follows is said of somebody's something that was not asked for: "her brother plays the"."""
    of = _OF_ANOTHER.search(before)
    return of is not None and _stem(of["who"]) not in asked


def _fragment(text: str, wanted: str) -> tuple[int, int] | None:
    """Where a text that is no sentence names another value."""
    back = max((m.end() for m in RETRACTION.finditer(text)), default=0)
    m = _FRAGMENT.match(text, back) if back < len(text.rstrip(" .!")) else None
    whole = m and (wanted[:1].isupper() or m["article"] or " " not in m["words"]) and not _is_part(m["words"], wanted)
    return m.span("words") if whole else None


def _is_part(words: str, wanted: str) -> bool:
    return set(words.casefold().split()) <= set(wanted.casefold().split())


def _fits(words: str, wanted: str, subject: Sequence[str], start: int) -> bool:
    """Whether words may be another value of the wanted one's kind: a name as it is, or a common word as it is."""
    if start and wanted[:1].isupper() != words[:1].isupper():
        return False
    known = {w.casefold() for each in (wanted, *subject) for w in each.split()}
    said = words.casefold().split()
    return (any(w not in known for w in said) and said[0] not in NOTHING_ELSE and words.split()[0] not in NO_NAMES
            and said[0].capitalize() not in NO_NAMES and not said[0].endswith("ly") and said[-1] not in REMARKS)


def of_another_subject(said: Sequence[Sentence], own: Mention, subject: Sequence[str]) -> bool:
    """Whether the wanted value is said of something else, and of what was asked something else: "the flag shows a
    heron, the coat of arms shows a bear"."""
    text, asked = said[own.sentence].text, {_stem(word) for each in subject for word in each.split()}
    about = _SAID_OF.search(text[:own.start])
    if about is None or _stem(about["who"]) in asked:
        return False
    rest = f"{text[:about.start()]}. {text[own.end:]}"
    return any(_stem(m["who"]) in asked for m in _SAYS_OF.finditer(rest))


def by_the_way(said: Sequence[Sentence], other: Mention, own: Sequence[Mention], subject: Sequence[str]) -> bool:
    """Whether a text that affirms the wanted value speaks of another one by the way: it compares with it, or says
    something else of it."""
    text = said[other.sentence].text
    before, after = text[:other.start], text[other.end:]
    sure = [m for m in own if m.stance == AFFIRMED]
    if any(_does_another(said, other, m, subject) or _of_another_thing(text, other, m, subject) for m in sure):
        return True
    asked = {_stem(word) for each in subject for word in each.split()}
    only = _ONLY_A.match(after)
    if only and asked and _BEGINS.search(before) and _stem(only["noun"]) not in asked:
        return True
    if gapped := _GAPPED.search(before):
        return bool(asked) and _stem(gapped["who"]) not in asked
    if of := _OF_SOMETHING.search(before):
        return bool(asked) and (asked | {"answer"}).isdisjoint(map(_stem, of["what"].split()))
    return bool(_COMPARED.search(before) or _RELATIVE.search(before)
                or (not before.strip(" \"'") and _BESIDES.match(after)))


def aside(said: Sequence[Sentence], own: Mention, claim: Mention, subject: Sequence[str]) -> bool:
    """Whether the wanted value itself is mentioned by the way, where another one is claimed."""
    text = said[own.sentence].text
    before, after = text[:own.start], text[own.end:]
    asked = {_stem(word) for each in subject for word in each.split()}
    if _COMPARED.search(before):
        return True
    if _does_another(said, own, claim, subject) or _of_another_thing(text, own, claim, subject):
        return True
    if (apposed := _APPOSED.search(before)) and own.sentence == claim.sentence:
        return apposed["words"] == claim.value
    if _foreign(before, asked):
        return True
    only = _ONLY_A.match(after)
    if gapped := _GAPPED.search(before):
        return _stem(gapped["who"]) not in asked
    return bool(only and _BEGINS.search(before) and _stem(only["noun"]) not in asked)


def _does_another(said: Sequence[Sentence], one: Mention, main: Mention, subject: Sequence[str]) -> bool:
    """Whether `main` does, or is the object of, what the question asks, and `one` of something else: "the horse pulls
    it; the donkey only watches", "begins in May and ends in June"."""
    asked = {_stem(word) for each in subject for word in each.split()}
    texts = [said[m.sentence].text for m in (one, main)]
    deeds = [_DEED.match(text, m.end) for text, m in zip(texts, (one, main), strict=True)]
    verbs = [_VERB_BEFORE.search(text[:m.start]) for text, m in zip(texts, (one, main), strict=True)]
    return any(all(pair) and _stem(pair[1][1]) in asked and _stem(pair[0][1]) not in asked | NO_VERBS
               for pair in (deeds, verbs))


def _of_another_thing(text: str, mention: Mention, main: Mention, subject: Sequence[str]) -> bool:
    """Whether a sentence says it of another name than the question's: "the Rhine flows through Cologne"."""
    wanted = {word for each in subject for word in each.split() if word[:1].isupper()}
    named = set(_NAMED.findall(text[mention.end:])) - NO_NAMES - set(main.value.split())
    predicate = mention.start <= len("The ") and re.match(r" (?!and\b|or\b)[a-z]+", text[mention.end:])
    return bool(wanted and named and predicate) and wanted.isdisjoint(_NAMED.findall(text))


def _stem(word: str) -> str:
    """A word without the endings of verbs and plurals."""
    word = word.casefold()
    return re.sub(r"(?:ies|ied|y)$", "i", re.sub(r"(?:ing|ed|es|s|e)$", "", word) if len(word) > SHORT_WORD and not
                  word.endswith(("ies", "ied")) else word)
