"""How one value is written: spellings, word order, initials, and what is left out without harm."""

import re
from functools import lru_cache

from realign.verify.form import normal

SHORT = 3  # letters; up to this, case tells a value (In, As, He) from a word
LONG_ENOUGH = 5  # letters, from which one wrong letter still tells the value
_I = re.IGNORECASE
_BRITISH = {"gray": "grey", "color": "colour", "center": "centre", "theater": "theatre", "aluminum": "aluminium",
            "sulfur": "sulphur",
            "harbor": "harbour", "plow": "plough", "jewelry": "jewellery", "mustache": "moustache",
            "pajamas": "pyjamas",
            "donut": "doughnut", "tire": "tyre", "armor": "armour", "fiber": "fibre"}
_AMERICAN = re.compile(rf"\b(?:{'|'.join(_BRITISH)})\b", _I)
# Heads of names that are as well left out, or abbreviated: Mount Elbrus, Mt. Elbrus, Elbrus.
_HEAD = re.compile(r"(?:(Mount)|(Saint)|River|Lake|Cape|Sir|Dr|King|Queen|President|Republic of) (?=[A-Z])")
_PERSON = re.compile(r"[A-Z][\w'-]+(?: [\w'-]+)* [A-Z][\w'-]+")


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
def forms(answer: str, of_person: bool) -> frozenset[str]:
    """The ways to write a value that are as good as its own: Mount Elbrus, Mt Elbrus, Elbrus; Nora Whitcombe, N
    Whitcombe and "Whitcombe, Nora" and, where a person was asked for, Whitcombe."""
    own = folded(answer)
    found = {own}
    if head := _HEAD.match(own):
        rest = own[head.end():]
        found |= {rest} if len(rest) > SHORT and not head[2] else set()
        found |= {f"Mt {rest}"} if head[1] else {f"St {rest}"} if head[2] else set()
    elif _PERSON.fullmatch(own):
        first, *more = own.split()
        found |= {f"{first[0]} {' '.join(more)}", f"{' '.join(more)}, {first}",
                  f"{more[-1]}, {' '.join([first, *more[:-1]])}"}
        found |= {more[-1]} if of_person and len(more[-1]) > SHORT else set()
    elif own.isalpha() and own.islower() and len(own) > SHORT:
        found |= {own.removesuffix("s")} if own.endswith("s") and not own.endswith("ss") else {f"{own}s", f"{own}es"}
    return frozenset(found)


@lru_cache(maxsize=8192)
def pattern(own: frozenset[str], rivals: tuple[str, ...]) -> re.Pattern:
    """Finds a value in any of its forms, with other names between the first and the last one, and its rivals."""
    named = whole_words(own | {folded(c) for c in rivals if c})
    people = [form.split() for form in own if _PERSON.fullmatch(form) and len(form.split()[0]) > 1]
    middle = [rf"(?<!\w){re.escape(p[0])}(?: (?:[A-Z][\w'-]*|de|la|van|von))+ {re.escape(p[-1])}(?!\w)" for p in people]
    return re.compile("|".join([named.pattern, *middle])) if middle else named


def is_one(found: str, own: frozenset[str]) -> bool:
    """Whether what `pattern` found is the value, not a rival."""
    return found in own or (len(found) > SHORT and (
        found.casefold() in _casefolded(own) or any(
            found.startswith(f"{form.split()[0]} ") and found.endswith(f" {form.split()[-1]}")
            for form in own if _PERSON.fullmatch(form))))


def is_surname(found: str, own: frozenset[str]) -> bool:
    """Whether it is the last of the names of a form only."""
    return " " not in found and any(form.endswith(f" {found}") and not _HEAD.match(form) for form in own)


@lru_cache(maxsize=8192)
def _casefolded(own: frozenset[str]) -> frozenset[str]:
    return frozenset(form.casefold() for form in own)


def nearly(words: str, text: str) -> bool:
    """Whether some words of `text` are `words` but for one letter that is wrong, missing, added or exchanged."""
    wanted, said = words.casefold(), re.findall(r"[\w'-]+", text.casefold())
    count = len(wanted.split())
    return len(wanted) >= LONG_ENOUGH and any(
        _one_apart(wanted, " ".join(said[at:at + count])) for at in range(len(said) - count + 1))


def _one_apart(a: str, b: str) -> bool:
    """Whether the Damerau-Levenshtein distance of two texts is 1."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest, other = a[start:], b[start:]
    return (rest[1:] == other[1:] or rest[1:] == other or rest == other[1:]
            or (rest[:2] == other[1::-1] and rest[2:] == other[2:]))
