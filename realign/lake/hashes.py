"""What files and directories are, by hash: MD5, as DVC has it, so that dvc.lock can be asked."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from realign.errors import UserError


def tree_md5(folder: Path) -> tuple[str, dict[str, str]]:
    """The hash by which DVC knows this directory ("….dir" in dvc.lock), and the MD5 of each file in it.

    DVC hashes the JSON list of its files' MD5 and relative paths, sorted by path (dvc_data/hashfile/tree.py); its own
    .gitignore files are left out, as .dvcignore says.
    """
    if not folder.is_dir():
        raise UserError("no such directory", where=str(folder), expected="what a stage made", fix="dvc repro")
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and p.name != ".gitignore"}
    if not files:
        raise UserError("holds no files", where=str(folder), expected="what a stage made", fix="dvc repro")
    hashes = {name: file_md5(files[name]) for name in sorted(files)}
    listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in hashes.items()], sort_keys=True)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir", hashes


def file_md5(path: Path) -> str:
    """The MD5 of a file's bytes. UserError where there is none."""
    if not path.is_file():
        raise UserError("no such file", where=str(path), fix="dvc repro")
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def md5_of(path: Path) -> str:
    """The hash of a file or a directory."""
    return tree_md5(path)[0] if path.is_dir() else file_md5(path)


def bind(paths: Iterable[Path]) -> dict[str, str]:
    """The hash of each file or directory, by path."""
    return {path.as_posix(): md5_of(path) for path in sorted(paths)}
