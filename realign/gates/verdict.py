"""A suite and the frames it judges make a verdict: tier, checks, remedy."""

import json
import math
from collections.abc import Mapping

from realign.gates.engine import evaluate
from realign.gates.expectation import NOT_NULL, UNIQUE, bounds, columns, metric_name, severity, table
from realign.gates.frames import Frame
from realign.gates.remedies import told
from realign.tiers import HIGH, MEDIUM, REJECT, tier


def judge(workflow: str, stage: str, suite: dict, frames: dict[str | None, Frame]) -> dict:
    """The verdict of a suite with its evidence, as plain JSON: workflow, stage, tier, checks, remedy.

    A check has metric, observed, low, high, n, expectation, threshold, min, max, strict_min, strict_max, severity,
    passed, evidence. Numbers are in the metric's own unit. `min` and `max` bound `observed`, `strict_min` and
    `strict_max` say whether the bound itself fails; null where that side is open, and in a check that is no range.
    `evidence` marks what guards a figure (its n, its kind's range) and does not judge it. An expectation on a group
    makes one check a member. For a check of rows, `observed` is the share of rows that pass (null where there is
    none) or the aggregate that was compared, and `n` the number of rows.
    """
    checks, remedies = [], []
    for expectation, outcome in zip(suite["expectations"], evaluate(suite, frames), strict=True):
        for check, remedy in checked(expectation, outcome, frames[table(expectation)], suite):
            checks.append(check)
            remedies.append(remedy)
    return {"workflow": workflow, "stage": stage, "tier": tier(checks), "checks": checks,
            "remedy": remedy_said(checks, remedies)}


def remedy_said(checks: list[dict], remedies: list[str]) -> str:
    """What to do, from the checks that decided the tier, each remedy once; empty for HIGH."""
    decisive = {REJECT: "critical", MEDIUM: "warning", HIGH: None}[tier(checks)]
    said = [remedy for check, remedy in zip(checks, remedies, strict=True)
            if not check["passed"] and check["severity"] == decisive]
    return "; ".join(dict.fromkeys(said))


def checked(expectation: dict, outcome: dict, frame: Frame, suite: dict) -> list[tuple[dict, str]]:
    """The checks that an expectation made, each with its remedy: one a row of metrics, or one of all rows."""
    rows = table(expectation) in suite.get("meta", {}).get("tables", {})
    result = outcome["result"]
    one_a_row = "unexpected_index_list" in result and not rows
    figures = _of_each(expectation, result, frame) if one_a_row else [_of_all(expectation, outcome, frame)]
    return [_check(expectation, found, name, rows) for found, name in figures]


def _check(expectation: dict, found: dict, name: str, rows: bool) -> tuple[dict, str]:
    passed = found.pop("passed")
    meta = expectation.get("meta", {})
    check = {**found, "expectation": expectation["type"], "threshold": threshold(expectation, rows),
             **_range(expectation, rows), "severity": severity(expectation), "passed": passed,
             "evidence": "evidence" in meta or found["metric"].endswith(".n")}
    return check, "" if passed else told(meta.get("remedy", ""), check, name)


def _of_each(expectation: dict, result: dict, frame: Frame) -> list[tuple[dict, str]]:
    """Figures, and the member's name, of every row of a frame of metrics."""
    column, group = columns(expectation)[0], table(expectation)
    failed = set(result["unexpected_index_list"])
    start = "" if group else f"{metric_name(column)}."
    named = {column, *(f"{start}{part}" for part in ("low", "high", "n")), *(["name"] if group else [])}
    rows = frame[sorted(named)].to_dict("records")
    return [(_figures(column, group, row) | {"passed": i not in failed}, row["name"] if group else "")
            for i, row in zip(frame.index, rows, strict=True)]


def _figures(column: str, group: str | None, row: Mapping) -> dict:
    """What a row of the metrics (columns `kl`, `kl.n` …) or of a group (`value`, `n` …) says of one metric."""
    start = "" if group else f"{metric_name(column)}."
    shown = column if not group else f"{group}.{row['name']}" + ("" if column == "value" else f".{column}")
    low, high, n = (_plain(row[f"{start}{part}"]) for part in ("low", "high", "n"))
    if column == f"{start}n":
        return {"metric": shown, "observed": int(n), "low": None, "high": None, "n": int(n)}
    return {"metric": shown, "observed": _plain(row[column]), "low": low, "high": high, "n": int(n)}


def _of_all(expectation: dict, outcome: dict, frame: Frame) -> tuple[dict, str]:
    """Figures of a whole frame, and the members that a set expectation missed."""
    result, names = outcome["result"], columns(expectation)
    observed = result.get("observed_value")
    if "unexpected_percent" in result:
        wrong = result["unexpected_percent"]
        observed = None if wrong is None else 1 - wrong / 100
    return ({"metric": f"{table(expectation) or 'metrics'}[{', '.join(names) or 'rows'}]",
             "observed": _plain(observed), "low": None, "high": None, "n": len(frame),
             "passed": outcome["passed"]}, _missed(expectation, frame))


def _missed(expectation: dict, frame: Frame) -> str:
    """The members that the expectation names and the group has not, in order."""
    wanted = expectation["kwargs"].get("value_set", [])
    return ", ".join(sorted(set(map(str, wanted)) - set(frame["name"]))) if "name" in frame else ""


def _plain(value: object) -> float | int | None:
    """A number that JSON holds, rounded as metrics are; None for NaN and for what is no number."""
    if isinstance(value, int):
        return value
    return round(float(value), 6) if isinstance(value, float) and math.isfinite(value) else None


def _range(expectation: dict, rows: bool) -> dict:
    """The bounds on `observed` as numbers; none where `observed` is the share of rows that keep them."""
    low, high = bounds(expectation)
    if not expectation["type"].endswith("_between") or (rows and expectation["type"].startswith(BY_ROW)):
        low = high = None
    return {"min": low, "max": high} | {
        key: None if bound is None else bool(expectation["kwargs"].get(key))
        for key, bound in (("strict_min", low), ("strict_max", high))}


BY_ROW = ("expect_column_values_", "expect_column_value_lengths_", "expect_column_pair_values_")


def threshold(expectation: dict, rows: bool = False) -> str:
    """The bound in words: "≥ 0.15", "> 0 and ≤ 2", "= 0", "not null"; of a row table "not null on all rows"."""
    kwargs, kind = expectation["kwargs"], expectation["type"]
    words = {NOT_NULL: "not null", UNIQUE: "unique"}
    if kind in words:
        text = words[kind]
    elif kind.endswith("_between"):
        text = ("length " if "_lengths_" in kind else "") + _bounds(kwargs)
    elif kind == "expect_column_pair_values_a_to_be_greater_than_b":
        text = f"{kwargs['column_A']} {'≥' if kwargs.get('or_equal') else '>'} {kwargs['column_B']}"
    elif "value_set" in kwargs:
        relation = kind.removeprefix("expect_column_").partition("_to_")[2].replace("_", " ")
        text = f"{relation} {', '.join(map(str, kwargs['value_set']))}"
    else:
        rest = {k: v for k, v in kwargs.items() if k not in ("column", "column_list", "mostly")}
        text = kind.removeprefix("expect_").replace("_", " ") + (f" {json.dumps(rest)}" if rest else "")
    return text + _share(expectation, rows)


def _share(expectation: dict, rows: bool) -> str:
    """On how many rows a bound on single rows must hold."""
    mostly = expectation["kwargs"].get("mostly", 1)
    if mostly != 1:
        return f" on ≥ {mostly:.12g} of rows"
    return " on all rows" if rows and expectation["type"].startswith(BY_ROW) else ""


def _bounds(kwargs: dict) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is not None and low == high:
        return f"= {low:.12g}"
    below = None if low is None else f"{'>' if kwargs.get('strict_min') else '≥'} {low:.12g}"
    above = None if high is None else f"{'<' if kwargs.get('strict_max') else '≤'} {high:.12g}"
    return " and ".join(part for part in (below, above) if part)
