"""What a release rests on, by hash: MD5, as DVC has it, so that dvc.lock can be asked."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from realign.errors import UserError
from realign.versions.lock import Step, overlap


def tree_md5(folder: Path) -> tuple[str, dict[str, str]]:
    """The hash by which DVC knows this directory ("….dir" in dvc.lock), and the MD5 of each file in it.

    DVC hashes the JSON list of its files' MD5 and relative paths, sorted by path (dvc_data/hashfile/tree.py); its own
    .gitignore files are left out, as .dvcignore says.
    """
    if not folder.is_dir():
        raise UserError("no such directory", where=str(folder), expected="a model", fix="dvc repro")
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and p.name != ".gitignore"}
    if not files:
        raise UserError("holds no files", where=str(folder), expected="a model", fix="dvc repro")
    hashes = {name: file_md5(files[name]) for name in sorted(files)}
    listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in hashes.items()], sort_keys=True)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir", hashes


def file_md5(path: Path) -> str:
    """The MD5 of a file's bytes. UserError where there is none."""
    if not path.is_file():
        raise UserError("no such file", where=str(path), fix="dvc repro")
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def bind(files: Iterable[Path]) -> dict[str, str]:
    """The hash of each file, by path."""
    return {path.as_posix(): file_md5(path) for path in sorted(files)}


def differing(bound: Mapping[str, str], root: Path) -> list[str]:
    """A sentence for each file under `root` that is missing or no longer has the hash it is bound by."""
    return [fault for path, md5 in sorted(bound.items()) if (fault := _fault(root / path, path, md5))]


def _fault(file: Path, path: str, md5: str) -> str:
    if not file.is_file():
        return f"{path} is missing"
    found = file_md5(file)
    return "" if found == md5 else f"{path} is not what was released: its MD5 is {found}, was {md5}"


def check_recorded(hashes: Mapping[str, str], steps: Iterable[Step]) -> None:
    """Raises UserError where no stage that ran read or made one of these paths, or a directory around it: what nobody
    recorded may be anything, edited by hand too."""
    recorded = {path for step in steps for path in (*step.inputs, *step.outputs)} & hashes.keys()
    for path in sorted(hashes):
        if not any(overlap(path, known) for known in recorded):
            raise UserError("no dvc.lock records it", where=path, expected="what a stage of the pipeline read or made",
                            fix="`dvc repro` makes it, and everything it rests on, under record")


def check_lock(hashes: Mapping[str, str], steps: Iterable[Step]) -> None:
    """Raises UserError where a stage that ran read or made one of these paths with another hash: figures and verdicts
    then speak of something else than what is at hand."""
    for step in steps:
        for path, locked in (step.inputs | step.outputs).items():
            if locked and hashes.get(path, locked) != locked:
                raise UserError(f"is not what {step.name} ran on: its MD5 is {hashes[path]}", where=path,
                                expected=f"{locked}, as dvc.lock has it",
                                fix="`dvc checkout` brings that back; `dvc repro` measures and judges this one")
