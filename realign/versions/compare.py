"""Two versions compared, example by example: what dropped, by how much, and whether it is real."""

import math
from dataclasses import dataclass

from realign.metrics import REGRESSION, Metric
from realign.versions.interval import Sums, mcnemar, relative_drop
from realign.versions.load import Version
from realign.versions.view import connect, rows

PAIRED_SHARE = 0.70  # below this share of A's examples found in B, pairs no longer stand for the whole
_ROUNDING = 1e-9  # 1 - 0.95/1 is 0.05 and a little


@dataclass(frozen=True)
class Change:
    """One capability (or one slice of it) in A and in B; means are over the examples compared.

    `drop` is (A − B) / A, negative where B is better. `real`: its interval excludes 0. `p_value`: exact
    McNemar, only for paired scores that are all 0 or 1. `regression`: the estimate itself is over 5%, or B
    was not measured here at all.
    """

    capability: str
    slice: str
    a: float
    b: float
    drop: Metric
    real: bool
    regression: bool
    paired: bool
    p_value: float | None
    only_a: int
    only_b: int
    worse: int
    better: int


@dataclass(frozen=True)
class Example:
    """One example that B answers worse than A."""

    capability: str
    slice: str
    example_id: str
    prompt: str
    reference: str
    output_a: str
    output_b: str
    score_a: float
    score_b: float


@dataclass(frozen=True)
class Shift:
    """One metric in A and B (None where a version lacks it); `real`: their intervals do not overlap."""

    metric: str
    a: Metric | None
    b: Metric | None
    delta: float
    real: bool


@dataclass(frozen=True)
class Comparison:
    """B against A: capabilities and slices in order of name, `changed` examples worst first, every metric."""

    a: str
    b: str
    revision_a: str
    revision_b: str
    capabilities: tuple[Change, ...]
    slices: tuple[Change, ...]
    changed: tuple[Example, ...]
    metrics: tuple[Shift, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        return tuple(c for c in self.capabilities if c.regression)


def compare(a: Version, b: Version) -> Comparison:
    """`b` against `a`, paired by capability and example id wherever at least 70% of A's examples are in B.

    With fewer (the evaluation set itself changed), the two sets of examples are compared as independent.
    """
    with connect([a, b]) as connection:
        found = [(row["whole"], _change(row)) for row in rows(connection, "compare", a=a.name, b=b.name)]
        changed = [Example(**row) for row in rows(connection, "changed", a=a.name, b=b.name)]
        metrics = [_shift(row) for row in rows(connection, "shifted", a=a.name, b=b.name)]
    return Comparison(a.name, b.name, a.revision, b.revision,
                      tuple(c for whole, c in found if whole), tuple(c for whole, c in found if not whole),
                      tuple(changed), tuple(metrics))


def _change(row: dict) -> Change:
    n_a, n_b = row["paired"] + row["only_a"], row["paired"] + row["only_b"]
    paired = row["paired"] >= max(1, PAIRED_SHARE * n_a)
    if paired:
        sums = Sums(row["paired"], row["paired"], row["paired_a"], row["paired_b"],
                    row["paired_aa"], row["paired_bb"], row["paired_ab"])
    else:
        sums = Sums(n_a, n_b, row["all_a"], row["all_b"], row["all_aa"], row["all_bb"], None)
    drop = relative_drop(sums)
    return Change(
        capability=row["capability"], slice=row["slice"] or "",
        a=_ratio(sums.a, sums.n_a), b=_ratio(sums.b, sums.n_b), drop=drop,
        real=drop.low > 0 or drop.high < 0,
        regression=drop.value > REGRESSION + _ROUNDING or (n_a > 0 and n_b == 0),
        paired=paired,
        p_value=mcnemar(row["worse"], row["better"]) if paired and row["binary_scores"] else None,
        only_a=row["only_a"], only_b=row["only_b"], worse=row["worse"], better=row["better"])


def _ratio(total: float, n: int) -> float:
    return total / n if n else math.nan


def _shift(row: dict) -> Shift:
    a, b = (None if row[f"n_{side}"] is None else
            Metric(*(math.nan if x is None else x for x in (row[side], row[f"n_{side}"],
                                                           row[f"low_{side}"], row[f"high_{side}"])))
            for side in "ab")
    if a is None or b is None:
        return Shift(row["metric"], a, b, math.nan, False)
    return Shift(row["metric"], a, b, b.value - a.value, a.high < b.low or b.high < a.low)
