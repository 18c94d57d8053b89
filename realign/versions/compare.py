"""Two versions compared, example by example: whether each capability and slice was kept, lost, or cannot be told.

What decides is constant, not a knob: MARGIN, FLOOR, ENOUGH, LEAST_UNITS, the confidence of interval.py and the looks
of looks.py.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from realign.interval import ALPHA, Sums, holm, p_gained, p_lost, quantile, relative_drop
from realign.metrics import REGRESSION, Metric
from realign.versions.load import Version
from realign.versions.looks import Plan
from realign.versions.view import connect, rows

PAIRED_SHARE = 0.70  # below this share of A's examples found in B, pairs no longer stand for the whole
MARGIN = REGRESSION  # a relative drop up to this is kept
FLOOR = 0.90  # below this share of A's score is lost at all, with ENOUGH examples
ENOUGH = 600  # examples, from which on a point estimate above MARGIN blocks
LEAST_UNITS = 60  # of a slice of its own; smaller ones are merged
KEPT, LOST, OPEN, NEW = "kept", "lost", "not enough evidence", "new"
_ROUNDING = 1e-9  # 1 - 0.95/1 is 0.05 and a little


@dataclass(frozen=True)
class Cell:
    """One capability (`slice` empty) or one slice of it, as it was counted in A and B. Sums are over units, the other
    figures over examples: `n` compared, those that stand on one side only, those answered worse and better. `alpha` is
    the error that this look at the capability may make, and `alpha_kept` that of its "kept"."""

    capability: str
    slice: str
    sums: Sums
    n: int
    paired: bool = True
    only_a: int = 0
    only_b: int = 0
    worse: int = 0
    better: int = 0
    alpha: float = ALPHA
    alpha_kept: float = ALPHA

    @property
    def measured(self) -> bool:
        """Whether there is something of A, and B was asked it."""
        return self.sums.n_a > 0 and self.sums.n_b > 0


@dataclass(frozen=True)
class Change:
    """One capability or slice in A and in B; means are over the examples compared.

    `drop` is (A − B) / A, negative where B is better, its ends one-sided 95% over all looks and openings, its `n`
    examples. `units` is how many questions those examples ask. `outcome` is KEPT, LOST, OPEN or, where A was never
    asked, NEW, and `why` says what decided; `blocks` whether that stops a release, `gained` whether B is surely better.
    `visible` is the smallest drop that would have been called lost 19 times in 20, `needed` how many examples would
    decide an open cell 19 times in 20 if the drop is what it seems (None where no number would, or nothing is open).
    """

    capability: str
    slice: str
    a: float
    b: float
    drop: Metric
    units: int
    outcome: str
    why: str
    blocks: bool
    gained: bool
    visible: float
    needed: int | None
    paired: bool
    only_a: int
    only_b: int
    worse: int
    better: int

    @property
    def name(self) -> str:
        """As a sentence names it: "arithmetic", or "arithmetic, two steps"."""
        return f"{self.capability}, {self.slice}" if self.slice else self.capability


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
    def cells(self) -> tuple[Change, ...]:
        """Every capability, each followed by its slices."""
        return tuple(cell for whole in self.capabilities
                     for cell in (whole, *(s for s in self.slices if s.capability == whole.capability)))

    def having(self, outcome: str) -> tuple[Change, ...]:
        """The cells with this outcome."""
        return tuple(c for c in self.cells if c.outcome == outcome)

    @property
    def lost(self) -> tuple[Change, ...]:
        return self.having(LOST)

    @property
    def blocking(self) -> tuple[Change, ...]:
        """The cells that stop a release, or must not be let pass in a review."""
        return tuple(c for c in self.cells if c.blocks)


def compare(a: Version, b: Version) -> Comparison:
    """`b` against `a`, as a family of its own."""
    return compare_all([a], b)[0]


def compare_all(before: Sequence[Version], b: Version, plans: Mapping[str, Plan] | None = None,
                alpha_kept: float = ALPHA) -> list[Comparison]:
    """`b` against each of `before`, all their cells in one family of tests; `plans` says of which capabilities more
    examples could be asked, `alpha_kept` how often "kept" may be false where others were tried before.

    Paired by capability and example id wherever at least 70% of A's examples are in B. With fewer (the evaluation
    set itself changed), the two sets of examples are compared as independent.
    """
    counted, others = [], []
    with connect([*before, b]) as connection:
        for a in before:
            names = {"a": a.name, "b": b.name}
            counted.append(cells(rows(connection, "compare", **names, least=LEAST_UNITS), plans, alpha_kept))
            others.append((tuple(Example(**row) for row in rows(connection, "changed", **names)),
                           tuple(_shift(row) for row in rows(connection, "shifted", **names))))
    found = []
    for a, changes, (changed, metrics) in zip(before, judged(counted), others, strict=True):
        found.append(Comparison(a.name, b.name, a.revision, b.revision, tuple(c for c in changes if not c.slice),
                                tuple(c for c in changes if c.slice), changed, metrics))
    return found


def cells(counted: Iterable[Mapping], plans: Mapping[str, Plan] | None = None, alpha_kept: float = ALPHA) -> list[Cell]:
    """The cells that compare.sql counted, each look at a capability erring as `plans` says, "kept" no more than
    `alpha_kept` besides. The only slice of a capability is the capability, and stands once."""
    found = []
    for capability, group in groupby(counted, lambda row: row["capability"]):
        whole, *slices = group
        plan = (plans or {}).get(capability)
        alpha = plan.alpha(whole["paired"] + whole["only_a"]) if plan else ALPHA
        found += [_cell(row, alpha, min(alpha, alpha_kept)) for row in (whole, *(slices if len(slices) > 1 else []))]
    return found


def _cell(row: Mapping, alpha: float, alpha_kept: float) -> Cell:
    n_a, n_b = row["paired"] + row["only_a"], row["paired"] + row["only_b"]
    paired = row["paired"] >= max(1, PAIRED_SHARE * n_a)
    if paired:
        one = row["paired"] / row["units"]  # examples a unit, on average
        sums = Sums(row["units"], row["units"], row["paired_a"] / one, row["paired_b"] / one,
                    row["paired_aa"] / one**2, row["paired_bb"] / one**2, row["paired_ab"] / one**2,
                    row["units_worse"], row["units_better"], row["lost"] / one, row["won"] / one)
    else:
        one_a, one_b = n_a / max(1, row["units_a"]) or 1, n_b / max(1, row["units_b"]) or 1
        sums = Sums(row["units_a"], row["units_b"], row["all_a"] / one_a, row["all_b"] / one_b,
                    row["all_aa"] / one_a**2, row["all_bb"] / one_b**2, None)
    return Cell(row["capability"], "" if row["whole"] else row["slice"], sums,
                row["paired"] if paired else min(n_a, n_b), paired, row["only_a"], row["only_b"],
                row["worse"], row["better"], alpha, alpha_kept)


def judged(families: Sequence[Sequence[Cell]]) -> list[list[Change]]:
    """The outcome of every cell of every comparison; `lost` and `gained` are each tested over all of them together
    (Holm), so that among any number of cells a false one stands in at most one verdict of twenty."""
    asked = [cell for family in families for cell in family if cell.measured]
    # a look that may spend a third of the error needs a third of the p-value
    fell, rose = ({id(c): rejected for c, rejected in zip(asked, holm([p(c.sums) * ALPHA / c.alpha for c in asked]),
                                                          strict=True)}
                  for p in (lambda sums: p_lost(sums, MARGIN), p_gained))
    return [[_change(c, fell.get(id(c), False), rose.get(id(c), False), len(asked)) for c in family]
            for family in families]


def _change(cell: Cell, fell: bool, rose: bool, family: int) -> Change:
    sums = cell.sums
    drop = relative_drop(sums, cell.alpha_kept)
    outcome, why = _outcome(cell, drop, fell)
    above = drop.value > MARGIN + _ROUNDING
    error = (drop.high - drop.low) / 2 / quantile(cell.alpha_kept)
    first = quantile(cell.alpha / max(1, family))  # Holm's first step
    return Change(
        capability=cell.capability, slice=cell.slice, a=_ratio(sums.a, sums.n_a), b=_ratio(sums.b, sums.n_b),
        drop=Metric(drop.value, cell.n, drop.low, drop.high), units=min(sums.n_a, sums.n_b),
        outcome=outcome, why=why, blocks=outcome == LOST or outcome == OPEN and above and cell.n >= ENOUGH,
        gained=rose and drop.value < 0, visible=MARGIN + (first + quantile(ALPHA)) * error,
        needed=(_needed(cell.n, drop, error * ((first if above else quantile(cell.alpha_kept)) + quantile(ALPHA)))
                if outcome == OPEN else None),
        paired=cell.paired, only_a=cell.only_a, only_b=cell.only_b, worse=cell.worse, better=cell.better)


def _outcome(cell: Cell, drop: Metric, fell: bool) -> tuple[str, str]:
    """The outcome of a cell, and what decided it."""
    if not cell.sums.n_a:
        return NEW, "not asked before"
    if not cell.sums.n_b:
        return LOST, "not evaluated"
    if math.isnan(drop.value):
        return OPEN, "nothing to lose: 0 before"
    if fell:
        return LOST, f"surely more than {MARGIN:.0%} down"
    enough = cell.n >= ENOUGH
    if enough and 1 - drop.value < FLOOR - _ROUNDING:
        return LOST, f"below {FLOOR:.0%} of before"
    if drop.high <= MARGIN:
        return KEPT, f"surely no more than {MARGIN:.0%} down"
    if not enough:
        return OPEN, "too few to tell"
    return OPEN, f"open, {'above' if drop.value > MARGIN + _ROUNDING else 'within'} {MARGIN:.0%}"


def _needed(n: int, drop: Metric, reach: float) -> int | None:
    """Examples with which an interval reaches from the drop to the margin; `reach` is what `n` examples have."""
    far = abs(drop.value - MARGIN)
    return math.ceil(n * (reach / far) ** 2) if far > _ROUNDING and math.isfinite(reach) else None


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
