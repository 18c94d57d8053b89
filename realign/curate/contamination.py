"""Training rows that hold an evaluation row: its question or its answer, whole or nearly so."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from realign.curate.ngrams import Words, words_of
from realign.curate.text import normalised, seen_alike
from realign.errors import UserError
from realign.lake.schemas import CHATS
from realign.lake.table import batches
from realign.metrics import Metric, proportion

SHORTEST = 5  # words; shorter questions count only where they are a whole text, shorter answers never
RUN = 3  # words that must stand together
SENTENCES = 10  # words; from here on a text is found with its sentences in another order, too
NEAR = 20  # words; from here on it is found with some of its words replaced
SHARE = 0.5  # of the weight of such a text's runs of words
_PRECISION = 100  # weights are whole numbers: their sums are exact


@dataclass(frozen=True)
class Match:
    """The evaluation row that a row holds, and the share of the weight of its runs of words that stands there."""

    evaluation_id: str
    share: float


@dataclass(frozen=True)
class Index:
    """The questions and answers of evaluation rows, laid end to end, and their word 5-grams by number.

    `numbers` is sorted; `owners` says which of the texts holds each; `equal` gives the row of a question so short that
    it must be a whole text.
    """

    ids: list[str]
    words: list[list[str]]
    equal: dict[str, str]
    numbers: np.ndarray
    owners: np.ndarray
    _ends: np.ndarray  # where each text ends
    _runs: np.ndarray  # the number of the run of 3 words that begins at each place
    _weights: np.ndarray  # of that run; 0 where it would reach into the next text
    _marks: np.ndarray  # whether some 5-gram's number begins with these bits: a quick no for most n-grams

    def faults(self, texts: pl.DataFrame, words: Words | None = None) -> pl.DataFrame:
        """`row`, `evaluation_id` and `share` of the contaminated rows, in the order of rows.

        `texts` holds every text of every row, as `text.texts_of` makes it; `words` are those of its column `normal`.

        Everything is compared as `text.seen_alike` makes it. A row is contaminated when its texts, joined, hold a
        question or an answer of an evaluation row. To be held, it has 5 words in a row there, and

        - of fewer than 10 words: every run of 3 words;
        - of fewer than 20: every word, as part of a run of 3, so that sentences may stand in another order;
        - of 20 or more: half of the weight of its runs of 3, so that some words may be replaced, names for example.

        A run weighs log(1 + texts/texts that hold it): what evaluation rows share, their template, is little evidence.
        A question of fewer than 5 words must be equal to one of the texts, or to all of them joined. What stands around
        makes no difference. Containment after Brown et al. 2020 (GPT-3), appendix C, but of the evaluation text, not of
        the training text; weights after Spärck Jones 1972. docs/trust.md has the recall and the false alarms by which
        the numbers are settled.
        """
        normal = seen_alike(texts["text"], texts["normal"])
        if words is None:
            words = words_of(normal)
        elif (other := (normal != texts["normal"]).arg_true()).len():
            words = words.replaced(other.to_numpy(), words_of(normal.gather(other)))
        rows = texts["row"].to_numpy()
        begins = np.flatnonzero(np.diff(rows, prepend=-1))  # the first text of each row
        found = {int(rows[begins[place]]): match for place, match in self._holding(words, begins, normal)}
        return pl.DataFrame([(row, match.evaluation_id, match.share) for row, match in sorted(found.items())],
                            {"row": pl.Int64, "evaluation_id": pl.String, "share": pl.Float64}, orient="row")

    def _holding(self, words: Words, begins: np.ndarray, normal: pl.Series) -> Iterator[tuple[int, Match]]:
        """The places of the rows that hold an evaluation row, with the row; what is held in parts comes last."""
        bounds = np.append(begins, len(normal))
        spans = words.text[bounds]
        if self.equal:
            yield from self._equal(bounds, normal)
        known = words.ngrams(SHORTEST)
        hits = np.flatnonzero(self._holds_ngrams(known))
        places = np.searchsorted(spans, hits, "right") - 1  # of the row in which each begins
        inside = hits + SHORTEST <= spans[places + 1]
        hits, places = hits[inside], places[inside]
        for place, numbers in zip(*_grouped(places, known[hits]), strict=True):
            first, after = spans[place:place + 2].tolist()
            owners = self._likely(self._owners(numbers), np.unique(words.ngrams(RUN, slice(first, after))))
            if owners.size:
                held = " ".join(normal[int(bounds[place]):int(bounds[place + 1])]).split()
                if match := self._match(owners, held):
                    yield place, match

    def _equal(self, bounds: np.ndarray, normal: pl.Series) -> Iterator[tuple[int, Match]]:
        """The places of rows of which a text, or all of them joined, is a short question."""
        short = (normal.str.count_matches(" ", literal=True) < SHORTEST - 1).to_numpy()
        some = np.append(0, np.cumsum(short))
        for place in np.flatnonzero(np.diff(some[bounds])).tolist():
            texts = normal[int(bounds[place]):int(bounds[place + 1])].to_list()
            for text in [*texts, " ".join(filter(None, texts))]:
                if text in self.equal:
                    yield place, Match(self.equal[text], 1.0)
                    break

    def _owners(self, numbers: np.ndarray) -> np.ndarray:
        """The texts that hold one of these 5-grams."""
        first, after = (np.searchsorted(self.numbers, numbers, side) for side in ("left", "right"))
        return np.unique(np.concatenate([self.owners[a:b] for a, b in zip(first, after, strict=True)]))

    def _likely(self, owners: np.ndarray, runs: np.ndarray) -> np.ndarray:
        """Those of the texts that a row holds, by the numbers of its runs of 3 words: all that it does, or more."""
        places, lengths = self._places(owners)
        numbers = self._runs[places]
        held = runs[np.minimum(np.searchsorted(runs, numbers), runs.size - 1)] == numbers
        return owners[_held(lengths, held, self._weights[places])[0]]

    def _match(self, owners: np.ndarray, words: list[str]) -> Match | None:
        """Of the texts, the one that a row's words hold most of, word by word; None where they hold none."""
        runs, ngrams = set(_grams(words, RUN)), set(_grams(words, SHORTEST))
        places, lengths = self._places(owners)
        held = np.array([" ".join(self.words[owner][at:at + RUN]) in runs
                         for owner in owners.tolist() for at in range(len(self.words[owner]))])
        whole, shares = _held(lengths, held, self._weights[places])
        best = min(((-share, owner) for owner, share in zip(owners[whole].tolist(), shares[whole].tolist(), strict=True)
                    if not ngrams.isdisjoint(_grams(self.words[owner], SHORTEST))), default=None)
        return Match(self.ids[best[1]], -best[0]) if best else None

    def _places(self, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The places of all words of these texts, one text after the other, and how many each has."""
        ends = self._ends[owners]
        lengths = ends - np.append(0, self._ends)[owners]
        after = np.cumsum(lengths)
        return np.arange(after[-1]) + np.repeat(ends - after, lengths), lengths

    def _holds_ngrams(self, numbers: np.ndarray) -> np.ndarray:
        """Which of the numbers of 5-grams are in the index."""
        out = self._marks.take((numbers >> _shift(self._marks)).view(np.int64))
        likely = np.flatnonzero(out)
        places = np.searchsorted(self.numbers, numbers[likely])
        out[likely] = np.append(self.numbers, np.uint64(0))[places] == numbers[likely]
        return out


def index(texts: Iterable[str], ids: Iterable[str], answers: Iterable[str] = (),
          answer_ids: Iterable[str] = ()) -> Index:
    """The index of questions and answers, each with the id of its row, built once for any number of lookups."""
    asked, told = _texts(texts, ids), _texts(answers, answer_ids)
    short = pl.col("normal").str.split(" ").list.len() < SHORTEST
    first = asked.filter(short).unique("normal", keep="first", maintain_order=True)
    rows = pl.concat([asked, told]).filter(~short).unique("normal", keep="first", maintain_order=True)
    words = words_of(rows["normal"])
    numbers, owners = _numbers(words)
    runs = np.append(words.ngrams(RUN), np.zeros(RUN - 1, np.uint64))
    return Index(rows["id"].to_list(), rows["normal"].str.split(" ").to_list(),
                 dict(zip(first["normal"], first["id"], strict=True)), numbers, owners, words.text[1:], runs,
                 _weights(words, runs), _marked(numbers))


def evaluation_index(*folders: Path | str) -> Index:
    """The index of every row of every *.parquet in the folders (in the CHATS schema): what it asks, its last message,
    and what its reference answers in words, where it is no answer of another question as well.

    Raises UserError where a folder holds no such file, one is not of that schema, or a reference is no JSON object.
    """
    rows = pl.concat(frame for folder in folders for file in _files(Path(folder)) for frame in batches(file, CHATS))
    told = rows.select("row_id", question=pl.col("messages").list.last().struct.field("content").fill_null(""),
                       answer=pl.Series([_answer(*row) for row in rows.select("row_id", "reference").iter_rows()],
                                        dtype=pl.String))
    answers = told.filter(pl.col("answer") != "", pl.col("question").n_unique().over("answer") == 1)
    return index(told["question"], told["row_id"], answers["answer"], answers["row_id"])


def held(evaluation_id: str, share: float) -> str:
    """What is wrong with a contaminated row, in words."""
    return f"holds evaluation row {evaluation_id} ({share:.0%} of it)"


def decontamination(contaminated_rows: int, total: int) -> Metric:
    """1 − contaminated/total, with Wilson's interval; NaN where total is 0."""
    return proportion(total - contaminated_rows, total)


def _files(folder: Path) -> list[Path]:
    if files := sorted(folder.glob("*.parquet")):
        return files
    raise UserError("holds no evaluation rows", where=str(folder), expected="Parquet files of chats",
                    fix="`dvc repro` makes them; without them nothing can be decontaminated")


def _answer(row_id: str, reference: str) -> str:
    """The answer in words that the reference of a row (JSON) states; empty where it states none."""
    try:
        stated = json.loads(reference)
    except json.JSONDecodeError:
        stated = None
    if not isinstance(stated, dict):
        raise UserError(f"found {reference[:60]!r}", where=f"evaluation row {row_id}, reference",
                        expected='a JSON object, {"answer": …} for example', fix="correct the row")
    return str(stated.get("answer") or stated.get("exact") or "")


def _texts(texts: Iterable[str], ids: Iterable[str]) -> pl.DataFrame:
    """`id` and `normal` of the texts that hold words."""
    rows = pl.DataFrame({"id": list(ids), "text": list(texts)}, {"id": pl.String, "text": pl.String})
    normal = seen_alike(rows["text"], rows.select(normalised(pl.col("text"))).to_series())
    return rows.select("id", normal=normal).filter(pl.col("normal") != "")


def _held(lengths: np.ndarray, held: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the texts are held, and by which share of their weight.

    `lengths` are theirs in words; `held` says of the run at each of their words whether it is, `weights` what it weighs
    (0: reaches into the next text).
    """
    begins, real = np.cumsum(lengths) - lengths, weights > 0
    held = held & real
    covered = held.copy()
    covered[1:] |= held[:-1]
    covered[2:] |= held[:-2]
    missing, uncovered, weight, total = (np.add.reduceat(each, begins, dtype=np.int64)
                                         for each in (real & ~held, ~covered, weights * held, weights))
    whole = np.where(lengths < SENTENCES, missing, uncovered) == 0
    return np.where(lengths < NEAR, whole, weight >= SHARE * total), weight / total


def _grams(words: list[str], n: int) -> list[str]:
    return [" ".join(words[i:i + n]) for i in range(len(words) - n + 1)]


def _grouped(keys: np.ndarray, values: np.ndarray) -> tuple[list[int], list[np.ndarray]]:
    """The distinct keys of a sorted array, and the values of each."""
    begins = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[begins].tolist(), np.split(values, begins[1:]) if begins.size else []


def _numbers(words: Words) -> tuple[np.ndarray, np.ndarray]:
    """The number of every 5-gram, sorted, and the text that holds it: once for each text."""
    owner = np.repeat(np.arange(words.text.size - 1), np.diff(words.text))
    numbers = words.ngrams(SHORTEST)
    inside = owner[:numbers.size] == owner[SHORTEST - 1:]
    numbers, owners = numbers[inside], owner[:numbers.size][inside]
    order = np.lexsort([owners, numbers])
    numbers, owners = numbers[order], owners[order]
    new = (np.diff(numbers, prepend=~numbers[:1]) != 0) | (np.diff(owners, prepend=-1) != 0)
    return numbers[new], owners[new].astype(np.int32)


def _weights(words: Words, runs: np.ndarray) -> np.ndarray:
    """What each run of 3 words weighs, by its place; 0 where it would reach into the next text."""
    texts = words.text.size - 1
    owner = np.repeat(np.arange(texts), np.diff(words.text))
    inside = np.append(owner[:1 - RUN] == owner[RUN - 1:], np.zeros(RUN - 1, bool))[:owner.size]
    known, which = np.unique(runs[inside], return_inverse=True)
    holders = np.bincount(np.unique(np.stack([which, owner[inside]]), axis=1)[0], minlength=known.size)
    out = np.zeros(owner.size, np.int64)
    out[inside] = np.rint(_PRECISION * np.log1p(texts / holders[which]))
    return out


def _marked(numbers: np.ndarray) -> np.ndarray:
    marks = np.zeros(2 ** min(26, max(10, (16 * numbers.size).bit_length())), bool)
    marks[numbers >> _shift(marks)] = True
    return marks


def _shift(marks: np.ndarray) -> np.uint64:
    """How far a number is shifted to become a place in `marks`."""
    return np.uint64(65 - marks.size.bit_length())
