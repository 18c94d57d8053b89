"""The checks as they stood while rows were dictionaries, looked at one by one: what those of frames must equal."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from realign.curate.checks import Limits, encoding_fault
from realign.curate.contamination import NGRAM, SHARE, SHORTEST, Match
from realign.curate.personal import personal_data
from realign.curate.rejected import rejected_row
from realign.curate.repetition import repetition
from realign.curate.splits import split_of
from realign.curate.text import normalise

DEFAULT = Limits()
Texts = Callable[[dict], Sequence[str]]


def chat_texts(row: dict) -> list[str]:
    return [message["content"] for message in row["messages"]]


def pair_texts(row: dict) -> list[str]:
    return [*chat_texts(row), row["chosen"], row["rejected"]]


@dataclass
class Index:
    """Evaluation rows by their whole text and by their word n-grams, each n indexed when first asked for."""

    rows: list[tuple[str, list[str]]]
    equal: dict[str, str]
    _by_n: dict[int, dict[str, list[int]]] = field(default_factory=dict)

    def ngrams(self, n: int) -> dict[str, list[int]]:
        """Each word n-gram with the positions (in `rows`) of the evaluation rows that hold it."""
        if n not in self._by_n:
            found: dict[str, list[int]] = {}
            for position, (_, words) in enumerate(self.rows):
                for gram in dict.fromkeys(_grams(words, n)):
                    found.setdefault(gram, []).append(position)
            self._by_n[n] = found
        return self._by_n[n]


def index_evaluation(rows: Iterable[tuple[str, str]]) -> Index:
    """The index of `(id, text)` evaluation rows, built once for any number of lookups."""
    index = Index([], {})
    for name, text in rows:
        words = normalise(text).split()
        if words:
            index.rows.append((name, words))
            index.equal.setdefault(" ".join(words), name)
    return index


def contaminated(text: str, index: Index) -> Match | None:
    """The evaluation row that `text` repeats, or None.

    Repeats, both normalised: equal to it, or at least 0.8 of the word 13-grams of `text` stand in
    that one row (n = the number of words where there are fewer than 13, but at least 5). 13-grams
    as in Brown et al. 2020 (GPT-3), appendix C.
    """
    normal = normalise(text)
    if normal in index.equal:
        return Match(index.equal[normal], 1.0)
    words = normal.split()
    if len(words) < SHORTEST:
        return None
    n = min(NGRAM, len(words))
    where, grams = index.ngrams(n), _grams(words, n)
    hits = Counter(position for gram in grams for position in where.get(gram, ()))
    if not hits:
        return None
    position = min(hits, key=lambda p: (-hits[p], p))
    share = hits[position] / len(grams)
    return Match(index.rows[position][0], share) if share >= SHARE else None


def contamination_fault(texts: Sequence[str], index: Index) -> tuple[str, str] | None:
    """`("contaminated", detail)` if one of the texts of a row, or all joined, is contaminated."""
    candidates = [*texts, "\n".join(texts)] if len(texts) > 1 else texts
    match = next((m for text in candidates if (m := contaminated(text, index))), None)
    if match is None:
        return None
    return "contaminated", f"{match.share:.0%} of it stands in evaluation row {match.evaluation_id}"


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


def _grams(words: list[str], n: int) -> list[str]:
    return [" ".join(words[i:i + n]) for i in range(len(words) - n + 1)]
