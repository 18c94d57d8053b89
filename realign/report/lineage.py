"""Where the result came from: the stages behind it and the hashes of what they made, from dvc.lock."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from realign import paths
from realign.report.sources import ACCEPTED, Run, read_yaml


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
    such a one read. Code files are left out: git holds their versions.
    """
    locked = _locked(run.root, run.workflow)
    maker = {out["path"]: name for name, stage in locked.items() for out in stage.get("outs", [])}
    order: dict[str, None] = {}
    for name in sorted(locked):
        if any(_is_result(run, out["path"]) for out in locked[name].get("outs", [])):
            _visit(name, locked, maker, order)
    made = [_made(name, out) for name in order for out in locked[name].get("outs", [])]
    known = {m.path for m in made}
    sources = {dep["path"]: _made("", dep) for name in order for dep in locked[name].get("deps", [])
               if dep["path"] not in known and not dep["path"].startswith(("realign/", "stages/"))
               and not any(dep["path"].startswith(f"{path}/") for path in known)}
    return made + [sources[path] for path in sorted(sources)]


def _locked(root: Path, workflow: str) -> dict[str, Mapping]:
    """Stages of every lock file that can lie behind a workflow; the demo's named `demo: …`."""
    files = {"demo: ": root / "stages/demo/dvc.lock", "": root / "dvc.lock"}
    shared = {f"{prefix}{name}": stage for prefix, file in files.items()
              for name, stage in read_yaml(file).get("stages", {}).items()}
    return shared | read_yaml(root / "stages" / workflow / "dvc.lock").get("stages", {})


def _visit(name: str, locked: Mapping, maker: Mapping, order: dict) -> None:
    """Depth first: the stages that made what this one read come before it."""
    if name in order:
        return
    for dep in sorted(d["path"] for d in locked[name].get("deps", [])):
        above = next((maker[p] for p in _parents(dep) if p in maker), None)
        if above is not None and above != name:
            _visit(above, locked, maker, order)
    order[name] = None


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(len(parts), 0, -1)]


def _is_result(run: Run, path: str) -> bool:
    """Whether `path` is something that a stage of this run, its gate, or the release made."""
    if path == paths.metrics(run.workflow, "release").as_posix():
        return bool(run.release)
    for stage in run.stages:
        homes = [paths.dataset(run.workflow, stage.name, "any").parent.as_posix(),
                 paths.checkpoint(run.workflow, stage.name).as_posix(),
                 paths.metrics(run.workflow, stage.name).as_posix()]
        if stage.metrics and not set(homes).isdisjoint(_parents(path)):
            return True
        verdict = paths.accepted(run.workflow, stage.name).with_suffix(".json")
        # A rejecting gate fails, so its lock entry, if any, is that of an earlier run.
        if stage.tier in ACCEPTED and path == verdict.as_posix():
            return True
    return False


def _made(stage: str, entry: Mapping) -> Made:
    return Made(stage, entry["path"], str(entry.get("md5") or entry.get("etag") or ""), entry.get("size"))
