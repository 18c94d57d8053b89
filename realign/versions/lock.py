"""The pipeline as it ran: every stage in the dvc.lock files of the work tree or of a revision."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import join, normpath

from ruamel.yaml import YAML

from realign.versions.git import git


@dataclass(frozen=True)
class Step:
    """One stage that ran: `inputs` and `outputs` by path from the project's root, with DVC's hash of each."""

    name: str
    command: str
    params: dict[str, dict]
    inputs: dict[str, str]
    outputs: dict[str, str]


def steps(root: Path, commit: str = "") -> list[Step]:
    """All stages that ran, by name, at `commit`, or in the work tree where it is empty."""
    if commit:
        listed = git(root, "ls-tree", "-r", "--name-only", "-z", commit)
        def read(path: str) -> str:
            return git(root, "show", f"{commit}:{path}")
    else:
        listed = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "*dvc.lock")
        def read(path: str) -> str:
            return (root / path).read_text(encoding="utf-8")
    locks = sorted({p for p in listed.split("\0") if PurePosixPath(p).name == "dvc.lock"})
    if not commit:
        locks = [p for p in locks if (root / p).exists()]
    return sorted((s for path in locks for s in _steps(path, read)), key=lambda s: s.name)


def _steps(lock: str, read: Callable[[str], str]) -> list[Step]:
    folder = str(PurePosixPath(lock).parent)
    yaml = YAML(typ="safe")
    ran = (yaml.load(read(lock)) or {}).get("stages") or {}
    declared = (yaml.load(read(join(folder, "dvc.yaml").removeprefix("./"))) or {}).get("stages") or {}
    return [_step(name, entry, folder, declared.get(name.split("@")[0]) or {}) for name, entry in ran.items()]


def _step(name: str, entry: dict, folder: str, declared: dict) -> Step:
    # the paths in a lock are relative to the stage's wdir, and only dvc.yaml tells that
    wdir = declared.get("wdir") or (declared.get("do") or {}).get("wdir") or "."
    def hashes(kind: str) -> dict[str, str]:
        return {normpath(join(folder, wdir, item["path"])): item.get("md5", "")
                for item in entry.get(kind) or []}
    command = entry.get("cmd", "")
    return Step(name if folder == "." else f"{PurePosixPath(folder).name}:{name}",
                command if isinstance(command, str) else "; ".join(command),
                entry.get("params") or {}, hashes("deps"), hashes("outs"))


def overlap(a: str, b: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return a == b or a.startswith(b + "/") or b.startswith(a + "/")


def upstream(all_steps: list[Step], start: Step) -> list[Step]:
    """`start` and every step whose outputs it needs, directly or not; producers first, `start` last."""
    order: list[Step] = []

    def visit(step: Step) -> None:
        if step in order:
            return
        for other in all_steps:
            if other is not step and _feeds(other, step):
                visit(other)
        order.append(step)
    visit(start)
    return order


def downstream(all_steps: list[Step], sources: list[Step]) -> list[Step]:
    """Every step that rows or weights of `sources` reach, directly or not, without the sources."""
    reached, waiting = [], list(sources)
    while waiting:
        step = waiting.pop(0)
        for other in all_steps:
            if other not in reached and other not in sources and _hands_on(step, other):
                reached.append(other)
                waiting.append(other)
    return reached


def _feeds(producer: Step, user: Step) -> bool:
    return any(overlap(out, need) for out in producer.outputs for need in user.inputs)


def _hands_on(producer: Step, user: Step) -> bool:
    """Feeds with rows or weights: a gate's mark of acceptance, or a metric, carries neither."""
    return any(overlap(out, need) for out in producer.outputs for need in user.inputs
               if not need.startswith("metrics/"))
