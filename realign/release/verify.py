"""Whether a released model, what it was judged by, and the verdicts on it are still what was released, and whether the
model answers as its records say."""

from pathlib import Path

from realign import paths
from realign.errors import UserError
from realign.lake.schemas import CHATS
from realign.lake.table import small_rows
from realign.release import openings
from realign.release.bound import differing
from realign.release.decide import PASSED
from realign.release.made import faults, of_workflow
from realign.tiers import read_verdict
from realign.versions.load import read_pointer, read_records
from realign.versions.lock import steps
from realign.workflow import find

ANSWERS = 50  # recorded rows that the model answers again
DIFFERENT = 0.1  # of them may differ: another machine rounds differently, and greedy answers turn on a rounding


def verify(workflow: str, root: Path) -> tuple[dict, list[str]]:
    """The released pointer of a workflow, and a sentence for everything that does not match it.

    Hashes are computed anew: model, records, records compared with, evaluation rows, verdicts, suites; every tier from
    its verdict's checks; the opening of the sealed rows; and, while the work tree's candidate is the released one, that
    its pipeline made it. UserError where nothing is released, or the release has no hashes to compare with.
    """
    folder = root / paths.released(workflow)
    pointer = read_pointer(folder)
    if pointer is None:
        raise UserError("nothing has been released yet", where=str(folder), fix=f"`realign release {workflow}`")
    if "bound" not in pointer or "sealed" not in pointer:
        raise UserError("was released without the hashes of what it rests on", where=str(folder / "pointer.json"),
                        fix=f"`realign release {workflow}` releases it again")
    model = pointer["model"]
    files = {f"{model['path']}/{name}": md5 for name, md5 in model["files"].items()}
    kept = files | {pointer[kind]["path"]: pointer[kind]["md5"] for kind in ("records", "sealed")}
    return pointer, [*_added(root, model), *differing(kept, root), *differing(pointer["bound"], root),
                     *_tiers(workflow, pointer["gates"], root), *_unopened(folder, pointer),
                     *_unmade(workflow, model, root)]


def answered_again(pointer: dict, root: Path) -> tuple[int, list[str]]:
    """How many recorded rows the released model has answered again, and a sentence where it answers otherwise. The
    backend must have been started."""
    from realign.evaluate import capabilities
    from realign.models import build
    records = {row["example_id"]: row for row in read_records(root / pointer["records"]["path"]).to_pylist()}
    asked = [row for file in (root / paths.EVALUATION).glob("*.parquet") for row in small_rows(file, CHATS)]
    # ids are hashes: a fair draw
    chats = sorted((row for row in asked if row["row_id"] in records), key=lambda row: row["row_id"])
    model, tokenizer, _ = build.load(str(root / pointer["model"]["path"]))
    again = capabilities.measure(model, tokenizer, chats[:ANSWERS])
    other = [row["example_id"] for row in again if any(row[key] != records[row["example_id"]][key]
                                                       for key in ("output", "score"))]
    if not again or len(other) > DIFFERENT * len(again):
        return len(again), [f"{pointer['records']['path']} is not what the model answers: {len(other)} of {len(again)} "
                            f"answers differ, {', '.join(other[:3])} first"]
    return len(again), []


def _added(root: Path, model: dict) -> list[str]:
    """Files in the model's folder that were not released."""
    home = root / model["path"]
    found = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    return [f"{model['path']}/{name} was not released" for name in sorted(found - model["files"].keys())]


def _tiers(workflow: str, released: dict[str, str], root: Path) -> list[str]:
    """A sentence for each gate whose verdict contradicts itself or the tier that was released."""
    found = []
    for stage, tier in released.items():
        path = paths.accepted(workflow, stage).with_suffix(".json")
        try:
            now = read_verdict(root / path)["tier"]
        except UserError as error:
            found.append(str(error).splitlines()[0].removeprefix(f"{root}/"))
            continue
        if now != tier:
            found.append(f"{path}: the gate of {stage} is {now}, was {tier}")
    return found


def _unopened(folder: Path, pointer: dict) -> list[str]:
    """A sentence where no line says that the sealed rows were opened for this model, and that it passed."""
    ledger = folder / "openings.jsonl"
    number = pointer["sealed"]["opening"]
    if any(line.opening == number and line.model == pointer["model"]["md5"] and line.outcome == PASSED
           for line in openings.read(ledger)):
        return []
    return [f"{ledger}: no opening {number} for this model that passed"]


def _unmade(workflow: str, model: dict, root: Path) -> list[str]:
    """Signs that something else than the pipeline made the released model; none to be had once the work tree has gone
    on to another candidate."""
    ran = of_workflow(steps(root), workflow)
    if any(step.outputs.get(model["from"]) == model["md5"] for step in ran):
        return faults(find(root, workflow), root)
    return []
