"""From a released model to its stages, gates and rows, and from a row to the models it reached."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from realign import paths
from realign.errors import UserError
from realign.versions.git import git, resolve
from realign.versions.load import WORKSPACE, at_revision, check_pointer, fetch, listing, read_pointer
from realign.versions.lock import Step, downstream, overlap, steps, upstream
from realign.workflow import find

if TYPE_CHECKING:
    import pyarrow as pa

IDS = ("row_id", "prompt_id", "example_id")  # the columns by which datasets name a row


@dataclass(frozen=True)
class ModelTrace:
    """The steps that `made` a released model (first to last), those that only `judged` it, its gates' tiers,
    and the Parquet datasets that the first ones read, with their rows. `commit` is empty: the work tree."""

    version: str
    commit: str
    made: tuple[Step, ...]
    judged: tuple[Step, ...]
    gates: dict[str, str]
    datasets: dict[str, int]


@dataclass(frozen=True)
class Held:
    """A dataset with the row, or with rows made from it: how many, and in which splits."""

    dataset: str
    rows: int
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Reached:
    """A checkpoint that a row reached: `how` is "read" where its stage handled the row, else "inherited"."""

    checkpoint: str
    md5: str
    step: str
    how: str
    released: bool


@dataclass(frozen=True)
class RowTrace:
    """Where a row is held and which checkpoints it reached, at one revision."""

    row_id: str
    held: tuple[Held, ...]
    reached: tuple[Reached, ...]


def trace_model(name: str = WORKSPACE, root: Path = Path("."), workflow: str = "") -> ModelTrace:
    """The lineage of the model that is released at `name` (the work tree, or a revision or experiment).

    The run that made it is the newest one, from `name` back, whose dvc.lock holds the model's hash: later
    runs may have been blocked. Without a workflow it is the only one there is. UserError where nothing is released
    there, or no such run is in git.
    """
    workflow = find(root, workflow).name
    start = "" if name == WORKSPACE else resolve(root, name)
    pointer = _pointer(root, start, workflow)
    if pointer is None:
        raise UserError("nothing has been released", where=name, fix=f"`dvc repro`, then `realign release {workflow}`")
    model = pointer["model"]
    for commit in [start, *git(root, "log", "--format=%H", start or "HEAD").split()]:
        ran = steps(root, commit)
        maker = next((s for s in ran if s.outputs.get(model["from"]) == model["md5"]), None)
        if maker:
            break
    else:
        raise UserError(f"no dvc.lock from {name} back holds the model {model['md5']}",
                        where=pointer["version"], fix="commit dvc.lock together with the released pointer")
    made = upstream(ran, maker)
    verdict = next((s for s in ran if paths.verdict(workflow).as_posix() in s.outputs), None)
    judged = [s for s in upstream(ran, verdict) if s not in made and s is not verdict] if verdict else []
    datasets = _datasets(root, commit, {p for s in made for p in s.inputs})
    return ModelTrace(pointer["version"], commit, tuple(made), tuple(judged), pointer["gates"],
                      {path: _count(read()) for path, read in datasets.items()})


def trace_row(row_id: str, name: str = WORKSPACE, root: Path = Path("."), workflow: str = "") -> RowTrace:
    """Where the row stands in the datasets of `name`, and which checkpoints it reached there.

    Rows made from it count too: where a dataset names it as prompt_id, the row_ids there are followed on.
    A checkpoint is "read" where its stage read or made such a dataset, whatever split the row is in (`held`
    tells that), "inherited" where rows or weights of such a stage went into it. "released" is meant of `workflow`, or
    of the only one there is. UserError where no dataset holds the row.
    """
    workflow = find(root, workflow).name
    commit = "" if name == WORKSPACE else resolve(root, name)
    ran = steps(root, commit)
    datasets = _datasets(root, commit, {p for s in ran for p in (*s.inputs, *s.outputs)})
    tables = {path: table for path, read in datasets.items() if (table := _ids(read())) is not None}
    held = _holders(tables, row_id)
    if not held:
        raise UserError("no dataset holds this row", where=row_id,
                        expected=f"a value of {', '.join(IDS)} in one of {len(tables)} datasets at {name}")
    readers = [s for s in ran
               if any(overlap(h.dataset, path) for h in held for path in (*s.inputs, *s.outputs))]
    pointer = _pointer(root, commit, workflow)
    released = pointer["model"]["md5"] if pointer else ""
    reached = [Reached(path, md5, step.name, how, md5 == released)
               for how, found in (("read", readers), ("inherited", downstream(ran, readers)))
               for step in found for path, md5 in step.outputs.items() if path.startswith("checkpoints/")]
    return RowTrace(row_id, held, tuple(sorted(reached, key=lambda r: (r.how != "read", r.checkpoint))))


def _pointer(root: Path, commit: str, workflow: str) -> dict | None:
    if not commit:
        return read_pointer(root / paths.released(workflow))
    path = _pointer_path(workflow)
    if not git(root, "ls-tree", "--name-only", commit, "--", path):
        return None
    try:
        found = json.loads(git(root, "show", f"{commit}:{path}"))
    except ValueError as error:
        raise UserError(f"broken JSON ({error})", where=f"{path} at {commit[:10]}", fix="name another revision") from error
    return check_pointer(found, f"{path} at {commit[:10]}", "name another revision")


def _pointer_path(workflow: str) -> str:
    return (paths.released(workflow) / "pointer.json").as_posix()


def _datasets(root: Path, commit: str, paths: set[str]) -> dict[str, Callable[[], bytes]]:
    """Every Parquet file at or under those of `paths` that lie in data/, and how to read it there.

    UserError where one is not on this machine.
    """
    wanted = sorted(p for p in paths if p.startswith("data/"))
    if commit:
        files = at_revision(root, commit)
        found = {path for p in wanted for path in listing(files, p, commit[:10])}
        return {p: (lambda p=p: fetch(files, p, commit[:10]))
                for p in sorted(found) if p.endswith(".parquet")}
    for path in wanted:
        if not (root / path).exists():
            raise UserError("not in the work tree", where=path, fix="`dvc checkout` or `dvc repro`")
    found = {q for p in wanted for q in [root / p, *(root / p).rglob("*")] if q.suffix == ".parquet"}
    return {q.relative_to(root).as_posix(): q.read_bytes for q in sorted(found)}


def _count(content: bytes) -> int:
    import pyarrow.parquet as pq
    return pq.ParquetFile(io.BytesIO(content)).metadata.num_rows


def _ids(content: bytes) -> "pa.Table | None":
    """The columns that name rows, and the split; None for a dataset that names none."""
    import pyarrow.parquet as pq
    file = pq.ParquetFile(io.BytesIO(content))
    columns = [c for c in (*IDS, "split") if c in file.schema_arrow.names]
    return file.read(columns=columns) if set(columns) & set(IDS) else None


def _holders(tables: "dict[str, pa.Table]", row_id: str) -> tuple[Held, ...]:
    wanted, before = {row_id}, set()
    while wanted != before:
        before, found = set(wanted), {}
        for path, table in tables.items():
            rows = [r for r in table.to_pylist() if wanted & {r.get(c) for c in IDS}]
            if rows:
                found[path] = rows
            wanted |= {r["row_id"] for r in rows if r.get("row_id")}
    return tuple(Held(path, len(rows), tuple(sorted({r["split"] for r in rows if r.get("split")})))
                 for path, rows in found.items())


def model_lines(trace: ModelTrace) -> list[str]:
    """A model's lineage as lines of text."""
    lines = [f"released version {trace.version}, made at {trace.commit[:10] or 'the work tree'}", "made by"]
    for step in trace.made:
        lines.append(f"  {step.name}")
        lines += [f"    {name} = {value}" for file in step.params.values() for name, value in file.items()]
        lines += [f"    reads {path}  {md5[:10]}" for path, md5 in step.inputs.items()]
        lines += [f"    makes {path}  {md5[:10]}" for path, md5 in step.outputs.items()]
    lines += ["judged by", *(f"  {s.name}" for s in trace.judged)] if trace.judged else []
    lines += ["gates", *(f"  {stage}: {tier}" for stage, tier in trace.gates.items())]
    return [*lines, "datasets", *(f"  {path}: {rows} rows" for path, rows in trace.datasets.items())]


def row_lines(trace: RowTrace) -> list[str]:
    """A row's way as lines of text."""
    held = [f"  {h.dataset}: {h.rows} rows{' in ' + ', '.join(h.splits) if h.splits else ''}"
            for h in trace.held]
    reached = [f"  {r.checkpoint}  {r.md5[:10]}  {r.how} by {r.step}{'  (released)' if r.released else ''}"
               for r in trace.reached]
    return [f"row {trace.row_id}", "held by", *held,
            "reached" if reached else "reached no checkpoint", *reached]
