"""Rows read, kept and dropped, stage by stage, and the reason for each one that was dropped."""

from dataclasses import dataclass

from realign.report.numbers import plain
from realign.report.sources import Run, Stage, rows
from realign.words import is_number

COLUMNS = ("source", "position", "reason", "detail", "content")
LISTED = 200  # dropped rows listed a stage; the counts cover all


@dataclass(frozen=True)
class Reason:
    """One reason in one source: how many rows it dropped, and the detail of the first."""

    source: str
    reason: str
    count: int
    detail: str


@dataclass(frozen=True)
class Flow:
    """Rows through one stage. `warning` says where the counts do not add up."""

    stage: str
    counts: dict[str, dict]
    reasons: tuple[Reason, ...]
    listed: tuple[dict, ...]
    total: int
    warning: str


def flows(run: Run) -> list[Flow]:
    """One flow for every stage that counts rows or dropped some."""
    found = [_flow(run, s) for s in run.stages if s.metrics]
    return [f for f in found if f.counts or f.total]


def _flow(run: Run, stage: Stage) -> Flow:
    counts = {k.removeprefix("rows."): m for k, m in stage.metrics.items() if k.startswith("rows.")}
    tally: dict[tuple[str, str], list] = {}
    listed, total = [], 0
    for row in rows(run.dataset(stage.name, "rejected"), COLUMNS):
        seen = tally.setdefault((row["source"], row["reason"]), [0, row["detail"]])
        seen[0] += 1
        total += 1
        if len(listed) < LISTED:
            listed.append(row)
    reasons = [Reason(source, reason, count, plain(detail))
               for (source, reason), (count, detail) in tally.items()]
    ordered = tuple(sorted(reasons, key=lambda r: (-r.count, r.source, r.reason)))
    return Flow(stage.name, counts, ordered, tuple(listed), total, _warning(counts, total))


def _warning(counts: dict, total: int) -> str:
    values = {k: m.get("value") for k, m in counts.items()}
    read, kept, rejected = (values.get(k) for k in ("in", "kept", "rejected"))
    if all(is_number(v) for v in (read, kept, rejected)) and read != kept + rejected:
        return f"The counts do not add up: {read:g} read, {kept:g} kept, {rejected:g} rejected."
    if is_number(rejected) and rejected != total:
        return f"The metrics count {rejected:g} rejected rows, the rejected dataset holds {total}."
    return ""
