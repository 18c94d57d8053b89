"""A training run on disk, whole: weights, optimiser, random state, position, history.

A checkpoint is one directory that appears by rename, so a kill leaves the old one or the new one. It carries the
fingerprint of what the run was made from; one that does not match is not resumed.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from realign.lake.atomic import atomic_directory
from realign.models.build import write_arrays


CODE = ("train", "models", "evaluate")  # rooms whose edit makes a half-finished run another one


@dataclass
class Progress:
    """Where a run stands: the next step, the best validation so far, evaluations since, and its history."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    history: list[dict] = field(default_factory=list)
    extra: dict = field(default_factory=dict)


def fingerprint(*parts) -> str:
    """Hash of everything that a run depends on: parts (JSON values or bytes) and the code that trains."""
    digest = hashlib.sha256()
    for path in sorted(path for room in CODE for path in (Path(__file__).parents[1] / room).rglob("*.py")):
        digest.update(path.read_bytes())
    for part in parts:
        digest.update(part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def save(folder: Path, arrays: dict, progress: Progress, mark: str) -> None:
    """Replace the checkpoint in `folder`; `arrays` is a tree of named groups of arrays."""
    with atomic_directory(folder) as new:
        write_arrays(new / "state.safetensors", dict(tree_flatten(arrays)))
        (new / "progress.json").write_text(json.dumps({"fingerprint": mark, **asdict(progress)}), encoding="utf-8")


def restore(folder: Path, mark: str) -> tuple[dict, Progress] | None:
    """The tree of arrays and the progress in `folder`; None where there is none, or it is another run's."""
    path = folder / "progress.json"
    if not path.exists():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored.pop("fingerprint") != mark:
        shutil.rmtree(folder)
        return None
    arrays = tree_unflatten(list(mx.load(str(folder / "state.safetensors")).items()))
    return arrays, Progress(**stored)
