"""After `evaluate`: the verdict on the candidate against what came before it. It moves nothing: `realign release` does.

A blocked candidate is a verdict, not a failure, so that the report can still tell it; `confirm`, which runs after the
report, fails then.
"""

from collections.abc import Mapping
from pathlib import Path

from realign import paths
from realign.files import read_json
from realign.lake.atomic import write_json
from realign.release.decide import Candidate, decide
from realign.stage import Stage
from realign.versions.draw import CANDIDATE, START
from realign.workflow import BASELINE, EVALUATE, Workflow, find


def candidate(workflow: Workflow) -> Candidate:
    """What a workflow offers for release, by convention's paths from the project's root.

    The model that its stages started from is compared where its own stage measured capabilities. Raises UserError
    where that stage has left no metrics.
    """
    name, start = workflow.name, workflow.start
    measured = "capability" in read_json(paths.metrics(name, start))
    return Candidate(
        name, paths.checkpoint(name, workflow.offered), paths.dataset(name, EVALUATE, "records"),
        paths.dataset(paths.COMMON, BASELINE, "records"), paths.dataset(name, start, "records") if measured else None,
        {CANDIDATE: paths.dataset(name, EVALUATE, paths.MORE),
         BASELINE: paths.dataset(paths.COMMON, BASELINE, paths.MORE),
         START: paths.dataset(name, EVALUATE, paths.MORE_OF_START)},
        paths.metrics(name, EVALUATE),
        tuple(sorted(path for suite in (paths.EVALUATION, paths.RESERVE) for path in suite.glob("*.parquet"))),
        {stage: paths.accepted(name, stage).with_suffix(".json") for stage in workflow.stages},
        {stage: paths.suite(name, stage) for stage in workflow.stages})


FIGURES = {  # by a short name, so that a line of them fits a screen -> as `evaluate` calls it
    "retention": "retention_worst", "accuracy": "task_accuracy", "win_rate": "win_rate",
    "right": "win_rate_correctness", "kl": "kl",
}


def figures(said: Mapping, measured: Mapping[str, Mapping]) -> dict[str, str | float]:
    """What DVC is told: the verdict, how many capabilities and slices were lost against anything that the candidate is
    compared with, and those of FIGURES that were measured."""
    lost = {name for found in said["comparisons"].values() for name in found["lost"]}
    known = {name: measured.get(f"{EVALUATE}.{metric}", {}).get("value") for name, metric in FIGURES.items()}
    return {"verdict": said["decision"], "lost": len(lost),
            **{name: round(value, 4) for name, value in known.items() if value is not None}}


def run(here: Stage) -> str:
    offered = candidate(find(Path(), here.workflow))
    said = decide(offered, paths.released(here.workflow))
    write_json(paths.verdict(here.workflow), said)
    write_json(paths.figures(here.workflow), figures(said, offered.figures()))
    return "\n  - ".join([f"{said['decision']}, version {said['version']}", *said["summary"], *said["reasons"],
                          *said["warnings"]])
