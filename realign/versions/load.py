"""One version: the per-example records and the metrics of the work tree, of a revision or of an experiment.

Another revision is read through DVC's file system (git objects, and DVC's cache through that revision's
dvc.lock), so the work tree stays as it is. Opening one takes some 0.1 s after 0.2 s to import DVC.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from realign import paths
from realign.errors import UserError
from realign.files import read_json
from realign.metrics import flatten
from realign.versions.current import check_current
from realign.versions.git import resolve
from realign.versions.lock import steps
from realign.workflow import BASELINE, EVALUATE, find

if TYPE_CHECKING:
    import pyarrow as pa

WORKSPACE, RELEASED = "workspace", "released"
_WITH_STAGE = re.compile(r"(?P<revision>.+):(?P<stage>[a-z][a-z0-9_]*)")


@dataclass(frozen=True)
class Version:
    """`records` in the RECORDS schema; `metrics` by flat name ("evaluate.kl" → value, n, low, high).

    `revision` is the full commit hash, empty for the work tree.
    """

    name: str
    revision: str
    records: "pa.Table"
    metrics: dict[str, dict]


def load(name: str, root: Path = Path("."), workflow: str = "") -> Version:
    """The version called `name`: `workspace`, `released`, or a revision, tag or experiment.

    `<name>:<stage>` takes that stage's records instead of the evaluation's; `<name>:baseline` those of the base model.
    Without a workflow it is the only one there is. UserError where a name is unknown, records are absent or in no
    cache, or, in a DVC repository, of another run than what they rest on (see current.py).
    """
    workflow = find(root, workflow).name
    match = _WITH_STAGE.fullmatch(name)
    base, stage = (match["revision"], match["stage"]) if match else (name, EVALUATE)
    if base == RELEASED:
        return _released(root, workflow)
    records = paths.dataset(paths.COMMON if stage == BASELINE else workflow, stage, "records")
    home = paths.metrics(workflow, stage).parent
    if base == WORKSPACE:
        found = read_records(root / records)
        ran = steps(root) if (root / ".dvc").is_dir() else None
        rests = None if ran is None else check_current(ran, records.as_posix(), base, root)
        return Version(name, "", found, _metrics_on_disk(root, home, rests))
    commit = resolve(root, base)
    files = at_revision(root, commit)
    found = _records_at(files, records.as_posix(), base)
    rests = check_current(steps(root, commit), records.as_posix(), base)
    return Version(name, commit, found, _metrics_at(files, home.as_posix(), rests))


def read_records(path: Path, allow_empty: bool = False) -> "pa.Table":
    """Records of a Parquet file; UserError where it is missing, damaged, has other columns, names an example
    twice or holds a score outside [0, 1]; where it holds none, too, unless `allow_empty`."""
    import pyarrow.compute as pc

    from realign.lake.schemas import RECORDS
    from realign.lake.table import read_table
    table = read_table(path, RECORDS, allow_empty)
    keys = table.group_by(["capability", "example_id"]).aggregate([([], "count_all")])
    if keys.num_rows < table.num_rows:
        twice = next(k for k in keys.to_pylist() if k["count_all"] > 1)
        raise UserError(
            f"example {twice['example_id']} of {twice['capability']} stands {twice['count_all']} times",
            where=str(path), expected="each example once in its capability")
    # NaN is not between 0 and 1 either
    inside = pc.and_(pc.greater_equal(table["score"], 0), pc.less_equal(table["score"], 1))
    outside = table.filter(pc.invert(inside))
    if outside.num_rows:
        first = outside.slice(0, 1).to_pylist()[0]
        raise UserError(f"example {first['example_id']} of {first['capability']} has score {first['score']}",
                        where=str(path), expected="a score from 0 to 1")
    return table


def _records_at(files, path: str, revision: str) -> "pa.Table":
    content = fetch(files, path, revision)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / Path(path).name
        copy.write_bytes(content)
        try:
            return read_records(copy)
        except UserError as error:
            raise UserError(str(error), where=f"{path} at {revision}") from None


def at_revision(root: Path, commit: str):
    """DVC's read-only file system of the repository at `commit`: git files and DVC-tracked ones alike."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import NotDvcRepoError
    try:
        return DVCFileSystem(str(root), rev=commit)
    except NotDvcRepoError:
        raise UserError("not a DVC repository", where=str(root.resolve()),
                        fix="run in the project's root") from None


def fetch(files, path: str, revision: str) -> bytes:
    """The bytes of `path` at a revision, from git, the DVC cache or a DVC remote."""
    from dvc_data.index import DataIndexDirError
    try:
        return files.read_bytes(path)
    except DataIndexDirError:  # it lies in a directory whose list of files is in no cache
        raise _uncached(path, revision) from None
    except FileNotFoundError:
        raise _not_here(files, path, revision) from None


def listing(files, path: str, revision: str) -> list[str]:
    """The files at or under `path` at a revision; UserError where it or the list of its files is missing."""
    from dvc_data.index import DataIndexDirError
    try:
        found = files.find(path) if files.exists(path) else []
    except (FileNotFoundError, DataIndexDirError):
        found = []
    if not found:
        raise _not_here(files, path, revision)
    return found


def _not_here(files, path: str, revision: str) -> UserError:
    # an output whose stage had not run stands in dvc.yaml, but has no hash
    if files.exists(path) and files.info(path).get("md5"):
        return _uncached(path, revision)
    return UserError("absent at this revision", where=f"{path} at {revision}",
                     expected="a revision at which this stage had run and dvc.lock was committed",
                     fix="`git log --oneline -- '*dvc.lock'` lists candidates")


def _uncached(path: str, revision: str) -> UserError:
    return UserError("tracked at this revision, but its content is in no cache on this machine",
                     where=f"{path} at {revision}",
                     fix=f"`git checkout {revision} && dvc pull`, or `dvc repro` there")


def _released(root: Path, workflow: str) -> Version:
    folder = root / paths.released(workflow)
    pointer = read_pointer(folder)
    if pointer is None:
        raise UserError("nothing has been released yet", where=str(folder),
                        fix=f"`dvc repro`, then `realign release {workflow}`")
    return Version(RELEASED, "", read_records(root / pointer["records"]["path"]), pointer["metrics"])


def read_pointer(folder: Path) -> dict | None:
    """The released pointer in `folder`, or None before the first release (no file, or an empty object). UserError where
    it is broken."""
    path = folder / "pointer.json"
    back = f"`git checkout -- {path}`"
    return check_pointer(read_json(path, fix=back), str(path), back) if path.exists() else None


def check_pointer(pointer: dict, where: str, fix: str) -> dict | None:
    """The pointer; None where it is empty. UserError where it does not name a version and its model."""
    model = pointer.get("model")
    if pointer and not (isinstance(model, dict) and "path" in model and "version" in pointer):
        raise UserError("names no released model", where=where, expected="`version`, and `model` with its `path`",
                        fix=fix)
    return pointer or None


def _metrics_on_disk(root: Path, folder: Path, rests: Collection[str] | None) -> dict[str, dict]:
    """The metrics of the stages that the records rest on; of all of them where no lock tells."""
    found = [p for p in sorted((root / folder).glob("*.json"))
             if rests is None or p.relative_to(root).as_posix() in rests]
    return collect({p.stem: p.read_bytes for p in found}, str(folder))


def _metrics_at(files, folder: str, rests: Collection[str]) -> dict[str, dict]:
    found = [p for p in files.find(folder, maxdepth=1) if p.lstrip("/") in rests] if files.exists(folder) else []
    return collect({Path(p).stem: (lambda p=p: files.read_bytes(p)) for p in sorted(found)}, folder)


def collect(readers: dict[str, Callable[[], bytes]], where: str) -> dict[str, dict]:
    """Metrics of several stages' files as one flat mapping "stage.name" → value, n, low, high."""
    flat: dict[str, dict] = {}
    for stage, read in readers.items():
        try:
            found = flatten(json.loads(read()), stage + ".")
        except ValueError as error:
            raise UserError(f"broken JSON ({error})", where=f"{where}/{stage}.json") from error
        flat |= {name: value for name, value in found.items()
                 if isinstance(value, dict) and value.keys() == {"value", "n", "low", "high"}}
    return flat
