"""Outputs that are either the old ones or the new ones, whatever happens in between."""

import ctypes
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from realign.errors import UserError

# Of a run in several processes only the first writes; see realign/train/distributed.py.
RANK = "MLX_RANK"
_AT_FDCWD = -100 if sys.platform == "linux" else -2
_SWAP = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS


def writes() -> bool:
    """Whether this process writes: of several launched together only the first does, so that they may share a
    working directory."""
    return int(os.environ.get(RANK) or 0) == 0


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """A path to write to; when the block ends, that file becomes `path` in one step.

    On an error the half-written file goes and `path` stays what it was. A full disk becomes a
    UserError. The temporary name is fixed, so a killed run leaves at most one, which the next
    run overwrites; two processes must not write one path at the same time.
    """
    path = Path(path)
    if not writes():
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / path.name
        return
    part = _part(path)
    with _cleaned(path, part):
        yield part
        _sync(part)
        os.replace(part, path)
        _sync(path.parent)


@contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """An empty directory to fill; when the block ends, it becomes `path`, the old one goes.

    Same promises as `atomic_file`. Old and new change places in one system call where the file
    system can do that (Linux, macOS); elsewhere the old one is set aside for an instant, and a
    run killed there is mended by the next call.
    """
    path = Path(path)
    if not writes():
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    part, aside = _part(path), path.with_name(f".{path.name}.old")
    if aside.exists() and not path.exists():
        os.replace(aside, path)
    _remove(aside)
    with _cleaned(path, part):
        part.mkdir()
        yield part
        for inner in sorted(part.rglob("*"), reverse=True):
            _sync(inner)
        _sync(part)
        _install(part, path, aside)
        _sync(path.parent)


def write_json(path: Path | str, obj) -> None:
    """Write `obj` as JSON a person can diff: sorted keys, indented, no NaN; atomic.

    Raises ValueError on NaN or infinity.
    """
    text = json.dumps(obj, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False)
    with atomic_file(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


@contextmanager
def _cleaned(path: Path, part: Path) -> Iterator[None]:
    """Start without `part`, and leave none behind; say plainly when the disk is full."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            "the disk is full; nothing was changed", where=str(path),
            expected="room for the new file beside the old one",
            fix=f"free space on the disk that holds {path.parent} (`dvc gc --workspace` drops "
                "cached versions nothing refers to), then run again",
        ) from error
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Force a file or directory to the disk, so that the rename cannot overtake its content."""
    if path.is_symlink():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _install(part: Path, path: Path, aside: Path) -> None:
    if not os.path.lexists(path):
        os.replace(part, path)
    elif not _exchange(part, path):
        os.replace(path, aside)
        os.replace(part, path)
        _remove(aside)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one system call; False where system or file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    swap = getattr(libc, "renameat2" if sys.platform == "linux" else "renameatx_np", None)
    if swap is None:
        return False
    return swap(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), ctypes.c_uint(_SWAP)) == 0
