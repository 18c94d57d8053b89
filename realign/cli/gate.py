"""`realign gate`: what a gate said, and what it asks."""

from pathlib import Path

from realign import paths
from realign.errors import UserError
from realign.files import read_json
from realign.gates.members import with_members
from realign.gates.run import check_names, suite_file
from realign.gates.show import tell
from realign.gates.suite import layout, read_suite, suggest, with_evidence
from realign.lake.hashes import md5_of
from realign.words import listed


def verdict(workflow: str, stage: str, root: Path) -> dict:
    """The stored verdict of a stage's gate; UserError where it has not run, or judged other files than those at
    hand."""
    check_names(workflow, stage)
    path = root / paths.accepted(workflow, stage).with_suffix(".json")
    if not path.is_file():
        known = [p.stem for p in suite_file(workflow, stage, root).parent.glob("*.json")]
        raise UserError("this gate has not run", where=str(path.relative_to(root)),
                        fix="dvc repro" if stage in known else suggest(stage, known))
    found = read_json(path, fix="dvc repro writes it again")
    if other := [name for name, md5 in found["of"].items() if not (root / name).exists() or md5_of(root / name) != md5]:
        raise UserError(f"this verdict is on another {listed(other)} than the one at hand",
                        where=str(path.relative_to(root)), fix="dvc repro: the gate judges anew")
    return found


def expanded(workflow: str, stage: str, root: Path) -> str:
    """The whole suite of a stage as Great Expectations' JSON: what it states, and the evidence that the gate adds."""
    check_names(workflow, stage)
    path = suite_file(workflow, stage, root)
    return layout(with_evidence(with_members(read_suite(path), root), str(path)))


def show(workflow: str, stage: str, root: Path) -> bool:
    """Prints the stored verdict as a table, what to do to standard error; False where it is REJECT."""
    found = verdict(workflow, stage, root)
    tell(found)
    return found["tier"] != "REJECT"
