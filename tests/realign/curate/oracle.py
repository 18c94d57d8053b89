"""The checks, of rows that are dictionaries, looked at one by one and word by word: what those of frames must equal."""

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from realign.curate.checks import Limits, encoding_fault
from realign.curate.contamination import Match
from realign.curate.personal import personal_data
from realign.curate.rejected import rejected_row
from realign.curate.repetition import repetition
from realign.curate.splits import split_of
from realign.curate.text import _LATIN, normalise

DEFAULT = Limits()
Texts = Callable[[dict], Sequence[str]]


def chat_texts(row: dict) -> list[str]:
    return [message["content"] for message in row["messages"]]


def pair_texts(row: dict) -> list[str]:
    return [*chat_texts(row), row["chosen"], row["rejected"]]


@dataclass
class Index:
    """The questions and answers of evaluation rows, as words, with the ids of their rows; how many hold each run of 3
    words; and the questions that must be whole texts."""

    texts: list[tuple[str, list[str]]]
    holders: Counter
    short: dict[str, str]

    def weight(self, run: tuple[str, ...]) -> int:
        return round(100 * math.log1p(len(self.texts) / self.holders[run]))


def seen_alike(text: str) -> str:
    """A text as everything is compared: by what it looks like."""
    seen = [c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in ("Cf", "Mn", "Mc", "Me")]
    return normalise("".join(_LATIN.get(c, c) for c in seen))


def spots(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i:i + n]) for i in range(len(words) - n + 1)]


def index_evaluation(rows: Iterable[tuple[str, str]], answers: Iterable[tuple[str, str]] = ()) -> Index:
    """The index of `(id, question)` and `(id, answer)`."""
    index, known = Index([], Counter(), {}), set()
    for texts, asked in ((rows, True), (answers, False)):
        for name, text in texts:
            words = seen_alike(text).split()
            if len(words) < 5 and words and asked:
                index.short.setdefault(" ".join(words), name)
            elif len(words) >= 5 and tuple(words) not in known:
                known.add(tuple(words))
                index.texts.append((name, words))
                index.holders.update(set(spots(words, 3)))
    return index


def held(theirs: list[str], words: list[str], weight: Callable[[tuple[str, ...]], int]) -> float | None:
    """The share of an evaluation text that a row's words hold, or None where that is not enough: the definition."""
    if not set(spots(theirs, 5)) & set(spots(words, 5)):
        return None
    here, runs = set(spots(words, 3)), spots(theirs, 3)
    stands = [run in here for run in runs]
    covered = {at + i for at, there in enumerate(stands) if there for i in range(3)}
    known = sum(weight(run) for run, there in zip(runs, stands, strict=True) if there)
    total = sum(map(weight, runs))
    if len(theirs) < 10:
        enough = all(stands)
    elif len(theirs) < 20:
        enough = len(covered) == len(theirs)
    else:
        enough = 2 * known >= total
    return known / total if enough else None


def contamination(texts: Sequence[str], index: Index) -> Match | None:
    """The evaluation row that the texts of a row hold, or None."""
    alike = [seen_alike(text) for text in texts]
    joined = " ".join(text for text in alike if text)
    shares = [(held(theirs, joined.split(), index.weight), name) for name, theirs in index.texts]
    found = [(share, name) for share, name in shares if share is not None]
    if found:
        share = max(share for share, _ in found)
        return Match(next(name for each, name in found if each == share), share)
    return next((Match(index.short[text], 1.0) for text in [*alike, joined] if text in index.short), None)


def contamination_fault(texts: Sequence[str], index: Index) -> tuple[str, str] | None:
    """`("contaminated", detail)` if a row of these texts is contaminated."""
    match = contamination(texts, index)
    return match and ("contaminated", f"holds evaluation row {match.evaluation_id} ({match.share:.0%} of it)")


def check_rows(
    rows: Iterable[dict], texts: Texts, limits: Limits = DEFAULT, index: "Index | None" = None
) -> tuple[list[dict], list[dict]]:
    seen: dict[tuple[str, ...], int] = {}
    kept, rejected = [], []
    for position, row in enumerate(rows, 1):
        fault = _fault(texts(row), limits, seen, index)
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


def text_fault(texts: Sequence[str], limits: Limits) -> tuple[str, str] | None:
    """`(reason, detail)` of the first check that one of the texts fails, else None."""
    checks = (_empty, encoding_fault, lambda t: _length(t, limits),
              lambda t: _repeats(t, limits), _personal)
    return next((fault for check in checks for text in texts if (fault := check(text))), None)


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


def reject(row: dict, position: int, reason: str, detail: str) -> dict:
    name = row.get("row_id") or row.get("example_id") or ""
    detail = f"row {name}: {detail}" if name else detail
    return rejected_row(str(row.get("source") or ""), position, reason, detail, row)


def with_splits(
    rows: Iterable[dict], key: Callable[[dict], str], fractions: Mapping[str, float], seed: int
) -> list[dict]:
    return [{**row, "split": split_of(key(row), fractions, seed)} for row in rows]
