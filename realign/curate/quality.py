"""The row checks behind "data quality", and the figure they make."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from realign.curate.decontaminate import Index, contamination_fault
from realign.curate.personal import personal_data
from realign.curate.rejected import reject
from realign.curate.text import Texts, normalise
from realign.lake.schemas import row_fault
from realign.metrics import Metric, proportion

# UTF-8 that was decoded as Windows-1252: "é" as "Ã©", "’" as "â€™", Cyrillic as "Ð¿Ñ€".
_TAIL = "\u0080-\u00bf€‚ƒ„†‡ˆ‰Š‹ŒŽ•˜™š›œžŸ"
_MOJIBAKE = re.compile("|".join([
    rf"Ã[{_TAIL}]", r"Â[\u00a0-\u00bf]", r"â€\S", "â‚¬", "ï»¿", "ï¿½", "ðŸ",
    rf"(?:[ÐÑ][{_TAIL}‘’“”–—…]){{2}}",
]))
_UNPRINTED = ("Cc", "Cs")  # controls, lone surrogates
_REPEATS = 3  # fewer occurrences are no evidence of a loop


@dataclass(frozen=True)
class Limits:
    """What a text may be: its length in characters, and how much of it may repeat itself."""

    min_chars: int = 1
    max_chars: int = 20_000
    max_repetition: float = 0.4


def check_rows(
    rows: Iterable[dict], texts: Texts, schema: pa.Schema, limits: Limits = Limits(),
    index: Index | None = None,
) -> tuple[list[dict], list[dict]]:
    """`(kept, rejected)` after every row check; a row is rejected for the first one that it fails.

    In order: schema (`missing_field`, `wrong_type`, `invalid_utf8`, `unknown_field`), `empty_text`,
    `encoding`, `too_short`, `too_long`, `repetition`, `personal_data`, `duplicate` of a row kept
    before, `contaminated` by the evaluation rows of `index`.
    """
    seen: dict[tuple[str, ...], int] = {}
    kept, rejected = [], []
    for position, row in enumerate(rows, 1):
        fault = row_fault(row, schema) or _fault(texts(row), limits, seen, index)
        if fault is None:
            seen[_key(texts(row))] = position
            kept.append(row)
        else:
            rejected.append(reject(row, position, *fault))
    return kept, rejected


def _fault(
    texts: Sequence[str], limits: Limits, seen: dict, index: Index | None
) -> tuple[str, str] | None:
    if fault := text_fault(texts, limits):
        return fault
    if (first := seen.get(_key(texts))) is not None:
        return "duplicate", f"same text as row {first}"
    return contamination_fault(texts, index) if index else None


def data_quality(passed: int, total: int, agreement: Metric | None = None) -> Metric:
    """Share of rows that pass every check, times the label agreement where there are labels.

    The interval of the product is from the limits of both shares (MOVER, Zou and Donner 2008).
    """
    share = proportion(passed, total)
    if agreement is None:
        return share
    p, a = share, agreement
    low = math.hypot(a.value * (p.value - p.low), p.value * (a.value - a.low))
    high = math.hypot(a.value * (p.high - p.value), p.value * (a.high - a.value))
    value = p.value * a.value
    return Metric(value, min(p.n, a.n), max(0.0, value - low), min(1.0, value + high))


def text_fault(texts: Sequence[str], limits: Limits) -> tuple[str, str] | None:
    """`(reason, detail)` of the first check that one of the texts fails, else None."""
    checks = (_empty, encoding_fault, lambda t: _length(t, limits),
              lambda t: _repeats(t, limits), _personal)
    return next((fault for check in checks for text in texts if (fault := check(text))), None)


def encoding_fault(text: str) -> tuple[str, str] | None:
    """Signs of a wrong decoding: replacement and control characters, mojibake."""
    if "\ufffd" in text:
        return "encoding", "holds U+FFFD, the mark of bytes that could not be decoded"
    control = next((c for c in text if unicodedata.category(c) in _UNPRINTED and c not in "\n\r\t"), None)
    if control is not None:
        return "encoding", f"holds the control character U+{ord(control):04X}"
    if match := _MOJIBAKE.search(text):
        return "encoding", f"holds {match.group()!r}: UTF-8 that was read as Windows-1252"
    return None


def repetition(text: str) -> float:
    """How much of `text` repeats itself, from 0 to 1: the largest of three shares.

    The most common word 3-gram among all 3-grams and the most common line among all lines, each
    once it occurs three times; and the words inside 10-grams that stood before (a loop of a whole
    sentence). After Rae et al. 2021 (Gopher), table A1.
    """
    words = normalise(text).split()
    lines = [normalise(line) for line in text.splitlines() if line.strip()]
    grams = [tuple(words[i:i + 3]) for i in range(len(words) - 2)]
    return max(_top_share(grams), _top_share(lines), _repeated_share(words, 10))


def _top_share(items: list) -> float:
    count = max(Counter(items).values(), default=0)
    return count / len(items) if count >= _REPEATS else 0.0


def _repeated_share(words: list[str], n: int) -> float:
    before, repeated = set(), set()
    for start in range(len(words) - n + 1):
        gram = tuple(words[start:start + n])
        if gram in before:
            repeated.update(range(start, start + n))
        before.add(gram)
    return len(repeated) / len(words) if words else 0.0


def _empty(text: str) -> tuple[str, str] | None:
    return None if text.strip() else ("empty_text", "a text is empty")


def _length(text: str, limits: Limits) -> tuple[str, str] | None:
    if len(text) < limits.min_chars:
        return "too_short", f"{len(text)} characters; at least {limits.min_chars}"
    if len(text) > limits.max_chars:
        return "too_long", f"{len(text)} characters; at most {limits.max_chars}"
    return None


def _repeats(text: str, limits: Limits) -> tuple[str, str] | None:
    share = repetition(text)
    return ("repetition", f"{share:.0%} of a text repeats itself") if share > limits.max_repetition else None


def _personal(text: str) -> tuple[str, str] | None:
    kinds = personal_data(text)
    return ("personal_data", f"holds: {', '.join(kinds)}") if kinds else None


def _key(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(normalise(text) for text in texts)
