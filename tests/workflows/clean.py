"""Metrics and rows that pass a suite at HIGH, derived from what the suite demands."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realign.gates.engine import evaluate
from realign.gates.expectation import (
    BETWEEN,
    GREATER,
    LENGTHS,
    NOT_NULL,
    ROW_COUNT,
    UNIQUE,
    columns,
    metric_name,
    severity,
    table,
)
from realign.gates.frames import Frame, build_frames
from realign.gates.suite import read_suite
from realign.gates.verdict import checked
from realign.kinds import kind_of

EXPECTATIONS = Path(__file__).parents[2] / "expectations"
IN_SET = "expect_column_values_to_be_in_set"
CONTAIN_SET = "expect_column_distinct_values_to_contain_set"
COMPOUND = "expect_compound_columns_to_be_unique"
APART = "expect_select_column_values_to_be_unique_within_record"
EXTRA = "never_heard_of"  # a metric and a member that no suite names
FIGURE = {"value": 0.9, "n": 600, "low": 0.88, "high": 0.92}
MEASURED = dict.fromkeys(("facts", "arithmetic", "refusal"), FIGURE)
BASELINE = {"capability": MEASURED, "undecided": MEASURED,
            "slice": dict.fromkeys(("facts/other", "arithmetic/1 step", "arithmetic/2 step", "refusal/other"), FIGURE)}

Parts = dict[str, float]  # value, n, low, high


@dataclass(frozen=True)
class Bound:
    """A range that a suite demands of one number of a metric, or of every member of a group."""

    subject: str
    group: bool
    part: str  # value, low or high
    low: float | None
    high: float | None
    strict_low: bool
    strict_high: bool
    severity: str

    def holds(self, seen: float) -> bool:
        """Whether the number lies inside, by plain comparison."""
        below = self.low is not None and (seen <= self.low if self.strict_low else seen < self.low)
        above = self.high is not None and (seen >= self.high if self.strict_high else seen > self.high)
        return not (below or above)


def read(path: Path) -> dict:
    """A suite with the members that its groups have beside BASELINE."""
    return with_baseline(read_suite(path))


def with_baseline(suite: dict) -> dict:
    """The suite with the members that its groups have beside BASELINE."""
    contain = [{"type": CONTAIN_SET, "kwargs": {"column": "name", "value_set": list(
                    BASELINE[source] if isinstance(source, str) else source)},
                "severity": "critical", "meta": {"table": group}}
               for group, source in suite["meta"].get("members", {}).items()]
    return suite | {"expectations": contain + suite["expectations"]}


def tables_of(suite: dict) -> dict[str, str]:
    return suite["meta"].get("tables", {})


def bounds_of(suite: dict) -> list[Bound]:
    """Every range that decides, of metrics and of groups."""
    found = []
    for e in suite["expectations"]:
        if e["type"] == BETWEEN and table(e) not in tables_of(suite) and severity(e) != "info":
            k, group = e["kwargs"], table(e)
            metric = group or metric_name(k["column"])
            part = k["column"] if group else k["column"].removeprefix(metric).removeprefix(".") or "value"
            found.append(Bound(metric, bool(group), part, k.get("min_value"), k.get("max_value"),
                               bool(k.get("strict_min")), bool(k.get("strict_max")), severity(e)))
    return found


def groups_of(suite: dict) -> dict[str, list[str]]:
    """Each group of metrics that the suite judges, with the members that must be there."""
    found: dict[str, list[str]] = {}
    for e in suite["expectations"]:
        if table(e) is not None and table(e) not in tables_of(suite):
            found.setdefault(table(e), [])
            found[table(e)] += e["kwargs"]["value_set"] if e["type"] == CONTAIN_SET else []
    return found


def metrics_named(suite: dict) -> list[str]:
    """Every metric that the suite judges or records by its own name."""
    judged = [metric_name(c) for e in suite["expectations"] if table(e) is None for c in columns(e)]
    return list(dict.fromkeys([*suite["meta"].get("recorded", []), *judged]))


def least_n(suite: dict, subject: str) -> int | None:
    """The least number of examples for a metric; None where it was counted."""
    evidence = suite["meta"].get("evidence", {})
    return None if subject in suite["meta"].get("counted", []) else evidence.get(subject, evidence.get("*"))


def clean_parts(suite: dict, subject: str) -> Parts:
    """Value and interval well inside every bound and the metric's kind, on twice the examples that are needed."""
    mine, kind = [b for b in bounds_of(suite) if b.subject == subject], kind_of(subject, "a test")
    low = max((b.low for b in mine if b.low is not None), default=None)
    high = min((b.high for b in mine if b.high is not None), default=None)
    low, high = (kind.low if low is None else low), (kind.high if high is None else high)
    if low is None and high is None:
        low, high = -1.0, 1.0
    low, high = (high - 1 if low is None else low), (low + 1 if high is None else high)
    value, n = (low + high) / 2, least_n(suite, subject)
    half = (high - low) / 8
    return {"value": value, "n": 100 if n is None else 2 * n, "low": value - half, "high": value + half}


def clean_metrics(suite: dict) -> dict[str, Parts]:
    """Every metric that the suite judges or records, and one that it knows nothing of, in each group too."""
    found = {name: clean_parts(suite, name) for name in metrics_named(suite)}
    for group, members in groups_of(suite).items():
        found |= {f"{group}.{member}": clean_parts(suite, group) for member in [*members, EXTRA]}
    return found | {EXTRA: {"value": -1e9, "n": 0, "low": math.nan, "high": math.nan}}


def as_file(metrics: dict[str, Parts]) -> dict:
    """Metrics as a stage writes them: nested, NaN as null; the rows that add up where the gate adds them."""
    whole: dict = {}
    for name, parts in metrics.items():
        if name.endswith(("rows.unaccounted", "rows.kept_share")):
            continue
        *groups, last = name.split(".")
        place = whole
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = {k: None if math.isnan(v) else v for k, v in parts.items()}
    if any(name.endswith("rows.unaccounted") for name in metrics):
        kept = whole.setdefault("rows", {}).setdefault("kept", dict.fromkeys(("value", "n", "low", "high"), 100))
        share = metrics.get("rows.kept_share", {"value": 0.9})["value"]
        read = {k: v / share for k, v in kept.items()}
        whole["rows"] |= {"in": read, "rejected": {k: read[k] - v for k, v in kept.items()}}
    return whole


def judged_together(suite: dict, many: Sequence[dict[str, Parts]]) -> list[list[tuple[dict, str]]]:
    """For each of many files of metrics the checks that a suite without rows makes, each with its remedy.

    They are rows of one frame, so that Great Expectations judges them at once; what it demands of the members of a
    group is judged once for all that have the same ones.
    """
    framed = [build_frames(suite, metrics, Path(), "a case") for metrics in many]
    single = [e for e in suite["expectations"] if e["type"] != CONTAIN_SET]
    frames = {name: _stacked([own[name] for own in framed]) for name in framed[0]}
    found: list[list[tuple[dict, str]]] = [[] for _ in many]
    for expectation, outcome in zip(single, evaluate(suite | {"expectations": single}, frames), strict=True):
        made = iter(checked(expectation, outcome, frames[table(expectation)], suite))
        for checks, own in zip(found, framed, strict=True):
            checks += [next(made) for _ in range(len(own[table(expectation)]))]
    of_members: dict[tuple, list[tuple[dict, str]]] = {}
    for checks, own in zip(found, framed, strict=True):
        members = tuple(tuple(own[name]["name"]) for name in own if name is not None)
        if members not in of_members:
            of_members[members] = _of_members(suite, own)
        checks += of_members[members]
    return found


def _stacked(frames: list[Frame]) -> Frame:
    import pandas as pd

    return pd.concat(frames, ignore_index=True)


def _of_members(suite: dict, frames: dict[str | None, Frame]) -> list[tuple[dict, str]]:
    asked = [e for e in suite["expectations"] if e["type"] == CONTAIN_SET]
    outcomes = evaluate(suite | {"expectations": asked}, frames)
    return [made for e, outcome in zip(asked, outcomes, strict=True)
            for made in checked(e, outcome, frames[table(e)], suite)]


def clean_rows(suite: dict, name: str) -> dict[str, list]:
    """Columns of a table that keep every expectation on it."""
    mine = [e for e in suite["expectations"] if table(e) == name]
    count = max((e["kwargs"]["min_value"] for e in mine if e["type"] == ROW_COUNT), default=100)
    made: dict[str, list] = {}
    for e in mine:
        made |= {column: MADE[e["type"]](e["kwargs"], column, count, made.get(column)) for column in columns(e)}
    return made


def _number(kwargs: dict, column: str, count: int, before: list | None) -> list:
    low, high = kwargs.get("min_value", -1.0), kwargs.get("max_value", 1.0)
    return [(low + high) / 2] * count


def _compared(kwargs: dict, column: str, count: int, before: list | None) -> list:
    value = before[0] if before else 0.5
    return [value + 0.1 if column == kwargs["column_A"] else value - 0.1] * count


def _member(kwargs: dict, column: str, count: int, before: list | None) -> list:
    return [kwargs["value_set"][i % len(kwargs["value_set"])] for i in range(count)]


def _distinct(kwargs: dict, column: str, count: int, before: list | None) -> list:
    return before or [f"{column} {i}" for i in range(count)]


MADE = {  # expectation type -> values that keep it, after those that an earlier expectation asked for
    ROW_COUNT: lambda kwargs, column, count, before: before,
    NOT_NULL: lambda kwargs, column, count, before: before or ["x"] * count,
    UNIQUE: lambda kwargs, column, count, before: [f"row{i}" for i in range(count)],
    LENGTHS: lambda kwargs, column, count, before: ["x" * kwargs.get("min_value", 1)] * count,
    BETWEEN: _number, GREATER: _compared, IN_SET: _member, CONTAIN_SET: _member, COMPOUND: _distinct, APART: _distinct,
}
