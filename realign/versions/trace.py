"""From a released model to its stages, gates and rows, and from a row to the models it reached."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from realign import paths
from realign.errors import UserError
from realign.files import read_yaml
from realign.lake.hashes import md5_of
from realign.versions.current import out_of_date
from realign.versions.git import git, resolve
from realign.versions.load import WORKSPACE, at_revision, check_pointer, fetch, listing, read_pointer
from realign.versions.lock import Step, downstream, overlap, steps, upstream
from realign.words import NOTHING
from realign.workflow import find

if TYPE_CHECKING:
    import pyarrow as pa

IDS = ("row_id", "prompt_id", "example_id")  # the columns by which datasets name a row
CODE = ("realign/", "stages/")
ROWLESS = (*CODE, "checkpoints/", "expectations/", "metrics/", "released/")  # where no dataset lies
MODELS = ("checkpoints/", (paths.DEMO / "sft").as_posix())
HELD_OUT = frozenset({"validation", "test"})  # splits
ANSWERS = "an answer to it"
SUITES = {  # where rows lie that nothing trains on -> what they are for
    paths.EVALUATION.as_posix(): "what models are measured by",
    paths.RESERVE.as_posix(): "asked where the verdict needs more examples",
    paths.SEALED.as_posix(): "asked by `realign release` alone",
    paths.DEVELOPMENT.as_posix(): "to choose checkpoints and methods by",
}
WIDTH = 100  # columns


@dataclass(frozen=True)
class ModelTrace:
    """The steps that `made` a released model (first to last), those that only `judged` it, its gates' tiers,
    and the Parquet datasets that the first ones read, with their rows. `commit` is empty: the work tree. `path` is
    where the model lies, and `here` whether it does so now. `settings` are the knobs that it was made with and that
    params.yaml holds otherwise now: (name, then, now)."""

    version: str
    path: str
    here: bool
    commit: str
    made: tuple[Step, ...]
    judged: tuple[Step, ...]
    gates: dict[str, str]
    datasets: dict[str, int]
    settings: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Held:
    """A dataset with the row, or with rows made from it: how many, and in which splits. `use` says what for where that
    is not training."""

    dataset: str
    rows: int
    splits: tuple[str, ...]
    use: str


@dataclass(frozen=True)
class Reached:
    """A checkpoint that a row reached: `how` is "read" where its stage read a dataset with the row, else
    "inherited"."""

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

    The run that made it is the newest one, from `name` back, whose dvc.lock holds the model's hash and, behind it,
    nothing that was made anew since: later runs may have been blocked. Without a workflow it is the only one there is.
    UserError where nothing is released there, or no such run is in git.
    """
    workflow = find(root, workflow).name
    start = "" if name == WORKSPACE else resolve(root, name)
    pointer = _pointer(root, start, workflow)
    if pointer is None:
        raise UserError("nothing has been released", where=name, fix=f"`dvc repro`, then `realign release {workflow}`")
    model = pointer["model"]
    commit, ran, made = _run_of(model, name, start, root)
    verdict = next((s for s in ran if paths.verdict(workflow).as_posix() in s.outputs), None)
    judged = [s for s in upstream(ran, verdict) if s not in made and s is not verdict
              and not out_of_date(ran, s)] if verdict else []
    datasets = _datasets(root, commit, {p for s in made for p in s.inputs})
    return ModelTrace(pointer["version"], model["path"], (root / model["path"]).is_dir(), commit, tuple(made),
                      tuple(judged), pointer["gates"], {path: _count(read()) for path, read in datasets.items()},
                      tuple(_settings(made, root)))


def _run_of(model: Mapping, name: str, start: str, root: Path) -> tuple[str, list[Step], list[Step]]:
    """The commit whose locks hold the run that made a model, all steps there, and those that made it."""
    torn = []
    for commit in [start, *git(root, "log", "--format=%H", start or "HEAD").split()]:
        ran = steps(root, commit)
        maker = next((s for s in ran if s.outputs.get(model["from"]) == model["md5"]), None)
        if maker and not (torn := out_of_date(ran, maker)):
            return commit, ran, upstream(ran, maker)
    raise UserError(f"no dvc.lock from {name} back holds the run that made the model {model['md5']}"
                    + "".join(f"\n  - {told}" for told in torn), where=model["path"],
                    fix="commit dvc.lock together with the released pointer")


def _settings(made: Sequence[Step], root: Path) -> Iterator[tuple[str, str, str]]:
    """Knobs of these steps that the parameter files hold otherwise now."""
    then = {(file, name): value for step in made for file, found in step.params.items()
            for name, value in flat(found)}
    now = {file: dict(flat(read_yaml(root / file))) if (root / file).is_file() else {}
           for file in dict.fromkeys(file for file, _ in then)}
    for (file, name), value in then.items():
        if now[file].get(name, NOTHING) != value:
            yield name, str(value), str(now[file].get(name, NOTHING))


def flat(value: Mapping, start: str = "") -> Iterator[tuple[str, object]]:
    """Every value in nested mappings by its dotted name."""
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from flat(inner, f"{start}{name}.")
        else:
            yield f"{start}{name}", inner


def trace_row(row_id: str, name: str = WORKSPACE, root: Path = Path("."), workflow: str = "") -> RowTrace:
    """Where the row stands in the datasets of `name`, and which checkpoints it reached there.

    Rows made from it count too: where a dataset names it as prompt_id, the row_ids there are followed on. A row that
    is only measured by (of a suite, in a split that is held out, or recorded with an answer to it) reaches none.
    A checkpoint is "read" where its stage read or made a dataset with such a row (locks do not tell what else it did
    with the row), "inherited" where rows or weights of such a stage went into it. "released" is meant of `workflow`, or
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
    taught = [h.dataset for h in held if not h.use]
    here = {} if commit else _hashes({p for s in ran for p in (*s.inputs, *s.outputs)
                                      if any(overlap(p, path) for path in taught)}, root)
    readers = [s for s in ran if any(overlap(dataset, path) and here.get(path, md5) == md5 for dataset in taught
                                     for path, md5 in (*s.inputs.items(), *s.outputs.items()))]
    pointer = _pointer(root, commit, workflow)
    released = pointer["model"]["md5"] if pointer else ""
    reached = [Reached(path, md5, step.name, how, md5 == released)
               for how, found in (("read", readers), ("inherited", downstream(ran, readers)))
               for step in found for path, md5 in step.outputs.items() if path.startswith(MODELS)]
    return RowTrace(row_id, held, tuple(sorted(reached, key=lambda r: (r.how != "read", r.checkpoint))))


def _hashes(found: Iterable[str], root: Path) -> dict[str, str]:
    """The hash of what stands at each path: a step that has another read or made other rows."""
    return {path: md5_of(root / path) for path in found if (root / path).exists()}


def _pointer(root: Path, commit: str, workflow: str) -> dict | None:
    if not commit:
        return read_pointer(root / paths.released(workflow))
    path = _pointer_path(workflow)
    if not git(root, "ls-tree", "--name-only", commit, "--", path):
        return None
    try:
        found = json.loads(git(root, "show", f"{commit}:{path}"))
    except ValueError as error:
        raise UserError(f"broken JSON ({error})", where=f"{path} at {commit[:10]}",
                        fix="name another revision") from error
    return check_pointer(found, f"{path} at {commit[:10]}", "name another revision")


def _pointer_path(workflow: str) -> str:
    return (paths.released(workflow) / "pointer.json").as_posix()


def _datasets(root: Path, commit: str, found: set[str]) -> dict[str, Callable[[], bytes]]:
    """Every Parquet file at or under those of the paths that may hold rows, and how to read it there.

    Of a revision, what neither git nor DVC keeps (a user's file beside the project) is passed over. UserError where one
    is not on this machine.
    """
    wanted = sorted(p for p in found if not p.startswith(ROWLESS))
    if commit:
        files = at_revision(root, commit)
        kept = [p for p in wanted if not p.startswith(("..", "/")) and files.exists(p)]
        listed = {path for p in kept for path in listing(files, p, commit[:10])}
        return {p: (lambda p=p: fetch(files, p, commit[:10]))
                for p in sorted(listed) if p.endswith(".parquet")}
    for path in wanted:
        if not (root / path).exists():
            raise UserError("not in the work tree", where=path, fix="`dvc checkout` or `dvc repro`")
    listed = {q for p in wanted for q in [root / p, *(root / p).rglob("*")] if q.suffix == ".parquet"}
    return {q.relative_to(root).as_posix(): q.read_bytes for q in sorted(listed)}


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
    return tuple(_held(path, rows, wanted) for path, rows in found.items())


def _held(path: str, rows: Sequence[Mapping], wanted: set[str]) -> Held:
    splits = tuple(sorted({r["split"] for r in rows if r.get("split")}))
    suite = next((words for folder, words in SUITES.items() if path.startswith(f"{folder}/")), "")
    answers = not any(r.get(c) in wanted for r in rows for c in ("row_id", "prompt_id"))
    apart = "held out of training" if splits and HELD_OUT.issuperset(splits) else ""
    return Held(path, len(rows), splits, suite or (ANSWERS if answers else apart))


def model_lines(trace: ModelTrace, code: bool = False) -> list[str]:
    """A model's lineage as lines of text that fit a screen; with `code` every file, hash and knob."""
    gone = "" if trace.here else ", which is not here: `dvc checkout` brings it"
    makers = {path: step.name for step in trace.made for path in step.outputs}
    given = {path: md5 for step in trace.made for path, md5 in step.inputs.items()
             if not path.startswith(CODE) and not any(overlap(path, made) for made in makers)}
    lines = [f"released version {trace.version}: {trace.path}{gone}",
             f"made {f'at commit {trace.commit[:10]}' if trace.commit else 'in the work tree'} by"]
    for step in trace.made:
        lines += _whole(step) if code else _brief(step)
    lines += _wrapped("given: ", [f"{path} {md5[:10]}" for path, md5 in sorted(given.items())])
    differ = [f"{name} = {then} (now {now})" for name, then, now in trace.settings]
    lines += _wrapped("knobs: as params.yaml has them now" + (", but for " if differ else ""), differ)
    if trace.judged:
        lines += _wrapped("judged by ", [s.name for s in trace.judged])
    lines += _wrapped("gates: ", [f"{stage} {tier}" for stage, tier in trace.gates.items()])
    return lines + _wrapped("rows: ", [f"{path} {count:,}" for path, count in trace.datasets.items()])


def _brief(step: Step) -> list[str]:
    """What a step made, but for figures, which git holds; gates stand for themselves."""
    made = [f"{path} {md5[:10]}" for path, md5 in step.outputs.items() if not path.startswith("metrics/")]
    return _wrapped(f"  {step.name} (code {_code(step)}): ", made) if made else []


def _code(step: Step) -> str:
    """One hash of all the code that a step ran with."""
    found = "".join(f"{path} {md5}\n" for path, md5 in sorted(step.inputs.items()) if path.startswith(CODE))
    return hashlib.md5(found.encode(), usedforsecurity=False).hexdigest()[:10]


def _whole(step: Step) -> list[str]:
    return [f"  {step.name}",
            *(f"    {name} = {value}" for found in step.params.values() for name, value in flat(found)),
            *(f"    {verb} {path}  {md5[:10]}" for verb, found in (("reads", step.inputs), ("makes", step.outputs))
              for path, md5 in found.items())]


def _wrapped(start: str, parts: Sequence[str]) -> list[str]:
    """The parts after `start`, a comma between them, in lines of WIDTH columns; no part is broken."""
    indent = " " * (len(start) - len(start.lstrip()) + 2)
    lines = [start]
    for i, part in enumerate(parts):
        text = part + ("," if i < len(parts) - 1 else "")
        if len(lines[-1].rstrip()) + 1 + len(text) > WIDTH and lines[-1].strip():
            lines.append(indent)
        lines[-1] = f"{lines[-1].rstrip()} {text}" if lines[-1].strip() else indent + text
    return lines


def row_lines(trace: RowTrace) -> list[str]:
    """A row's way as lines of text."""
    held = [f"  {h.dataset}: {h.rows} {'row' if h.rows == 1 else 'rows'}"
            f"{' in ' + ', '.join(h.splits) if h.splits else ''}{f' ({h.use})' if h.use else ''}" for h in trace.held]
    reached = [f"  {r.checkpoint}  {r.md5[:10]}  {r.how} by {r.step}{'  (released)' if r.released else ''}"
               for r in trace.reached]
    learned = ["reached, by the datasets that stages read", *reached] if reached else [
        "measured, not trained on" if all(h.use for h in trace.held) else "reached no checkpoint"]
    return [f"row {trace.row_id}", "held by", *held, *learned]
