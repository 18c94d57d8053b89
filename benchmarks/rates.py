"""How often a verdict errs, on answers that models really gave: five harmless retrainings of the demo's SFT, greedy and
sampled, and the base model (tests/trust/answers.parquet, by benchmarks/retrainings.py). Questions are drawn again with
replacement and compared as a verdict compares: as many rows of every capability as the gate has, and of what these
leave open twice as many, and twice as many again, where there is a reserve.

Run from the root of the repository: python -m benchmarks.rates [--repeats 1000] [--write docs/trust.md].
"""

import argparse
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.page import write
from realign.metrics import Metric, proportion
from realign.versions.compare import KEPT, LEAST_UNITS, LOST, OPEN, Change, cells, judged
from realign.versions.looks import MOST, Plan

ANSWERS = Path("tests/trust/answers.parquet")
BASE, GREEDY, SAMPLED, AGAIN = "base", "greedy", "sampled", "sampled again"  # as benchmarks/retrainings.py has them
WITHOUT_RESERVE = ("facts",)  # each is asked already
FALSE_ALARMS, CAUGHT, CALLED_KEPT = 0.05, 0.95, 0.05  # what TRUST asks for
Scores = dict[str, np.ndarray]  # by capability, the sum of scores of every unit


@dataclass(frozen=True)
class Pool:
    """The questions that models answered, by capability: of every unit (what is asked) its slice and how many examples
    ask it; and by model and decoding the answers."""

    slices: dict[str, np.ndarray]
    sizes: dict[str, np.ndarray]
    scores: dict[tuple[str, str], Scores]

    @property
    def retrained(self) -> list[str]:
        return sorted({model for model, _ in self.scores} - {BASE})


@dataclass(frozen=True)
class Rate:
    """A share of repeats, and the bound that it must keep."""

    what: str
    seen: Metric
    bound: float
    least: bool = False

    @property
    def holds(self) -> bool:
        return self.seen.value >= self.bound if self.least else self.seen.value <= self.bound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--write", type=Path, default=Path("docs/trust.md"), help="the page that holds the table")
    options = parser.parse_args()
    found = table(rates(read(ANSWERS), options.repeats, options.processes))
    print(found)
    write(found, options.write, "rates", "benchmarks.rates", "How often a verdict errs")


def read(path: Path) -> Pool:
    """The answers in the file that benchmarks/retrainings.py writes."""
    rows = pl.read_parquet(path)
    units = rows.group_by("model", "decoding", "capability", "slice", "unit", maintain_order=True).agg(
        pl.len().alias("size"), pl.col("right").sum().cast(pl.Float64).alias("score")).sort("capability", "unit")
    scores: dict[tuple[str, str], Scores] = {}
    for (model, decoding, capability), own in units.group_by("model", "decoding", "capability", maintain_order=True):
        scores.setdefault((model, decoding), {})[capability] = own["score"].to_numpy()
    asked = units.filter(model=BASE, decoding=GREEDY).partition_by("capability", as_dict=True, maintain_order=True)
    return Pool({name: own["slice"].to_numpy() for (name,), own in asked.items()},
                {name: own["size"].to_numpy() for (name,), own in asked.items()}, scores)


def plans(pool: Pool) -> dict[str, Plan]:
    """The looks that a verdict has at each capability."""
    return {name: Plan(int(sizes.sum()), 0 if name in WITHOUT_RESERVE else MOST - int(sizes.sum()))
            for name, sizes in pool.sizes.items()}


def drawn(pool: Pool, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """By capability the units of another evaluation and its reserve, drawn with replacement until there are enough."""
    found = {}
    for name, plan in plans(pool).items():
        places = rng.integers(0, pool.sizes[name].size, 2 * plan.looks[-1])
        found[name] = places[:_units(pool.sizes[name][places], plan.looks[-1])]
    return found


def _units(sizes: np.ndarray, rows: int) -> int:
    """How many units hold that many rows."""
    return int(np.searchsorted(np.cumsum(sizes), rows)) + 1


def outcome(pool: Pool, before: Sequence[Scores], after: Scores, asked: dict[str, np.ndarray],
            looks: dict[str, Plan]) -> list[Change]:
    """What a verdict says at its end of every cell of every comparison, `after` against each of `before`, on the units
    asked in their order (one that is drawn twice counts as two)."""
    rows = {name: plan.first for name, plan in looks.items()}
    while True:
        seen = {name: places[:_units(pool.sizes[name][places], rows[name])] for name, places in asked.items()}
        families = [cells(_counted(pool, scores, after, seen), looks) for scores in before]
        changes = [change for family in judged(families) for change in family]
        still_open = {c.capability for c in changes if c.outcome == OPEN and math.isfinite(c.drop.value)}
        more = {name: looks[name].more(rows[name]) for name in still_open}
        if not any(more.values()):
            return changes
        rows |= {name: rows[name] + further for name, further in more.items()}


def _counted(pool: Pool, before: Scores, after: Scores, asked: dict[str, np.ndarray]) -> Iterator[dict]:
    """The rows of compare.sql: each capability, then its slices, those of too few units together as `other`."""
    for capability, places in asked.items():
        a, b, sizes = before[capability][places], after[capability][places], pool.sizes[capability][places]
        names, codes, counts = np.unique(pool.slices[capability][places], return_inverse=True, return_counts=True)
        named = np.where(counts < LEAST_UNITS, "other", names)[codes]
        yield _cell(capability, "", a, b, sizes)
        for name in sorted(set(named)):
            mine = named == name
            yield _cell(capability, name, a[mine], b[mine], sizes[mine])


def _cell(capability: str, name: str, a: np.ndarray, b: np.ndarray, sizes: np.ndarray) -> dict:
    worse, better = int((b < a).sum()), int((b > a).sum())
    sums = {"a": a.sum(), "b": b.sum(), "aa": (a * a).sum(), "bb": (b * b).sum()}
    return {"capability": capability, "slice": name, "whole": not name, "paired": int(sizes.sum()), "only_a": 0,
            "only_b": 0, "worse": worse, "better": better, "units": a.size, "units_a": a.size, "units_b": a.size,
            "units_worse": worse, "units_better": better, "lost": np.maximum(a - b, 0).sum(),
            "won": np.maximum(b - a, 0).sum(), "paired_ab": (a * b).sum(),
            **{f"{kind}_{side}": float(total) for kind in ("paired", "all") for side, total in sums.items()}}


def dropped(scores: Scores, capability: str, drop: float, rng: np.random.Generator) -> Scores:
    """Scores of which every right answer of one capability is wrong with a chance of `drop`: a true relative drop."""
    return scores | {capability: rng.binomial(scores[capability].astype(int), 1 - drop).astype(float)}


def retrained(pool: Pool, rng: np.random.Generator, decodings: Sequence[str], against: int) -> list[Scores]:
    """The answers of so many retrainings of the same method, and of one more that is compared with them, first."""
    models = rng.permutation(pool.retrained)[:against + 1]
    return [pool.scores[model, rng.choice(decodings)] for model in models]


def sampled_twice(pool: Pool, rng: np.random.Generator) -> list[Scores]:
    """The answers of one retraining, sampled twice; of each question either draw may be the first."""
    model = rng.choice(pool.retrained)
    one, other = pool.scores[model, SAMPLED], pool.scores[model, AGAIN]
    first = {name: rng.random(scores.size) < 0.5 for name, scores in one.items()}
    return [{name: np.where(first[name], a[name], b[name]) for name in a} for a, b in ((one, other), (other, one))]


SAME: dict[str, Callable[[Pool, np.random.Generator], list[Scores]]] = {  # versions, none better than another
    "five retrainings, greedy": partial(retrained, decodings=[GREEDY], against=1),
    "five retrainings, greedy, against three": partial(retrained, decodings=[GREEDY], against=3),
    "one retraining, sampled twice": sampled_twice,
    "five retrainings, sampled": partial(retrained, decodings=[SAMPLED, AGAIN], against=1),
    "five retrainings, sampled, against three": partial(retrained, decodings=[SAMPLED, AGAIN], against=3),
}


def nothing_changed(pool: Pool, versions: Callable[[Pool, np.random.Generator], list[Scores]], repeats: int,
                    seed: int = 0) -> tuple[Metric, Metric]:
    """The shares of repeats in which the first of the versions, none better than another, is blocked by a comparison
    with the others, and in which something of it is called lost; all cells are one family."""
    rng, blocked, lost = np.random.default_rng(seed), 0, 0
    for _ in range(repeats):
        after, *before = versions(pool, rng)
        changes = outcome(pool, before, after, drawn(pool, rng), plans(pool))
        blocked += any(change.blocks for change in changes)
        lost += any(change.outcome == LOST for change in changes)
    return proportion(blocked, repeats), proportion(lost, repeats)


def truly_fell(pool: Pool, capability: str, drop: float, repeats: int, held: Callable[[Change], bool],
               seed: int = 0) -> Metric:
    """The share of repeats in which something is said of a capability that truly fell by `drop` against the base
    model's answers, greedy as the gates have them, all cells judged together."""
    rng, count = np.random.default_rng(seed), 0
    before = pool.scores[BASE, GREEDY]
    for _ in range(repeats):
        asked = drawn(pool, rng)
        # every question that is drawn may be answered wrongly on its own, also one that is drawn twice
        own = Pool({name: pool.slices[name][places] for name, places in asked.items()},
                   {name: pool.sizes[name][places] for name, places in asked.items()}, {})
        base = {name: before[name][places] for name, places in asked.items()}
        whole = {name: np.arange(places.size) for name, places in asked.items()}
        changes = outcome(own, [base], dropped(base, capability, drop, rng), whole, plans(pool))
        count += held(next(c for c in changes if c.capability == capability and not c.slice))
    return proportion(count, repeats)


def rates(pool: Pool, repeats: int, processes: int = 1) -> list[Rate]:
    """Every rate, with the bound that TRUST puts on it; each has its own seed, so the number of processes changes
    nothing."""
    with ProcessPoolExecutor(processes) as side:
        same = {who: side.submit(nothing_changed, pool, versions, repeats) for who, versions in SAME.items()}
        deep = {name: side.submit(truly_fell, pool, name, 0.10, repeats, blocks) for name in pool.sizes}
        slight = {name: side.submit(truly_fell, pool, name, 0.06, repeats, kept) for name in pool.sizes}
        found = []
        for who, done in same.items():
            blocked, lost = done.result()
            found += [Rate(f"nothing changed, blocked ({who})", blocked, FALSE_ALARMS),
                      Rate(f"nothing changed, called lost ({who})", lost, FALSE_ALARMS)]
        found += [Rate(f"true 10% drop of {name}, caught", done.result(), CAUGHT, least=True)
                  for name, done in deep.items()]
        found += [Rate(f"true 6% drop of {name}, called kept", done.result(), CALLED_KEPT)
                  for name, done in slight.items()]
    return found


def blocks(change: Change) -> bool:
    return change.blocks


def kept(change: Change) -> bool:
    return change.outcome == KEPT


def table(found: Sequence[Rate]) -> str:
    """Every rate with its interval and its bound, as Markdown."""
    lines = [f"{sum(rate.holds for rate in found)} of {len(found)} rates keep their bound; {found[0].seen.n:,} repeats "
             "each.", "", "| rate | seen | bound | |", "|---|---|---|---|"]
    for rate in found:
        seen, sign = rate.seen, "≥" if rate.least else "≤"
        lines.append(f"| {rate.what} | {seen.value:.3f} ({seen.low:.3f}–{seen.high:.3f}) | {sign} {rate.bound:.2f} | "
                     f"{'holds' if rate.holds else '**missed**'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
