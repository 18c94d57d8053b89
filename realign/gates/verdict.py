"""A suite and the frames it judges make a verdict: tier, checks, remedy."""

import json
import math
from typing import TYPE_CHECKING

from realign.gates.engine import evaluate
from realign.gates.suite import NOT_NULL, columns, metric_name, severity, table

if TYPE_CHECKING:
    import pandas as pd

HIGH, MEDIUM, REJECT = "HIGH", "MEDIUM", "REJECT"


def judge(workflow: str, stage: str, suite: dict, frames: "dict[str | None, pd.DataFrame]") -> dict:
    """The verdict as plain JSON: workflow, stage, tier, checks, remedy.

    A check has metric, observed, low, high, n, expectation, threshold, severity, passed. Numbers are in the
    metric's own unit. For a check of rows, `observed` is the share of rows that pass (null where there is
    none) or the aggregate that was compared, and `n` the number of rows.
    """
    outcomes = evaluate(suite, frames)
    checks = [_check(e, o, frames) for e, o in zip(suite["expectations"], outcomes, strict=True)]
    return {"workflow": workflow, "stage": stage, "tier": tier(checks), "checks": checks,
            "remedy": remedy(suite["expectations"], checks)}


def tier(checks: list[dict]) -> str:
    """REJECT where a critical check failed, MEDIUM where a warning did, else HIGH."""
    failed = {c["severity"] for c in checks if not c["passed"]}
    return REJECT if "critical" in failed else MEDIUM if "warning" in failed else HIGH


def remedy(expectations: list[dict], checks: list[dict]) -> str:
    """What to do, from the expectations that decided the tier; empty for HIGH."""
    decisive = {REJECT: "critical", MEDIUM: "warning", HIGH: None}[tier(checks)]
    said = [e["meta"]["remedy"] for e, c in zip(expectations, checks, strict=True)
            if not c["passed"] and c["severity"] == decisive]
    return "; ".join(dict.fromkeys(said))


def _check(expectation: dict, outcome: dict, frames: dict) -> dict:
    read = _metric if table(expectation) is None and columns(expectation) else _rows
    return {**read(expectation, outcome, frames), "expectation": expectation["type"],
            "threshold": threshold(expectation), "severity": severity(expectation),
            "passed": outcome["passed"]}


def _metric(expectation: dict, outcome: dict, frames: dict) -> dict:
    column = columns(expectation)[0]
    row = frames[None].iloc[0]
    low, high, n = (_plain(row[f"{metric_name(column)}.{part}"]) for part in ("low", "high", "n"))
    if column.endswith(".n"):
        return {"metric": column, "observed": int(n), "low": None, "high": None, "n": int(n)}
    return {"metric": column, "observed": _plain(row[column]), "low": low, "high": high, "n": int(n)}


def _rows(expectation: dict, outcome: dict, frames: dict) -> dict:
    result, names = outcome["result"], columns(expectation)
    observed = result.get("observed_value")
    if "unexpected_percent" in result:
        wrong = result["unexpected_percent"]
        observed = None if wrong is None else 1 - wrong / 100
    return {"metric": f"{table(expectation) or 'metrics'}[{', '.join(names) or 'rows'}]",
            "observed": _plain(observed), "low": None, "high": None, "n": len(frames[table(expectation)])}


def _plain(value: object) -> float | int | None:
    """A number that JSON holds, rounded as metrics are; None for NaN and for what is no number."""
    if isinstance(value, int):
        return value
    return round(float(value), 6) if isinstance(value, float) and math.isfinite(value) else None


def threshold(expectation: dict) -> str:
    """The bound in words: "≥ 0.15", "> 0 and ≤ 2", "= 0", "not null", "not null on all rows"."""
    kwargs, kind = expectation["kwargs"], expectation["type"]
    words = {NOT_NULL: "not null", "expect_column_values_to_be_unique": "unique"}
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
    return text + _share(expectation)


def _share(expectation: dict) -> str:
    """On how many rows a bound on single rows must hold."""
    mostly = expectation["kwargs"].get("mostly", 1)
    if mostly != 1:
        return f" on ≥ {mostly:.12g} of rows"
    by_row = ("expect_column_values_", "expect_column_value_lengths_", "expect_column_pair_values_")
    return " on all rows" if table(expectation) is not None and expectation["type"].startswith(by_row) else ""


def _bounds(kwargs: dict) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is not None and low == high:
        return f"= {low:.12g}"
    below = None if low is None else f"{'>' if kwargs.get('strict_min') else '≥'} {low:.12g}"
    above = None if high is None else f"{'<' if kwargs.get('strict_max') else '≤'} {high:.12g}"
    return " and ".join(part for part in (below, above) if part)
