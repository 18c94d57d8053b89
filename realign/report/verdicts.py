"""Verdicts made readable: what each gate demanded, what it saw, and what became of the whole run."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from realign.report.numbers import is_number
from realign.report.sources import Run, Stage
from realign.words import MINUS

SIGNS = "≥>≤<="


@dataclass(frozen=True)
class Limit:
    """The range a check demands, and the check's own words for it; None is open."""

    floor: float | None = None
    ceiling: float | None = None
    words: str = ""


@dataclass(frozen=True)
class Decision:
    """What one gate demanded of one metric: the checks of all severities taken together."""

    metric: str
    observed: float | None
    low: float | None
    high: float | None
    n: int | None
    must: Limit  # outside: REJECT
    should: Limit  # outside: MEDIUM
    failed: str  # "", "warning" or "critical"
    wording: str


def limit(check: dict) -> Limit | None:
    """The range that a check demands of its figure; None where it demands something else."""
    floor, ceiling = check.get("min"), check.get("max")
    if floor is None and ceiling is None:
        return None
    words = re.sub(r"(?<!\S)-(?=\d)", MINUS, str(check["threshold"]))
    for sign in SIGNS:  # a sign and its number stay on one line
        words = words.replace(f"{sign} ", f"{sign}\N{NO-BREAK SPACE}")
    return Limit(floor, ceiling, words)


def demand(must: Limit, should: Limit) -> str:
    """What it takes to be accepted: "HIGH needs ≥ 0.15, MEDIUM ≥ 0.1"; "must be ≥ 0.7"."""
    if must.words and should.words and must != should:
        return f"HIGH needs {should.words}, MEDIUM {must.words}"
    if must.words:
        return f"must be {must.words}"
    return f"HIGH needs {should.words}" if should.words else ""


def decisions(stage: Stage) -> list[Decision]:
    """What decided a gate, worst first: every metric held to a range, and whatever else failed.

    Passed checks of evidence (sample sizes, nulls, ranges of the possible, rows) decide nothing and are left out.
    """
    by_metric: dict[str, list[dict]] = {}
    for check in stage.verdict.get("checks", []):
        quiet = check["passed"] and (check.get("evidence") or limit(check) is None or check["metric"].endswith("]"))
        if check["severity"] != "info" and not quiet:
            by_metric.setdefault(check["metric"], []).append(check)
    order = {"critical": 0, "warning": 1, "": 2}
    return sorted((_decision(name, checks) for name, checks in by_metric.items()),
                  key=lambda d: order[d.failed])


FEW = 2  # decisions of one group that are shown side by side


def foremost(made: Sequence[Decision]) -> list[Decision]:
    """The decisions that a reader needs: all that failed, and of each larger group of metrics (retention of every
    capability, of every slice) the one that was met most narrowly."""
    groups: dict[str, list[Decision]] = {}
    for decision in made:
        groups.setdefault(decision.metric.partition(".")[0], []).append(decision)
    narrow = [d for group in groups.values() for d in (
        group if len(group) <= FEW else sorted((d for d in group if not d.failed), key=slack)[:1])]
    return [d for d in made if d.failed or d in narrow]


def slack(decision: Decision) -> float:
    """Distance from the nearest bound, in widths of the figure's 95% interval; infinite where it was counted."""
    if decision.observed is None or decision.low is None or decision.high is None:
        return math.inf
    width = decision.high - decision.low
    if width <= 0:
        return math.inf
    sides = [decision.observed - limit.floor for limit in (decision.must, decision.should)
             if limit.floor is not None]
    sides += [limit.ceiling - decision.observed for limit in (decision.must, decision.should)
              if limit.ceiling is not None]
    return min(sides, default=math.inf) / width


def _decision(metric: str, checks: list[dict]) -> Decision:
    must, should = (_tightest([c for c in checks if c["severity"] == s]) for s in ("critical", "warning"))
    failed = [c for c in checks if not c["passed"]]
    worst = min((c["severity"] for c in failed), default="")  # "critical" sorts before "warning"
    # Where the figure itself is in doubt, that is what to read, not a bound that it may well meet.
    doubts = dict.fromkeys(str(c["threshold"]) for c in failed if c.get("evidence") or limit(c) is None)
    wording = "must be " + ", ".join(doubts) if doubts else demand(must, should)
    seen = (checks[0].get(k) for k in ("observed", "low", "high", "n"))
    return Decision(metric, *(v if is_number(v) else None for v in seen), must, should, worst, wording)


def _tightest(checks: list[dict]) -> Limit:
    given = [found for c in checks if (found := limit(c))]
    return Limit(max((g.floor for g in given if g.floor is not None), default=None),
                 min((g.ceiling for g in given if g.ceiling is not None), default=None),
                 " and ".join(dict.fromkeys(g.words for g in given)))


ROUNDED = 1.5e-6  # metrics and verdicts both round to six places


def mismatches(stage: Stage) -> list[str]:
    """Metrics whose figure in the verdict is not the one in the metrics file: the gate saw other figures."""
    return sorted({str(c["metric"]) for c in stage.verdict.get("checks", [])
                   if is_number(c.get("observed")) and c.get("metric") in stage.metrics
                   and is_number(stage.metrics[c["metric"]].get("value"))
                   and abs(stage.metrics[c["metric"]]["value"] - c["observed"]) > ROUNDED})


def state(run: Run) -> str:
    """What became of the run: passed, blocked, accepted (undecided), rejected, unfinished or empty."""
    if any(s.tier == "REJECT" for s in run.stages):
        return "rejected"
    if not any(s.metrics for s in run.stages):
        return "empty"
    if not all(s.metrics and s.tier for s in run.stages):
        return "unfinished"
    decision = str(run.verdict.get("decision", "")).lower()
    return decision if decision in ("passed", "blocked") else "accepted"


def cells(comparison: Mapping) -> list[dict]:
    """Every capability of a comparison in the decision, each followed by its slices."""
    slices = comparison.get("slices", [])
    return [cell for whole in comparison.get("capabilities", [])
            for cell in (whole, *(s for s in slices if s["capability"] == whole["capability"]))]
