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

from realign.errors import UserError
from realign.lake.atomic import atomic_directory, atomic_file, write_json
from realign.versions.compare import Change, Comparison, compare
from realign.versions.load import Version, collect, read_pointer, read_records
from realign.versions.render import as_json, worst

EXAMPLES = 20  # examples of a regression that the decision names


@dataclass(frozen=True)
class Candidate:
    """What a workflow offers for release: the model, its evaluation records and those of the baseline, the
    evaluation's metrics, and the verdict file of every gate by stage. Paths are relative to the project."""

    workflow: str
    model: Path
    records: Path
    baseline: Path
    metrics: Path
    gates: Mapping[str, Path]


def release(candidate: Candidate, folder: Path, decision: Path) -> dict:
    """Release the candidate into `folder`, or leave `folder` as it is; says which, and why, in `decision`.

    Blocked where a gate is REJECT, an example of the baseline was not evaluated, or a capability is more than
    5% down against the baseline or the model released before. Returns the decision. Raises UserError on
    missing or broken input, with nothing changed.
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


def confirm(decision: Path) -> None:
    """Raises UserError where `decision` says blocked: the last word of a pipeline, after its report."""
    try:
        said = json.loads(decision.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise UserError(f"no decision to read ({error})", where=str(decision), fix="dvc repro") from error
    if said["decision"] == "blocked":
        stays = f"version {said['released']} stays released" if said["released"] else "no model is released"
        raise UserError("release blocked; " + stays + "".join(f"\n  - {r}" for r in said["reasons"]),
                        where=said["workflow"], fix=said["remedy"])


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
    try:
        return json.loads(_existing(path).read_text(encoding="utf-8"))["tier"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"not a verdict ({error!r})", where=str(path), fix="run its gate again") from error


def _decide(candidate: Candidate, offered: dict, pointer: dict | None) -> dict:
    if not candidate.gates:
        raise UserError("no gate is named", where=candidate.workflow, expected="the verdict of every gate")
    new = Version("candidate", "", read_records(candidate.records), offered["metrics"])
    compared = {"baseline": compare(Version("baseline", "", read_records(candidate.baseline), {}), new)}
    if offered["previous"]:
        compared["released"] = compare(_previous(offered["previous"]), new)
    rejected = [s for s, tier in offered["gates"].items() if tier not in ("HIGH", "MEDIUM")]
    reasons = [f"the gate of {stage} is {offered['gates'][stage]}" for stage in rejected]
    reasons += [f"{c.only_a} examples of {c.capability} were evaluated for the baseline, not for this model"
                for c in compared["baseline"].capabilities if c.only_a]
    reasons += [_sentence(c, against, compared[against]) for against in compared
                for c in compared[against].regressions]
    blocked = bool(reasons)
    return {
        "workflow": candidate.workflow, "decision": "blocked" if blocked else "released",
        "version": offered["version"],
        "released": offered["version"] if not blocked else pointer["version"] if pointer else None,
        "gates": offered["gates"], "reasons": reasons,
        "remedy": _remedy(compared, rejected) if blocked else "",
        "comparisons": {against: _brief(c, offered["previous"]) for against, c in compared.items()},
    }


def _previous(previous: dict) -> Version:
    path = Path(previous["records"]["path"])
    if not path.is_file():
        raise UserError("the records of the model released before are missing", where=str(path),
                        fix=f"`git checkout -- {path}`; or, to start afresh, remove {path.parents[1]}")
    return Version("released", "", read_records(path), {})


def _sentence(change: Change, against: str, comparison: Comparison) -> str:
    what = {"baseline": "the baseline", "released": "the model released before"}[against]
    if not change.drop.value > 0:
        return f"{change.capability} was not evaluated, unlike for {what}"
    ids = [e.example_id for e in comparison.changed if e.capability == change.capability]
    rows = f"; worst: {', '.join(ids[:3])}" if ids else ""
    drop, sure = change.drop, "real" if change.real else "may be noise"
    return (f"{change.capability} is {drop.value:.1%} below {what} ({change.b:.4g} after {change.a:.4g}; "
            f"95% interval {drop.low:.1%} to {drop.high:.1%}, {sure}; "
            f"{change.worse} examples worse, {change.better} better, of {drop.n}{rows})")


def _remedy(compared: Mapping[str, Comparison], rejected: list[str]) -> str:
    """DESIGN §5, where a regression: roll back, lower learning rate, rebalance data."""
    parts = [f"see the remedy of the {stage} gate" for stage in rejected]
    down = sorted({c.capability for comparison in compared.values() for c in comparison.regressions})
    if down:
        parts.append(f"lower the learning rate, and give {', '.join(down)} a larger share of the data")
    if any(c.only_a for c in compared["baseline"].capabilities):
        parts.append("evaluate baseline and model on the same examples")
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
