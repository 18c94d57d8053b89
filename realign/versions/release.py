"""Whether a workflow's model becomes the released one, and the pointer that says which one is.

Under `released/<workflow>/`: `pointer.json`, `records/<content>.parquet` and `model/<version>/`. Whatever the
pointer names is written before it, under a name made from its content, and what it no longer names goes after
it; so a kill at any instant leaves a pointer to a whole model. The comparison is with the model released
before this one (kept as `previous`), so a second run decides the same again and writes the same bytes.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from realign.errors import UserError
from realign.files import read_json
from realign.lake.atomic import atomic_directory, atomic_file, write_json
from realign.versions.compare import Change, Comparison, compare
from realign.versions.load import Version, collect, read_pointer, read_records
from realign.versions.render import as_json, worst
from realign.words import AGAINST

if TYPE_CHECKING:
    import pyarrow as pa

BLOCKING = ("start", "released")  # of what a candidate is compared with (AGAINST): a regression against it blocks
EXAMPLES = 20  # examples of a regression that the decision names


@dataclass(frozen=True)
class Candidate:
    """What a workflow offers for release: the model, its evaluation records, those of the baseline and of the model
    that its stages started from (None where it was not evaluated), the evaluation's metrics, and the verdict file of
    every gate by stage. Paths are relative to the project."""

    workflow: str
    model: Path
    records: Path
    baseline: Path
    start: Path | None
    metrics: Path
    gates: Mapping[str, Path]


def release(candidate: Candidate, folder: Path, decision: Path) -> dict:
    """Release the candidate into `folder`, or leave `folder` as it is; says which, and why, in `decision`.

    Blocked where a gate is REJECT, an example of the baseline or of the start was not evaluated, or a capability is
    more than 5% down against one of BLOCKING; down against another, it is a warning. Returns the decision. Raises
    UserError on missing or broken input, with nothing changed.
    """
    pointer = read_pointer(folder)
    offered = _pointer(candidate, folder, pointer)
    said = _decide(candidate, offered, pointer)
    for part in ("model", "records"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    if said["decision"] == "released":
        _keep(candidate, offered)
        write_json(decision, said)
        pointer = offered
    else:
        write_json(decision, said)
    write_json(folder / "pointer.json", pointer or {})
    _drop_unnamed(folder, pointer)
    return said


def confirm(decision: Path) -> dict:
    """The decision, where it is a release; raises UserError where it is blocked: a pipeline's last word, after its
    report."""
    said = read_json(decision, fix="`dvc repro` decides again")
    if said["decision"] == "blocked":
        stays = f"version {said['released']} stays released" if said["released"] else "no model is released"
        raise UserError("release blocked; " + stays + "".join(f"\n  - {r}" for r in said["reasons"]),
                        where=said["workflow"], fix=said["remedy"])
    return said


def tree_md5(folder: Path) -> tuple[str, dict[str, str]]:
    """The hash by which DVC knows this directory ("….dir" in dvc.lock), and the MD5 of each file in it.

    DVC hashes the JSON list of its files' MD5 and relative paths, sorted by path (dvc_data/hashfile/tree.py).
    """
    if not folder.is_dir():
        raise UserError("no such directory", where=str(folder), expected="a model", fix="dvc repro")
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    if not files:
        raise UserError("holds no files", where=str(folder), expected="a model", fix="dvc repro")
    hashes = {name: _md5(files[name]) for name in sorted(files)}
    listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in hashes.items()], sort_keys=True)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir", hashes


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _pointer(candidate: Candidate, folder: Path, current: dict | None) -> dict:
    """The pointer as it would be if the candidate were released now."""
    tree, files = tree_md5(candidate.model)
    version = tree[:12]
    metrics = collect({candidate.metrics.stem: _existing(candidate.metrics).read_bytes},
                      candidate.metrics.parent.as_posix())
    records = _md5(_existing(candidate.records))
    before = current
    if current is not None and current["version"] == version:
        before = current["previous"]
    return {
        "workflow": candidate.workflow, "version": version,
        "model": {"path": (folder / "model" / version).as_posix(), "from": candidate.model.as_posix(),
                  "md5": tree, "files": files},
        "records": {"path": (folder / "records" / f"{records[:12]}.parquet").as_posix(), "md5": records},
        "gates": {stage: _tier(path) for stage, path in sorted(candidate.gates.items())},
        "metrics": metrics,
        "previous": before and {"version": before["version"], "records": before["records"]},
    }


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError("no such file", where=str(path), fix="dvc repro")
    return path


def _tier(path: Path) -> str:
    verdict = read_json(path, fix="run its gate again")
    if "tier" not in verdict:
        raise UserError("not a verdict: it has no `tier`", where=str(path), fix="run its gate again")
    return verdict["tier"]


def _decide(candidate: Candidate, offered: dict, pointer: dict | None) -> dict:
    if not candidate.gates:
        raise UserError("no gate is named", where=candidate.workflow, expected="the verdict of every gate")
    compared = _compared(candidate, offered)
    rejected = [s for s, tier in offered["gates"].items() if tier not in ("HIGH", "MEDIUM")]
    fell = {against: [_sentence(c, against, found) for c in found.regressions] for against, found in compared.items()}
    reasons = [said for against in compared if against in BLOCKING for said in fell[against]]
    reasons += [f"the gate of {stage} is {offered['gates'][stage]}" for stage in rejected]
    reasons += [f"{c.only_a} examples of {c.capability} were evaluated for {AGAINST[against]}, not for this model"
                for against, found in compared.items() if against != "released"
                for c in found.capabilities if c.only_a]
    blocked = bool(reasons)
    return {
        "workflow": candidate.workflow, "decision": "blocked" if blocked else "released",
        "version": offered["version"],
        "released": offered["version"] if not blocked else pointer["version"] if pointer else None,
        "gates": offered["gates"], "blocking": list(BLOCKING), "reasons": reasons,
        "warnings": [said for against in compared if against not in BLOCKING for said in fell[against]],
        "remedy": _remedy(compared, rejected) if blocked else "",
        "comparisons": {against: _brief(c, offered["previous"]) for against, c in compared.items()},
    }


def _compared(candidate: Candidate, offered: dict) -> dict[str, Comparison]:
    """The candidate against everything that came before it, in the order of AGAINST."""
    before = {"baseline": read_records(candidate.baseline)}
    if candidate.start:
        before["start"] = read_records(candidate.start)
    if offered["previous"]:
        before["released"] = _previous(offered["previous"])
    new = Version("candidate", "", read_records(candidate.records), offered["metrics"])
    return {name: compare(Version(name, "", records, {}), new) for name, records in before.items()}


def _previous(previous: dict) -> "pa.Table":
    path = Path(previous["records"]["path"])
    if not path.is_file():
        raise UserError("the records of the model released before are missing", where=str(path),
                        fix=f"`git checkout -- {path}`; or, to start afresh, remove {path.parents[1]}")
    return read_records(path)


def _sentence(change: Change, against: str, comparison: Comparison) -> str:
    what = AGAINST[against]
    if not change.drop.value > 0:
        return f"{change.capability} was not evaluated, unlike for {what}"
    ids = [e.example_id for e in comparison.changed if e.capability == change.capability]
    rows = f"; worst: {', '.join(ids[:3])}" if ids else ""
    drop, sure = change.drop, "real" if change.real else "may be noise"
    return (f"{change.capability} lost {drop.value:.1%} against {what} ({change.b:.4g} after {change.a:.4g}; "
            f"95% interval {drop.low:.1%} to {drop.high:.1%}, {sure}; "
            f"{change.worse} examples worse, {change.better} better, of {drop.n}{rows})")


def _remedy(compared: Mapping[str, Comparison], rejected: list[str]) -> str:
    """What to do about a blocked release (DESIGN §5; a regression: roll back, lower learning rate, rebalance data)."""
    parts = [f"see the remedy of the {stage} gate" for stage in rejected]
    down = sorted({c.capability for against in BLOCKING if against in compared for c in compared[against].regressions})
    if down:
        parts.append(f"lower the learning rate, and give {', '.join(down)} a larger share of the data")
    if any(c.only_a for against, found in compared.items() if against != "released" for c in found.capabilities):
        parts.append("evaluate this model on the same examples as the base model and the start")
    return "; ".join(parts)


def _brief(comparison: Comparison, previous: dict | None) -> dict:
    """A comparison without its metrics and slices, with the worst examples of what regressed."""
    plain = as_json(comparison)
    down = {c.capability for c in comparison.regressions}
    kept = {(e.capability, e.example_id) for e in worst(comparison, EXAMPLES) if e.capability in down}
    changed = [e for e in plain["changed"] if (e["capability"], e["example_id"]) in kept]
    brief = {"capabilities": plain["capabilities"], "regressions": plain["regressions"], "examples": changed}
    return brief | ({"version": previous["version"]} if comparison.a == "released" else {})


def _keep(candidate: Candidate, pointer: dict) -> None:
    """Copy model and records to where `pointer` says; what is whole there already stays."""
    model, records = Path(pointer["model"]["path"]), Path(pointer["records"]["path"])
    if not model.is_dir() or tree_md5(model)[0] != pointer["model"]["md5"]:
        with atomic_directory(model) as part:
            shutil.copytree(candidate.model, part, dirs_exist_ok=True, copy_function=shutil.copyfile)
    if not records.is_file() or _md5(records) != pointer["records"]["md5"]:
        with atomic_file(records) as part:
            shutil.copyfile(candidate.records, part)


def _drop_unnamed(folder: Path, pointer: dict | None) -> None:
    named = set()
    if pointer:
        named = {Path(pointer["model"]["path"]).name, Path(pointer["records"]["path"]).name}
        named |= {Path(pointer["previous"]["records"]["path"]).name} if pointer["previous"] else set()
    for path in sorted([*(folder / "model").iterdir(), *(folder / "records").iterdir()]):
        if path.name not in named:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
