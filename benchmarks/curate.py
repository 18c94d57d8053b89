"""Rows a second of the whole row check: made-up pairs against 1,500 evaluation rows, batch by batch.

Each size runs in a process of its own, so that its largest memory can be told; what making the rows takes is left out.
A few rows in a hundred are copies, hold personal data, repeat themselves or stand in the evaluation rows.
Run: python -m benchmarks.curate [--sizes 10000 100000] [--words 200 12] [--write]
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from realign.curate import contamination
from realign.curate.checks import check
from realign.curate.seen import Seen
from realign.curate.text import PAIR_TEXTS
from realign.lake.schemas import PAIRS, REJECTED
from realign.lake.table import ROW_GROUP, frame, writer

EVALUATION = 1_500
FAULTY = 0.01  # of the rows, for each kind of fault
VOCABULARY = 20_000
_MIB = 2**20


@dataclass(frozen=True)
class Result:
    """What a run found: rows given and kept, seconds of the check (and of both processors), MiB at most."""

    rows: int
    kept: int
    seconds: float
    processor: float
    memory: float


def main() -> None:
    options = arguments()
    print(f"{'words':>6} {'rows':>10} {'kept':>10} {'rows/s':>8} {'rows/s of a processor':>22} {'MiB':>7}")
    for words in options.words:
        for rows in options.sizes:
            # A process that starts anew: its largest memory is its own.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(run, (rows, words, options.write))
            print(f"{words:>6} {found.rows:>10,} {found.kept:>10,} {found.rows / found.seconds:>8,.0f}"
                  f" {found.rows / found.processor:>22,.0f} {found.memory:>7,.0f}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], metavar="ROWS")
    parser.add_argument("--words", type=int, nargs="+", default=[200, 12],
                        help="of each answer; a prompt has a quarter, 12 at least")
    parser.add_argument("--write", action="store_true", help="write what is kept and rejected, in the time measured")
    return parser.parse_args()


def run(rows: int, words: int, write: bool = False) -> Result:
    """Check `rows` pairs in batches; with `write`, into two Parquet files that are thrown away."""
    rng = np.random.default_rng(0)
    asked = texts(EVALUATION, 15, rng)
    index = contamination.index(asked, [f"e{i}" for i in range(EVALUATION)])
    seen, kept, seconds, processor = Seen(), 0, 0.0, 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        writer(Path(folder) / "kept.parquet", PAIRS) as good_file,
        writer(Path(folder) / "rejected.parquet", REJECTED) as bad_file,
    ):
        for batch in pairs(rows, words, asked, rng):
            before, used = time.perf_counter(), time.process_time()
            good, bad = check(batch, PAIR_TEXTS, index=index, seen=seen)
            if write:
                good_file.write(good)
                bad_file.write(bad)
            seconds, processor = seconds + time.perf_counter() - before, processor + time.process_time() - used
            kept += good.height
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    return Result(rows, kept, seconds, processor, largest / (_MIB if sys.platform == "darwin" else 1024))


def pairs(rows: int, words: int, asked: pl.Series, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    """Made-up pairs in batches of a row group, some of them faulty."""
    for start in range(0, rows, ROW_GROUP):
        count = min(ROW_GROUP, rows - start)
        prompt, chosen, rejected = (texts(count, length, rng) for length in (max(12, words // 4), words, words))
        faults = pl.Series(rng.random(count))
        chosen = pl.select(
            pl.when(faults < FAULTY).then(chosen + " Write to ann@firm.org.")
            .when(faults < 2 * FAULTY).then((chosen.str.slice(0, 20) + " ").repeat_by(9).list.join(""))
            .when(faults < 3 * FAULTY).then(asked.sample(count, with_replacement=True, seed=start))
            .otherwise(chosen)).to_series()
        copied = pl.Series(rng.random(count) < FAULTY)
        prompt, chosen, rejected = (
            pl.select(pl.when(copied).then(text.shift(1, fill_value=text[0])).otherwise(text)).to_series()
            for text in (prompt, chosen, rejected))
        yield as_pairs(start, prompt, chosen, rejected)


def as_pairs(start: int, prompt: pl.Series, chosen: pl.Series, rejected: pl.Series) -> pl.DataFrame:
    number = pl.int_range(start, start + len(prompt), eager=True).cast(pl.String)
    message = pl.struct(role=pl.lit("user"), content=pl.lit(prompt))
    return frame([], PAIRS).vstack(pl.select(
        row_id=number, prompt_id=number, messages=pl.concat_list(message), chosen=chosen, rejected=rejected,
        chosen_score=pl.lit(1.0), rejected_score=pl.lit(0.0), preference_type=pl.lit("made up"), split=pl.lit("train"),
        source=pl.lit("benchmark")))


def texts(count: int, words: int, rng: np.random.Generator) -> pl.Series:
    """Texts of made-up words, drawn as those of a language are (a few often), in sentences, with some numbers."""
    ranks = (VOCABULARY ** rng.random((count, words))).astype(np.int64) - 1
    ranks += VOCABULARY * rng.choice(3, (count, words), p=[0.92, 0.07, 0.01])  # none, a full stop, the end of a line
    known = pl.Series([f"{word}{end}" for end in ("", ".", ".\n") for word in vocabulary()])
    return known.gather(ranks.ravel()).reshape((count, words)).arr.join(" ")


def vocabulary() -> list[str]:
    letters = str.maketrans("0123456789abcdef", "etaoinshrdlucmfw")
    made = [f"{word * 7919:x}".translate(letters) for word in range(1, VOCABULARY)]
    return ["the", *(f"{word}é" if rank % 500 == 0 else str(rank) if rank % 50 == 0 else word
                     for rank, word in enumerate(made, 1))]


if __name__ == "__main__":
    main()
