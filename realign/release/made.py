"""Whether a workflow's files were made by its stages, one after the other: nothing edited and committed by hand,
frozen, or run without what depends on it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from realign import paths
from realign.files import read_json, read_yaml
from realign.lake.hashes import file_md5
from realign.versions.current import passed_by
from realign.versions.lock import Step, steps
from realign.workflow import Workflow


def faults(workflow: Workflow, root: Path) -> list[str]:
    """A sentence for each sign that something else than the pipeline made a file of the workflow, or made it of others
    than stand there now. UserError where a lock or a declaration is missing or broken."""
    ran = of_workflow(steps(root), workflow.name)
    return [*_frozen(workflow.name, root), *passed_by(ran, root), *_recommitted(workflow, ran, root),
            *_judged_otherwise(workflow, root)]


def of_workflow(ran: Iterable[Step], workflow: str) -> list[Step]:
    """The steps of a workflow and those that all share (`verdict@srf` and the like come after them)."""
    return [s for s in ran if s.name.startswith(f"{workflow}:") or ":" not in s.name and "@" not in s.name]


def _frozen(workflow: str, root: Path) -> Iterator[str]:
    """Stages that DVC was told to leave alone."""
    for file in ("dvc.yaml", f"stages/{workflow}/dvc.yaml"):
        declared = read_yaml(root / file).get("stages") if (root / file).is_file() else None
        for name, entry in (declared or {}).items():
            if entry.get("frozen") or (entry.get("do") or {}).get("frozen"):
                yield f"{file}: {name} is frozen, so it may be of other data, code or knobs than stand here"


def _recommitted(workflow: Workflow, ran: Iterable[Step], root: Path) -> Iterator[str]:
    """What dvc.lock takes for a stage's output, and the stage's metrics do not."""
    locked = {path: md5 for step in ran for path, md5 in step.outputs.items()}
    for stage in workflow.stages:
        metrics = paths.metrics(workflow.name, stage)
        for path, md5 in _of(root / metrics).items():
            if locked.get(path, md5) != md5:
                yield f"{path} was changed after {stage} had made it, and committed by hand: {metrics} is of {md5}"


def _judged_otherwise(workflow: Workflow, root: Path) -> Iterator[str]:
    """Verdicts of gates on other files than those at hand."""
    for stage in workflow.stages:
        verdict = paths.accepted(workflow.name, stage).with_suffix(".json")
        for path, md5 in _of(root / verdict).items():
            if not (root / path).is_file() or file_md5(root / path) != md5:
                yield f"{verdict} is about another {path} than stands here"


def _of(path: Path) -> Mapping[str, str]:
    """The hashes that metrics or a verdict say they are of; none in a file that is missing or names none."""
    return read_json(path).get("of", {}) if path.is_file() else {}
