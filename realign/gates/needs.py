"""What a run cannot measure, and says so: figures for which its data lack something.

A suite's `meta.needs` names, for such a metric or group of metrics, what it takes: `scorer`, `references` or `scores`.
Where the stage does not write the metric, the gate itself looks into params.yaml and the rows whether the run has what
it takes. If so, the metric was left out, which is an error as for any other; if not, the verdict is MEDIUM at best,
with a check that fails as a warning and says what was not measured and what it would take.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from realign import paths
from realign.files import read_json, read_yaml
from realign.gates.expectation import columns, metric_name, table
from realign.tiers import REJECT, tier

PAIRS = "pairs"  # the table of a suite that holds labelled pairs


@dataclass(frozen=True)
class Need:
    """Something that a metric takes: whether the run of a suite and a workflow at a root has it, and what to say where
    it has not."""

    met: Callable[[dict, str, Path], bool]
    because: str
    remedy: str


def _knob(name: str, root: Path) -> str:
    from realign.params import find

    return str(find(read_yaml(root / paths.PARAMS), name, paths.PARAMS))


def _demo(workflow: str, root: Path) -> bool:
    return _knob(f"{workflow}.data.source", root) == str(paths.DEMO)


def _scorer(suite: dict, workflow: str, root: Path) -> bool:
    return _demo(workflow, root) or _knob(f"{workflow}.scorer.name", root).startswith("reward:")


def _references(suite: dict, workflow: str, root: Path) -> bool:
    return _demo(workflow, root)


def _scores(suite: dict, workflow: str, root: Path) -> bool:
    import polars as pl

    if _demo(workflow, root):
        return True
    rows = pl.scan_parquet(root / suite["meta"]["tables"][PAIRS])
    label = (pl.col("chosen_score") == 1) & (pl.col("rejected_score") == 0)
    return not rows.select(label.fill_null(False).all()).collect().item()


NEEDS = {
    "scorer": Need(_scorer, "labelled pairs have no scorer for new answers",
                   "bring a scorer ({workflow}.scorer.name=reward:<directory>)"),
    "references": Need(_references, "labelled pairs have no reference answers that a verifier could check",
                       "read answers yourself, and look at what was kept of the evaluation rows"),
    "scores": Need(_scores, "labels say which answer is better, not by how much",
                   "give scores with the pairs (score_chosen, score_rejected)"),
}


def unmeasured(suite: dict, workflow: str, stage: str, root: Path) -> dict[str, str]:
    """The metrics and groups that the suite judges and the stage did not write, because the run lacks what they take,
    each with the name of that. Raises UserError where params.yaml or the rows do not say."""
    needed = suite.get("meta", {}).get("needs", {})
    written = read_json(root / paths.metrics(workflow, stage)) if needed else {}
    return {name: need for name, need in needed.items()
            if name not in written and not NEEDS[need].met(suite, workflow, root)}


def without(suite: dict, subjects: Iterable[str]) -> dict:
    """The suite without what it demands of these metrics and groups."""
    gone = set(subjects)
    return suite | {"expectations": [e for e in suite["expectations"] if not gone & _subjects(e)]}


def _subjects(expectation: dict) -> set[str]:
    return {table(expectation) or metric_name(column) for column in columns(expectation)}


def named(verdict: dict, missing: Mapping[str, str]) -> dict:
    """The verdict with a check that fails as a warning for each of these metrics, and with what they take as remedy
    where nothing weighs more."""
    checks = verdict["checks"] + [NOT_MEASURED | {"metric": metric, "threshold": f"measured: {NEEDS[need].because}"}
                                  for metric, need in missing.items()]
    said = [f"{metric} was not measured, as {NEEDS[need].because}: {NEEDS[need].remedy}"
            .format(workflow=verdict["workflow"]) for metric, need in missing.items()]
    lead = [verdict["remedy"]] if verdict["remedy"] else []
    remedy = "; ".join(lead if tier(checks) == REJECT else lead + said)
    return verdict | {"checks": checks, "tier": tier(checks), "remedy": remedy}


NOT_MEASURED = {"observed": None, "low": None, "high": None, "n": 0, "expectation": "measured", "min": None,
                "max": None, "strict_min": None, "strict_max": None, "severity": "warning", "passed": False,
                "evidence": False}
