"""Whether a released model, what it was judged by, and the verdicts on it are still what was released."""

from pathlib import Path

from realign import paths
from realign.errors import UserError
from realign.tiers import read_verdict
from realign.versions.bound import differing
from realign.versions.load import read_pointer


def verify(workflow: str, root: Path) -> tuple[dict, list[str]]:
    """The released pointer of a workflow, and a sentence for everything that does not match it.

    Hashes are computed anew: model, records, records compared with, evaluation rows, verdicts, suites; and every tier
    from its verdict's checks. UserError where nothing is released, or the release has no hashes to compare with.
    """
    folder = root / paths.released(workflow)
    pointer = read_pointer(folder)
    if pointer is None:
        raise UserError("nothing has been released yet", where=str(folder), fix="`dvc repro` up to the release")
    if "bound" not in pointer:
        raise UserError("was released without the hashes of what it rests on", where=str(folder / "pointer.json"),
                        fix="`dvc repro` releases it again")
    model = pointer["model"]
    files = {f"{model['path']}/{name}": md5 for name, md5 in model["files"].items()}
    kept = files | {pointer["records"]["path"]: pointer["records"]["md5"]}
    return pointer, [*_added(root, model), *differing(kept, root), *differing(pointer["bound"], root),
                     *_tiers(workflow, pointer["gates"], root)]


def _added(root: Path, model: dict) -> list[str]:
    """Files in the model's folder that were not released."""
    home = root / model["path"]
    found = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    return [f"{model['path']}/{name} was not released" for name in sorted(found - model["files"].keys())]


def _tiers(workflow: str, released: dict[str, str], root: Path) -> list[str]:
    """A sentence for each gate whose verdict contradicts itself or the tier that was released."""
    faults = []
    for stage, tier in released.items():
        path = paths.accepted(workflow, stage).with_suffix(".json")
        try:
            found = read_verdict(root / path)["tier"]
        except UserError as error:
            faults.append(str(error).splitlines()[0].removeprefix(f"{root}/"))
            continue
        if found != tier:
            faults.append(f"{path}: the gate of {stage} is {found}, was {tier}")
    return faults
