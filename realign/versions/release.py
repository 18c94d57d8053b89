"""Whether a workflow's model becomes the released one, and the pointer that says which one is.

Under `released/<workflow>/`: `pointer.json`, `records/<content>.parquet` and `model/<version>/`. Whatever the
pointer names is written before it, under a name made from its content, and what it no longer names goes after
it; so a kill at any instant leaves a pointer to a whole model. The comparison is with the model released
before this one (kept as `previous`), so a second run decides the same again and writes the same bytes.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from realign.errors import UserError
from realign.files import read_json
from realign.lake.atomic import atomic_directory, atomic_file, write_json
from realign.tiers import REJECT, read_verdict
from realign.versions.bound import bind, check_lock, check_recorded, file_md5, tree_md5
from realign.versions.compare import LOST, OPEN, Change, Comparison, compare_all
from realign.versions.draw import BASELINE, CANDIDATE, START, among, check_whole, drawn, planned, reserve
from realign.versions.load import Version, collect, read_pointer, read_records
from realign.versions.lock import steps
from realign.versions.render import as_json, summary, visible
from realign.words import AGAINST, listed
from realign.words import change as change_of

if TYPE_CHECKING:
    import pyarrow as pa

BLOCKING = ("baseline", "start", "released")  # of what a candidate is compared with (AGAINST): lost there, it blocks
EXAMPLES = 20  # examples of a capability that blocks, which the decision names


@dataclass(frozen=True)
class Candidate:
    """What a workflow offers for release: the model, its evaluation records, those of the baseline and of the model
    that its stages started from (None where it was not evaluated), by name the records of each on rows in reserve, the
    evaluation's metrics, the evaluation rows (those in reserve too), and by stage the verdict file of every gate and
    the suite it was judged by. Paths are relative to the project."""

    workflow: str
    model: Path
    records: Path
    baseline: Path
    start: Path | None
    reserve: Mapping[str, Path]
    metrics: Path
    evaluation: tuple[Path, ...]
    gates: Mapping[str, Path]
    suites: Mapping[str, Path]


def release(candidate: Candidate, folder: Path, decision: Path) -> dict:
    """Release the candidate into `folder`, or leave `folder` as it is; says which, and why, in `decision`.

    Blocked where a gate is REJECT, an example of the baseline or of the start was not evaluated, or a capability or
    slice is lost, or open and with enough examples above the margin, against one of BLOCKING; what else is not known
    is a warning. Returns the decision. Raises UserError, with nothing changed, on missing or broken input, a tier
    that contradicts its checks, and files that are not those dvc.lock says the stages ran on, or, in a DVC repository,
    that it does not know.
    """
    pointer = read_pointer(folder)
    offered = _pointer(candidate, folder, pointer)
    ran = [s for s in steps(Path()) if _before(s.name, candidate.workflow)]
    check_lock(_at_hand(candidate, offered), ran)
    if Path(".dvc").is_dir():
        check_recorded(_at_hand(candidate, offered), ran)
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


def _pointer(candidate: Candidate, folder: Path, current: dict | None) -> dict:
    """The pointer as it would be if the candidate were released now."""
    tree, files = tree_md5(candidate.model)
    version = tree[:12]
    metrics = collect({candidate.metrics.stem: _existing(candidate.metrics).read_bytes},
                      candidate.metrics.parent.as_posix())
    records = file_md5(candidate.records)
    before = current
    if current is not None and current["version"] == version:
        before = current["previous"]
    beside = [candidate.metrics, candidate.baseline, *([candidate.start] if candidate.start else []),
              *candidate.reserve.values(), *candidate.evaluation,
              *candidate.gates.values(), *candidate.suites.values()]
    return {
        "workflow": candidate.workflow, "version": version,
        "model": {"path": (folder / "model" / version).as_posix(), "from": candidate.model.as_posix(),
                  "md5": tree, "files": files},
        "records": {"path": (folder / "records" / f"{records[:12]}.parquet").as_posix(),
                    "from": candidate.records.as_posix(), "md5": records},
        "bound": bind(beside),
        "gates": {stage: read_verdict(path)["tier"] for stage, path in sorted(candidate.gates.items())},
        "metrics": metrics,
        "previous": before and {"version": before["version"], "records": before["records"]},
    }


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError("no such file", where=str(path), fix="dvc repro")
    return path


def _at_hand(candidate: Candidate, offered: dict) -> dict[str, str]:
    """The hash of everything that the candidate consists of or was judged by; records by their folder too, as the
    stage that wrote them has it."""
    folders = {path.parent for path in (candidate.records, candidate.baseline, candidate.start, *candidate.evaluation)
               if path}
    return offered["bound"] | {offered["model"]["from"]: offered["model"]["md5"],
                               offered["records"]["from"]: offered["records"]["md5"],
                               **{folder.as_posix(): tree_md5(folder)[0] for folder in folders}}


def _before(step: str, workflow: str) -> bool:
    """Whether a step of the lock is of this workflow, or shared by all (`verdict@srf` and the like come after)."""
    return step.startswith(f"{workflow}:") or ":" not in step and "@" not in step


def _decide(candidate: Candidate, offered: dict, pointer: dict | None) -> dict:
    if not candidate.gates:
        raise UserError("no gate is named", where=candidate.workflow, expected="the verdict of every gate")
    compared = _compared(candidate, offered)
    rejected = [stage for stage, tier in offered["gates"].items() if tier == REJECT]
    left_out = [(c, against) for against, found in compared.items() if against != "released"
                for c in found.capabilities if c.only_a]
    reasons = [_sentence(c, against, found) for against, found in compared.items() for c in found.blocking]
    reasons += [f"the gate of {stage} is {REJECT}" for stage in rejected]
    reasons += [f"{c.only_a} examples of {c.capability} were evaluated for {AGAINST[against]}, not for this model"
                for c, against in left_out]
    blocked = bool(reasons)
    return {
        "workflow": candidate.workflow, "decision": "blocked" if blocked else "released",
        "version": offered["version"],
        "released": offered["version"] if not blocked else pointer["version"] if pointer else None,
        "summary": [summary(found, AGAINST[against]) for against, found in compared.items()],
        "gates": offered["gates"], "bound": _at_hand(candidate, offered), "blocking": list(BLOCKING),
        "reasons": reasons,
        "warnings": [said for against, found in compared.items() for said in _unknown(found, against)],
        "remedy": _remedy(compared, rejected, bool(left_out)) if blocked else "",
        "comparisons": {against: _brief(c, offered["previous"]) for against, c in compared.items()},
    }


def _compared(candidate: Candidate, offered: dict) -> dict[str, Comparison]:
    """The candidate against everything that came before it, in the order of AGAINST."""
    files = {CANDIDATE: candidate.records, BASELINE: candidate.baseline} | (
        {START: candidate.start} if candidate.start else {})
    first = {name: read_records(path) for name, path in files.items()}
    more = {name: read_records(candidate.reserve[name], allow_empty=True) for name in files}
    waiting = reserve(more[BASELINE])
    before = drawn(first, waiting, among(more))
    check_whole(before, first, more, candidate.reserve)
    new = Version(CANDIDATE, "", before.pop(CANDIDATE), offered["metrics"])
    if offered["previous"]:
        before["released"] = _previous(offered["previous"])
    found = compare_all([Version(name, "", records, {}) for name, records in before.items()], new,
                        planned(first[BASELINE], waiting))
    return dict(zip(before, found, strict=True))


def _previous(previous: dict) -> "pa.Table":
    path = Path(previous["records"]["path"])
    if not path.is_file():
        raise UserError("the records of the model released before are missing", where=str(path),
                        fix=f"`git checkout -- {path}`; or, to start afresh, remove {path.parents[1]}")
    return read_records(path)


def _sentence(change: Change, against: str, comparison: Comparison) -> str:
    """Why a cell blocks."""
    what = AGAINST[against]
    if not change.drop.value > 0:
        return f"{change.name} was not evaluated, unlike for {what}"
    ids = [e.example_id for e in comparison.changed if e.capability == change.capability]
    word = "was lost" if change.outcome == LOST else "may be lost"
    more = f"; {change.needed:,} examples would decide" if change.needed else ""
    moved = f"{change.b:.4g} after {change.a:.4g} ({change_of(change.drop.value)})"
    return (f"{change.name} {word} against {what}: {moved}, {change.worse} of {change.drop.n} examples worse, "
            f"{change.better} better{more}"
            + (f"; worst: {', '.join(ids[:3])}" if ids else ""))


def _unknown(comparison: Comparison, against: str) -> list[str]:
    """What is not known and does not block, a sentence for each reason."""
    cells = sorted((c for c in comparison.having(OPEN) if not c.blocks), key=lambda c: c.why)
    return [f"not known yet against {AGAINST[against]} ({why}): {listed([c.name for c in group])}"
            for why, group in ((why, list(found)) for why, found in groupby(cells, lambda c: c.why))]


def _remedy(compared: Mapping[str, Comparison], rejected: list[str], left_out: bool) -> str:
    """What to do about a blocked release (DESIGN §5; a regression: roll back, lower learning rate, rebalance data)."""
    parts = [f"see the remedy of the {stage} gate" for stage in rejected]
    down = sorted({c.capability for found in compared.values() for c in found.blocking})
    if down:
        parts.append(f"lower the learning rate, and give {', '.join(down)} a larger share of the data")
    if left_out:
        parts.append("evaluate this model on the same examples as the base model and the start")
    return "; ".join(parts)


def _brief(comparison: Comparison, previous: dict | None) -> dict:
    """A comparison without its metrics, with the worst examples of what blocks."""
    plain = as_json(comparison, EXAMPLES)
    down = {c.capability for c in comparison.blocking}
    changed = [e for e in plain["changed"] if e["capability"] in down]
    brief = {key: plain[key] for key in ("capabilities", "slices", "lost", "blocking", "summary")}
    brief |= {"examples": changed, "visible": visible(comparison)}
    return brief | ({"version": previous["version"]} if comparison.a == "released" else {})


def _keep(candidate: Candidate, pointer: dict) -> None:
    """Copy model and records to where `pointer` says; what is whole there already stays."""
    model, records = Path(pointer["model"]["path"]), Path(pointer["records"]["path"])
    if not model.is_dir() or tree_md5(model)[0] != pointer["model"]["md5"]:
        with atomic_directory(model) as part:
            shutil.copytree(candidate.model, part, dirs_exist_ok=True, copy_function=shutil.copyfile)
    if not records.is_file() or file_md5(records) != pointer["records"]["md5"]:
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
