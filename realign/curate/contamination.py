"""Training rows that repeat an evaluation row."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from realign.curate.ngrams import Words, words_of
from realign.curate.text import joined_otherwise, normalise, normalised
from realign.errors import UserError
from realign.lake.schemas import CHATS
from realign.lake.table import batches
from realign.metrics import Metric, proportion

NGRAM = 13  # words
SHORTEST = 5  # words; shorter texts count only when they are equal
SHARE = 0.8  # of a text's n-grams found in one evaluation row


@dataclass(frozen=True)
class Match:
    """The evaluation row that a text repeats, and the share of its n-grams found there."""

    evaluation_id: str
    share: float


@dataclass(frozen=True)
class Index:
    """Evaluation rows by the numbers of their whole text and of their word n-grams (n from 5 to 13).

    `numbers` is sorted; `owners` says which of the rows holds each; `equal` gives the row of a normalised text.
    """

    ids: list[str]
    words: list[list[str]]
    equal: dict[str, str]
    numbers: np.ndarray
    owners: np.ndarray
    _marks: np.ndarray  # whether some 13-gram's number begins with these bits: a quick no for most n-grams

    def faults(self, texts: pl.DataFrame, words: Words | None = None) -> pl.DataFrame:
        """`row`, `evaluation_id` and `share` of the contaminated rows, in the order of rows.

        `texts` holds every text of every row, as `text.texts_of` makes it. A row is contaminated when one of its texts
        is, or all of them together: a copied question is found so before a long answer of the row's own, too. Only
        texts that by their numbers might be are looked at one by one.

        A text repeats an evaluation row when, both normalised, it is equal to it, or at least 0.8 of the word 13-grams
        of the text stand in that one row (n = the number of words where there are fewer than 13, but at least 5).
        13-grams as in Brown et al. 2020 (GPT-3), appendix C.
        """
        suspects = self._suspects(texts, words or words_of(texts["normal"]))
        numbers = words_of(suspects["normal"])
        found: dict[int, Match] = {}
        for place, (row, normal) in enumerate(suspects.select("row", "normal").iter_rows()):
            if row not in found and (match := self._match(normal, numbers.of(place))):
                found[row] = match
        return pl.DataFrame([(row, match.evaluation_id, match.share) for row, match in found.items()],
                            {"row": pl.Int64, "evaluation_id": pl.String, "share": pl.Float64}, orient="row")

    def _match(self, normal: str, numbers: Words) -> Match | None:
        """The evaluation row that a normalised text repeats, or None."""
        if normal in self.equal:
            return Match(self.equal[normal], 1.0)
        words = normal.split()
        if len(words) < SHORTEST:
            return None
        n = min(NGRAM, len(words))
        grams = _grams(words, n)
        hits = {owner: sum(map(set(_grams(self.words[owner], n)).__contains__, grams))
                for owner in self._likely_owners(numbers.ngrams(n))}
        owner = min(hits, key=lambda owner: (-hits[owner], owner), default=None)
        share = hits[owner] / len(grams) if hits else 0.0
        return Match(self.ids[owner], share) if share >= SHARE else None

    def _likely_owners(self, numbers: np.ndarray) -> list[int]:
        """The rows that hold enough of a text's n-grams by their numbers: at least those that do."""
        first, after = (np.searchsorted(self.numbers, numbers, side) for side in ("left", "right"))
        held = np.concatenate([self.owners[a:b] for a, b in zip(first, after, strict=True)])
        owners, hits = np.unique(held, return_counts=True)
        return owners[hits / numbers.size >= SHARE].tolist()

    def _suspects(self, texts: pl.DataFrame, words: Words) -> pl.DataFrame:
        """`row` and `normal` of the texts that could be contaminated, all that are and few others.

        In the order of rows, and of texts in each; that of all its texts together comes last.
        """
        rows = texts["row"].to_numpy()
        begins = np.flatnonzero(np.diff(rows, prepend=-1))  # the first text of each row
        bounds = np.append(begins, rows.size)
        hits = np.append(0, np.cumsum(self._holds_ngrams(words.ngrams(NGRAM)), dtype=np.int64))
        alone, together = (_near(each, hits) | self._whole(words, each) for each in (words.text, words.text[bounds]))
        together |= np.isin(rows[begins], joined_otherwise(texts).to_numpy())
        joined = [(int(rows[a]), normalise("\n".join(texts["text"][int(a):int(b)])))
                  for a, b in zip(begins[together], bounds[1:][together], strict=True) if b - a > 1]
        return pl.concat([
            texts.select("row", "normal").filter(alone),
            pl.DataFrame(joined, {"row": pl.Int64, "normal": pl.String}, orient="row"),
        ]).sort("row", maintain_order=True)

    def _whole(self, words: Words, bounds: np.ndarray) -> np.ndarray:
        """Which of the runs of words between `bounds` are, whole, the text or a short n-gram of an evaluation row."""
        first, after = bounds[:-1], bounds[1:]
        some = after > first
        out = np.zeros(first.size, bool)
        out[some] = self._holds(words.spans(first[some], after[some]))
        return out

    def _holds(self, numbers: np.ndarray) -> np.ndarray:
        """Which of the numbers are in the index."""
        places = np.searchsorted(self.numbers, numbers)
        return np.append(self.numbers, np.uint64(0))[places] == numbers

    def _holds_ngrams(self, numbers: np.ndarray) -> np.ndarray:
        """Which of the numbers of 13-grams are in the index."""
        out = self._marks[numbers >> _shift(self._marks)]
        likely = np.flatnonzero(out)
        out[likely] = self._holds(numbers[likely])
        return out


def index(texts: Iterable[str], ids: Iterable[str]) -> Index:
    """The index of evaluation rows, built once for any number of lookups; a text without words is left out."""
    rows = pl.DataFrame({"id": list(ids), "text": list(texts)}, {"id": pl.String, "text": pl.String})
    rows = rows.select("id", normal=normalised(pl.col("text"))).filter(pl.col("normal") != "")
    first = rows.unique("normal", keep="first", maintain_order=True)
    words = words_of(rows["normal"])
    numbers, owners = _numbers(words)
    return Index(rows["id"].to_list(), rows["normal"].str.split(" ").to_list(),
                 dict(zip(first["normal"], first["id"], strict=True)), numbers, owners, _marked(words.ngrams(NGRAM)))


def evaluation_index(folder: Path | str) -> Index:
    """The index of what every row of every *.parquet in `folder` (in the CHATS schema) asks: its last message.

    Raises UserError where there is no such file, or one is not of that schema.
    """
    files = sorted(Path(folder).glob("*.parquet"))
    if not files:
        raise UserError("holds no evaluation rows", where=str(folder), expected="Parquet files of chats",
                        fix="`dvc repro` makes them; without them nothing can be decontaminated")
    last = pl.col("messages").list.last().struct.field("content").fill_null("")
    rows = pl.concat(frame.select("row_id", text=last) for file in files for frame in batches(file, CHATS))
    return index(rows["text"], rows["row_id"])


def decontamination(contaminated_rows: int, total: int) -> Metric:
    """1 − contaminated/total, with Wilson's interval; NaN where total is 0."""
    return proportion(total - contaminated_rows, total)


def _grams(words: list[str], n: int) -> list[str]:
    return [" ".join(words[i:i + n]) for i in range(len(words) - n + 1)]


def _near(bounds: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Which of the runs of words between `bounds` have enough n-grams among the hits (running sums), in any rows."""
    first, total = bounds[:-1], np.diff(bounds) - NGRAM + 1
    out, some = np.zeros(first.size, bool), total > 0
    out[some] = (hits[(first + total)[some]] - hits[first[some]]) / total[some] >= SHARE
    return out


def _numbers(words: Words) -> tuple[np.ndarray, np.ndarray]:
    """Every number to be found, sorted, and the row that holds it: once for each row."""
    owner = np.repeat(np.arange(words.text.size - 1), np.diff(words.text))
    numbers, owners = [words.spans(words.text[:-1], words.text[1:])], [np.arange(words.text.size - 1)]
    for n in range(SHORTEST, NGRAM + 1):
        grams = words.ngrams(n)
        inside = owner[:grams.size] == owner[n - 1:n - 1 + grams.size]
        numbers.append(grams[inside])
        owners.append(owner[:grams.size][inside])
    numbers, owners = np.concatenate(numbers), np.concatenate(owners)
    order = np.lexsort([owners, numbers])
    numbers, owners = numbers[order], owners[order]
    new = (np.diff(numbers, prepend=~numbers[:1]) != 0) | (np.diff(owners, prepend=-1) != 0)
    return numbers[new], owners[new].astype(np.int32)


def _marked(numbers: np.ndarray) -> np.ndarray:
    marks = np.zeros(2 ** min(26, max(10, (16 * numbers.size).bit_length())), bool)
    marks[numbers >> _shift(marks)] = True
    return marks


def _shift(marks: np.ndarray) -> np.uint64:
    """How far a number is shifted to become a place in `marks`."""
    return np.uint64(65 - marks.size.bit_length())
