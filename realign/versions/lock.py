"""The pipeline as it ran: every stage in the dvc.lock files of the work tree or of a revision."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import join, normpath
from tempfile import TemporaryDirectory

from realign.errors import UserError
from realign.files import read_yaml
from realign.versions.git import git

LOCKS = ("dvc.lock", "stages/*/dvc.lock")  # as dvc.yaml files stand: what is shared at the root, and one a workflow


@dataclass(frozen=True)
class Step:
    """One stage that ran: `inputs` and `outputs` by path from the project's root, with DVC's hash of each.

    `sizes` holds the bytes of each such path, where the lock tells them. A gate of a `foreach` is called `gate@rl`,
    a stage of a workflow's own file `<workflow>:rl`.
    """

    name: str
    command: str
    params: dict[str, dict]
    inputs: dict[str, str]
    outputs: dict[str, str]
    sizes: dict[str, int]


def steps(root: Path, commit: str = "") -> list[Step]:
    """All stages that ran, by name, at `commit`, or in the work tree where it is empty.

    Raises UserError where a lock or the dvc.yaml beside it is missing or broken.
    """
    if not commit:
        return sorted(_all(root), key=lambda s: s.name)
    listed = git(root, "ls-tree", "-r", "--name-only", "-z", commit).split("\0")
    with TemporaryDirectory() as copy:
        for path in (p for p in listed if any(_is(p, lock) or _is(p, _declaration(lock)) for lock in LOCKS)):
            (Path(copy) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(copy) / path).write_text(git(root, "show", f"{commit}:{path}"), encoding="utf-8")
        try:
            return sorted(_all(Path(copy)), key=lambda s: s.name)
        except UserError as error:
            raise UserError(str(error).removeprefix(f"{copy}/"), where=f"at {commit[:10]}") from error


def _is(path: str, pattern: str) -> bool:
    """Whether the whole of `path` fits, part by part."""
    return len(PurePosixPath(path).parts) == len(PurePosixPath(pattern).parts) and PurePosixPath(path).match(pattern)


def _declaration(lock: str) -> str:
    return lock.removesuffix("dvc.lock") + "dvc.yaml"


def _all(root: Path) -> Iterator[Step]:
    for lock in sorted(path for pattern in LOCKS for path in root.glob(pattern)):
        folder = lock.parent.relative_to(root).as_posix()
        declared = read_yaml(lock.with_name("dvc.yaml")).get("stages") or {}
        for name, entry in (read_yaml(lock).get("stages") or {}).items():
            stage = declared.get(name.split("@")[0])
            # DVC keeps the entries of stages that are no more
            if stage is not None and ("@" in name) == ("foreach" in stage):
                yield _step(name, entry, folder, stage)


def _step(name: str, entry: Mapping, folder: str, declared: Mapping) -> Step:
    # the paths in a lock are relative to the stage's wdir, and only dvc.yaml tells that
    wdir = declared.get("wdir") or (declared.get("do") or {}).get("wdir") or "."
    found = {kind: {normpath(join(folder, wdir, item["path"])): item for item in entry.get(kind) or []}
             for kind in ("deps", "outs")}
    inputs, outputs = ({path: str(item.get("md5") or item.get("etag") or "") for path, item in found[kind].items()}
                       for kind in ("deps", "outs"))
    sizes = {path: item["size"] for kind in found.values() for path, item in kind.items() if "size" in item}
    command = entry.get("cmd", "")
    return Step(name if folder == "." else f"{PurePosixPath(folder).name}:{name}",
                command if isinstance(command, str) else "; ".join(command),
                entry.get("params") or {}, inputs, outputs, sizes)


def overlap(a: str, b: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return a == b or a.startswith(b + "/") or b.startswith(a + "/")


def upstream(all_steps: list[Step], start: Step) -> list[Step]:
    """`start` and every step whose outputs it needs, directly or not; producers first, `start` last.

    Entries of different times may need each other in a circle; each step comes once then too.
    """
    order, seen = [], set()

    def visit(step: Step) -> None:
        if step.name in seen:
            return
        seen.add(step.name)
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
    """Feeds with rows or weights, those that the producer has made (it may have run again since): a gate's mark of
    acceptance, or a metric, carries neither."""
    return any(overlap(out, need) and (out != need or made == read)
               for out, made in producer.outputs.items() for need, read in user.inputs.items()
               if not need.startswith("metrics/"))
