"""Training rows that repeat an evaluation row."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from realign.curate.rejected import reject
from realign.curate.text import Texts, normalise
from realign.metrics import Metric, proportion

NGRAM = 13  # words
SHORTEST = 5  # words; shorter texts count only when they are equal
SHARE = 0.8  # of a text's n-grams found in one evaluation row


@dataclass(frozen=True)
class Match:
    """The evaluation row that a text repeats, and the share of its n-grams found there."""

    evaluation_id: str
    share: float


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


def decontaminate(rows: Iterable[dict], texts: Texts, index: Index) -> tuple[list[dict], list[dict]]:
    """`(kept, rejected)`: a row is contaminated when one of its texts is, or all of them together.

    A copied question is found so before a long answer of the row's own, too.
    """
    kept, rejected = [], []
    for position, row in enumerate(rows, 1):
        fault = contamination_fault(texts(row), index)
        if fault is None:
            kept.append(row)
        else:
            rejected.append(reject(row, position, *fault))
    return kept, rejected


def contamination_fault(texts: Sequence[str], index: Index) -> tuple[str, str] | None:
    """`("contaminated", detail)` if one of the texts of a row, or all joined, is contaminated."""
    candidates = [*texts, "\n".join(texts)] if len(texts) > 1 else texts
    match = next((m for text in candidates if (m := contaminated(text, index))), None)
    if match is None:
        return None
    return "contaminated", f"{match.share:.0%} of it stands in evaluation row {match.evaluation_id}"


def decontamination(contaminated_rows: int, total: int) -> Metric:
    """1 − contaminated/total, with Wilson's interval; NaN where total is 0."""
    return proportion(total - contaminated_rows, total)


def _grams(words: list[str], n: int) -> list[str]:
    return [" ".join(words[i:i + n]) for i in range(len(words) - n + 1)]
