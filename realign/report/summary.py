"""The verdict on top of the page: one word, why, what to do, and the figures that tell most."""

from collections.abc import Sequence
from dataclasses import dataclass

from realign import paths
from realign.report.numbers import is_count
from realign.report.sources import Run, Stage
from realign.report.verdicts import Decision, decisions, state
from realign.report.words import TELLING, label, meaning
from realign.versions.load import read_pointer
from realign.words import beside, interval, listed, number

HEADS = {  # state -> (word on the banner, colour class)
    "passed": ("Passed", "good"),
    "accepted": ("All gates passed, no verdict yet", "warn"),
    "blocked": ("Blocked", "bad"),
    "rejected": ("Rejected", "bad"),
    "unfinished": ("Unfinished", "idle"),
    "empty": ("Nothing has run yet", "idle"),
}

UNKNOWN = ("Passed, not all known", "warn")


@dataclass(frozen=True)
class Summary:
    """What the banner says; `said` is what was kept, lost, gained and not known, a sentence a comparison; `reasons`
    stopped the model, `warnings` did not; `remedies` are for what weighs most."""

    word: str
    colour: str
    lead: str
    said: tuple[str, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    remedies: tuple[str, ...]


def summary(run: Run) -> Summary:
    """The verdict on the whole run, in plain words."""
    kind = state(run)
    told = as_list(run.verdict.get("warnings"))  # what is not known, against the base model first
    word, colour = UNKNOWN if kind == "passed" and told else HEADS[kind]
    warned = [s for s in run.stages if s.tier == "MEDIUM"]
    stopped = [s for s in run.stages if s.tier == "REJECT"]
    reasons = [why(s, d) for s in stopped for d in decisions(s) if d.failed == "critical"]
    warnings = told + [why(s, d) for s in warned + stopped for d in decisions(s) if d.failed == "warning"]
    if kind == "blocked":
        reasons = as_list(run.verdict.get("reasons")) + reasons
    deciding = stopped or ([] if kind == "blocked" else warned)
    remedies = as_list(run.verdict.get("remedy")) * (kind == "blocked") + [
        r for s in deciding for r in as_list(s.verdict.get("remedy"))]
    lead = _lead(run, kind, warned, stopped)
    said = tuple(f"{s[:1].upper()}{s[1:]}." for s in run.verdict.get("summary", []))
    return Summary(word, colour, lead, said, tuple(reasons), tuple(warnings), tuple(dict.fromkeys(remedies)))


def _lead(run: Run, kind: str, warned: Sequence[Stage], stopped: Sequence[Stage]) -> str:
    count = len(run.stages)
    with_warnings = f", {len(warned)} of them with a warning," if warned else ""
    if kind == "passed":
        unknown = ", though not everything is known" if run.verdict.get("warnings") else ""
        return (f"The realigned model passed all {count} gates{with_warnings} and the verdict{unknown}. "
                f"`realign release {run.workflow.name}` asks it the sealed rows, and releases it.")
    if kind == "blocked":
        return f"The model passed all {count} gates{with_warnings} but the verdict blocks it. {_released(run)}"
    if kind == "accepted":
        return f"The model passed all {count} gates{with_warnings} but the verdict on it has not been made."
    if kind == "rejected":
        behind = [s.name for s in run.stages if not s.reached]
        rest = f" {listed(behind)} did not run." if behind else ""
        return (f"The gate of {stopped[0].name} rejected the result, so the pipeline stopped there.{rest} "
                f"{_released(run)} Everything made so far is kept.")
    if kind == "empty":
        return "No stage has written its metrics. Run `dvc repro` to begin."
    waiting = next(s for s in run.stages if not (s.metrics and s.tier))
    what = "it is out of date" if waiting.stale else "its gate has not run" if waiting.metrics else "it has not run"
    return f"The run has come as far as {waiting.name}: {what}. Run `dvc repro` to go on."


def _released(run: Run) -> str:
    """What is still released where a model is not."""
    pointer = read_pointer(run.root / paths.released(run.workflow.name))
    return f"Version {pointer['version']} stays released." if pointer else "No model is released."


def as_list(value) -> list[str]:
    """A list of texts, or one text whose parts a semicolon divides, as a list; nothing as an empty one."""
    parts = value if isinstance(value, list) else str(value or "").split("; ")
    return [str(p) for p in parts if p]


def why(stage: Stage, decision: Decision) -> str:
    """One failed demand in a sentence."""
    if decision.observed is None:
        return f"{stage.name}: {label(decision.metric)} fails: {decision.wording}."
    told, ends = seen(decision), interval({"low": decision.low, "high": decision.high})
    told += f" (95% interval {ends})" if ends else ""
    return f"{stage.name}: {label(decision.metric)} is {told}; {decision.wording}."


def seen(decision: Decision) -> str:
    """The observed figure, with enough digits to stand on its side of the nearest limit."""
    if decision.observed is None:
        return "missing"
    counted = {"value": decision.observed, "n": decision.n, "low": decision.low, "high": decision.high}
    if is_count(counted) or decision.metric.endswith("rows.unaccounted"):
        return number(int(decision.observed))
    ends = [e for e in (decision.must.floor, decision.must.ceiling, decision.should.floor,
                        decision.should.ceiling) if e is not None]
    nearest = min(ends, key=lambda e: abs(e - decision.observed), default=decision.observed)
    return beside(decision.observed, nearest)


def tiles(run: Run, count: int = 4) -> list[tuple[str, str, dict, str]]:
    """The most telling figures there are: (stage, label, metric, meaning), each from the last stage that has it.

    After those that TELLING names come the ones on which the gates decided, the last gate's first.
    """
    ran = run.stages[::-1]
    judged = [d.metric.removesuffix(".low").removesuffix(".high") for s in ran for d in decisions(s)]
    found: dict[str, tuple] = {}
    for name in (*TELLING, *judged):
        stage = next((s for s in ran if name in s.metrics), None)
        if stage:
            found.setdefault(label(name), (stage.name, label(name), stage.metrics[name], meaning(name)))
    return list(found.values())[:count]
