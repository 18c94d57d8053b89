"""A training run on disk, whole: weights, optimiser, random state, position, history.

A checkpoint is one directory that appears by rename, so a kill leaves the old one or the new one. It carries
the id of its run, a hash of what that was made from; one that does not match is not resumed. A snapshot is bytes of
its own, so that it can be written while training changes the arrays that it was taken from.
"""

import hashlib
import io
import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from realign.lake.atomic import atomic_directory

CODE = ("train", "objectives", "models", "evaluate")  # rooms whose edit makes a half-finished run another one


@dataclass
class Progress:
    """Where a run stands: the next step, the best validation so far, evaluations since, and its history."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    history: list[dict] = field(default_factory=list)
    extra: dict = field(default_factory=dict)


def run_id(*parts) -> str:
    """The identity of a run: a hash of what it depends on, parts (JSON values or bytes) and the code that trains."""
    digest = hashlib.sha256()
    for path in sorted(path for room in CODE for path in (Path(__file__).parents[1] / room).rglob("*.py")):
        digest.update(path.read_bytes())
    for part in parts:
        digest.update(part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint as it will stand on disk: safetensors and JSON."""

    arrays: memoryview
    progress: str


def snapshot(arrays: dict, progress: Progress, run_id: str) -> Snapshot:
    """A tree of named groups of arrays, evaluated and copied to host memory, which needs room for both."""
    buffer = io.BytesIO()
    mx.save_safetensors(buffer, dict(sorted(tree_flatten(arrays))), metadata={"format": "mlx"})
    return Snapshot(buffer.getbuffer(), json.dumps({"run_id": run_id, **asdict(progress)}))


def write(folder: Path, taken: Snapshot) -> None:
    """Replace the checkpoint in `folder`; UserError where the disk is full, and then the old one stays."""
    with atomic_directory(folder) as new:
        write_bytes(new / "state.safetensors", taken.arrays)
        (new / "progress.json").write_text(taken.progress, encoding="utf-8")


def write_bytes(path: Path, content: memoryview) -> None:
    """Write a file."""
    path.write_bytes(content)


class Writer:
    """Writes the checkpoints of a run one at a time, while training goes on.

    An error of writing is raised at the next call, or at the end of the `with` block, which waits for the
    last one.
    """

    def __init__(self, folder: Path, run_id: str):
        self.folder, self.run_id = folder, run_id
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future | None = None

    def save(self, arrays: dict, progress: Progress) -> None:
        """Take a snapshot and begin to write it, when the one before is on disk."""
        self._wait()
        self._writing = self._pool.submit(write, self.folder, snapshot(arrays, progress, self.run_id))

    def check(self) -> None:
        """Raise the error of a writing that has failed since the last call."""
        if self._writing is not None and self._writing.done():
            self._wait()

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_) -> None:
        try:
            self._wait()
        finally:
            self._pool.shutdown()


def restore(folder: Path, run_id: str) -> tuple[dict, Progress] | None:
    """The tree of arrays and the progress in `folder`; None where there is none, or it is another run's."""
    path = folder / "progress.json"
    if not path.exists():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored.pop("run_id") != run_id:
        shutil.rmtree(folder)
        return None
    arrays = tree_unflatten(list(mx.load(str(folder / "state.safetensors")).items()))
    return arrays, Progress(**stored)
