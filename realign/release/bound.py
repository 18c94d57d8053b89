"""What a release rests on against what is at hand, and against what dvc.lock says the stages ran on."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from realign.errors import UserError
from realign.lake.hashes import file_md5
from realign.versions.lock import Step, overlap


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
