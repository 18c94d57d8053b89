"""Where the result came from: the stages behind it and the hashes of what they made, from dvc.lock."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from realign import paths
from realign.report.sources import ACCEPTED, Run
from realign.versions.lock import Step, overlap, steps, upstream
from realign.workflow import BASELINE

CODE = ("realign/", "stages/")  # git holds its versions


@dataclass(frozen=True)
class Made:
    """One file or directory in the lineage: who made it ("" for a source), its path, hash and bytes."""

    stage: str
    path: str
    hash: str
    size: int | None


def lineage(run: Run) -> list[Made]:
    """Outputs of every stage that this run rests on, makers before users; then the sources they read.

    A locked stage belongs to the run if it made something of a stage that was reached, or made what
    such a one read. Code files are left out. A stage of the workflow's own is named without the workflow.
    """
    locked = steps(run.root)
    order: dict[str, Step] = {}
    for step in locked:
        if any(_is_result(run, path) for path in step.outputs):
            order |= {s.name: s for s in upstream(locked, step) if s.name not in order}
    made = [Made(step.name.removeprefix(f"{run.workflow.name}:"), path, md5, step.sizes.get(path))
            for step in order.values() for path, md5 in step.outputs.items()]
    sources = {path: Made("", path, md5, step.sizes.get(path))
               for step in order.values() for path, md5 in step.inputs.items()
               if not path.startswith(CODE) and not any(overlap(path, m.path) for m in made)}
    return made + [sources[path] for path in sorted(sources)]


def _is_result(run: Run, path: str) -> bool:
    """Whether `path` is something that a stage of this run, its gate, the baseline or the verdict made."""
    name, around = run.workflow.name, {path, *(p.as_posix() for p in PurePosixPath(path).parents)}
    if path == paths.verdict(name).as_posix():
        return bool(run.verdict)
    if path == paths.metrics(paths.COMMON, BASELINE).as_posix():
        return bool(run.baseline)
    for stage in run.stages:
        homes = {paths.dataset(name, stage.name, "any").parent.as_posix(),
                 paths.checkpoint(name, stage.name).as_posix(), paths.metrics(name, stage.name).as_posix()}
        if stage.metrics and homes & around:
            return True
        verdict = paths.accepted(name, stage.name).with_suffix(".json")
        # A rejecting gate fails, so its lock entry, if any, is that of an earlier run.
        if stage.tier in ACCEPTED and path == verdict.as_posix():
            return True
    return False
