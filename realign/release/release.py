"""The one thing that moves what is released: `realign release`, after a passed verdict and on rows that nothing else
reads.

Under `released/<workflow>/`, all of it but the model in git: `pointer.json`, `openings.jsonl`,
`records/<content>.parquet`, and `model/<version>/` with its DVC file. Whatever the pointer names is written before it,
under a name made from its content, and what it no longer names goes after it; so a kill at any instant leaves a pointer
to a whole model, and the same command ends it.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING

from realign.errors import UserError
from realign.files import read_json, read_yaml
from realign.lake.atomic import atomic_directory, atomic_file, write_json
from realign.lake.hashes import bind, file_md5, tree_md5
from realign.release import openings
from realign.release.bound import check_lock
from realign.release.decide import (
    BLOCKED,
    PASSED,
    Candidate,
    check_made,
    decide,
    earlier,
    kept_records,
    reason,
    unknown,
)
from realign.release.made import faults
from realign.versions.compare import Comparison, compare_all
from realign.versions.draw import BASELINE, CANDIDATE, START
from realign.versions.load import Version, read_pointer, read_records
from realign.versions.lock import steps
from realign.versions.render import summary
from realign.words import AGAINST, listed
from realign.workflow import find

if TYPE_CHECKING:
    import polars as pl

Ask = Callable[[str], "pl.DataFrame"]  # CANDIDATE, BASELINE or START to its records of the sealed rows


def release(candidate: Candidate, folder: Path, verdict: Path, sealed: Iterable[Path], ask: Ask) -> dict:
    """Open the sealed rows for the candidate and release it into `folder`, if they find nothing lost either; the
    pointer as it is then.

    A candidate that is released as it lies here stays so, and nothing is opened. Raises UserError, with nothing moved,
    where its verdict is missing, blocked, edited or about something else, inside a pipeline or an experiment, and where
    a sealed row says that something was lost: an opening that is noted all the same.
    """
    if os.environ.get("DVC_STAGE"):
        raise UserError("a release inside a pipeline or an experiment", where=candidate.workflow,
                        expected="experiments that end in a verdict and move nothing",
                        fix=f"`dvc exp apply` the one you want, then `realign release {candidate.workflow}`")
    if found := faults(find(Path(), candidate.workflow), Path()):
        raise UserError("was not made by its pipeline" + "".join(f"\n  - {fault}" for fault in found),
                        where=candidate.workflow, fix="`dvc repro`, with nothing frozen, makes and judges it anew")
    said, rows = _passed(candidate, folder, verdict), bind(sealed)
    if not rows:
        raise UserError("no sealed rows", where="data/sealed", fix="put rows there that no stage evaluates on",
                        expected="Parquet files of evaluation rows that a release alone asks")
    # by their folders too, as the stages have them that must not train on a sealed row
    check_made(rows | bind({Path(path).parent for path in rows}), candidate.workflow)
    pointer = read_pointer(folder)
    offered = _pointer(candidate, folder, verdict, rows, said, pointer)
    if pointer and _stands(pointer, offered):
        offered = pointer
    else:
        offered |= _judged(candidate, folder, offered, rows, ask)
        offered["model"]["files"] = _keep(candidate, offered)
        write_json(folder / "pointer.json", offered)
    _drop_unnamed(folder, offered)  # of a release that was killed before it, too
    return offered


def _passed(candidate: Candidate, folder: Path, verdict: Path) -> dict:
    """The verdict made anew, which agrees with the one that the pipeline made."""
    told = read_json(verdict, fix=f"`dvc repro` up to the verdict on {candidate.workflow}")
    said = decide(candidate, folder)
    check_lock({verdict.as_posix(): file_md5(verdict)}, steps(Path()))
    if told.get("bound") != said["bound"]:
        raise UserError("is not about the candidate at hand", where=str(verdict), fix="`dvc repro` decides again")
    if said["decision"] == BLOCKED:
        raise UserError("release blocked" + "".join(f"\n  - {r}" for r in said["reasons"]), where=candidate.workflow,
                        fix=said["remedy"])
    return said


def _pointer(candidate: Candidate, folder: Path, verdict: Path, rows: Mapping[str, str], said: Mapping,
             current: Mapping | None) -> dict:
    """The pointer as it would be if the candidate were released now, but for the sealed records and the hashes of the
    model's single files."""
    bound, (model, answers) = said["bound"], (path.as_posix() for path in (candidate.model, candidate.records))
    return {
        "workflow": candidate.workflow, "version": said["version"], "retention": said["retention"],
        "model": {"path": (folder / "model" / said["version"]).as_posix(), "from": model, "md5": bound[model]},
        "records": {"path": (folder / "records" / f"{bound[answers][:12]}.parquet").as_posix(),
                    "from": answers, "md5": bound[answers]},
        "bound": {path.as_posix(): bound[path.as_posix()] for path in candidate.beside} | bind([verdict]) | dict(rows),
        "gates": said["gates"], "metrics": candidate.figures(), "before": earlier(current, said["version"]),
    }


def _stands(pointer: Mapping, offered: Mapping) -> bool:
    """Whether the candidate is released already, whole and judged by the same files."""
    model, sealed = Path(pointer["model"]["path"]), Path(pointer["sealed"]["path"])
    same = offered | {"model": offered["model"] | {"files": pointer["model"]["files"]}}  # they follow from its hash
    return (same.items() <= pointer.items() and model.is_dir() and tree_md5(model)[0] == pointer["model"]["md5"]
            and recorded(model) in (pointer["model"]["md5"], "") and sealed.is_file())


def _judged(candidate: Candidate, folder: Path, offered: Mapping, rows: Mapping[str, str], ask: Ask) -> dict:
    """The candidate's sealed records, kept, and what they say; UserError where they say that something was lost. The
    opening is noted before a model is asked, and its outcome after."""
    ledger = folder / "openings.jsonl"
    hashed = md5("".join(f"{name} {rows[name]}\n" for name in sorted(rows)).encode(), usedforsecurity=False).hexdigest()
    opening = openings.opening(openings.read(ledger), offered["model"]["md5"], hashed)
    openings.note(ledger, replace(opening, outcome=openings.OPENED))
    records, compared = _compared(candidate, offered["before"], opening.alpha, ask)
    lost = [reason(c, against, found) for against, found in compared.items() for c in found.blocking]
    openings.note(ledger, replace(opening, outcome=BLOCKED if lost else PASSED))
    if lost:
        raise UserError("release blocked by the sealed rows" + "".join(f"\n  - {told}" for told in lost),
                        where=f"{ledger}, opening {opening.opening}",
                        expected="nothing lost on rows that no stage has seen",
                        fix="train again with more data of what was lost; the next model is a new opening, and must be "
                            "the surer to have kept what it kept")
    path = _store(records, folder / "records")
    return {"sealed": {"path": path.as_posix(), "md5": file_md5(path), "opening": opening.opening,
                       "summary": [summary(found, AGAINST[against]) for against, found in compared.items()],
                       "warnings": _unasked(candidate, compared) + [
                           told for against, found in compared.items() for told in unknown(found, against)]}}


def _unasked(candidate: Candidate, sealed: Mapping[str, Comparison]) -> list[str]:
    """A sentence on the capabilities that the verdict judged and no sealed row asks."""
    judged = set(read_records(candidate.baseline)["capability"].to_pylist())
    missing = sorted(judged - {c.capability for c in sealed[BASELINE].capabilities})
    return [f"no sealed row asks {listed(missing)}: nothing is known of it there"] if missing else []


def _compared(candidate: Candidate, before: Mapping[str, Mapping], alpha: float,
              ask: Ask) -> "tuple[pl.DataFrame, dict[str, Comparison]]":
    """The candidate's sealed records, and it against everything that came before it, in the order of AGAINST."""
    from realign.lake.schemas import RECORDS
    answered = {name: ask(name) for name in (BASELINE, *([START] if candidate.start else []), CANDIDATE)}
    tables = {name: records.to_arrow().cast(RECORDS) for name, records in answered.items()}
    new = Version(CANDIDATE, "", tables.pop(CANDIDATE), {})
    tables |= {against: kept_records(found["sealed"]) for against, found in before.items()}
    found = compare_all([Version(name, "", table, {}) for name, table in tables.items()], new, alpha_kept=alpha)
    return answered[CANDIDATE], dict(zip(tables, found, strict=True))


def _store(records: "pl.DataFrame", home: Path) -> Path:
    """The records as a Parquet file under a name made from its content."""
    from realign.lake.schemas import RECORDS
    from realign.lake.table import write
    made = home / "sealed.parquet"
    write(records, made, RECORDS)
    return made.replace(home / f"{file_md5(made)[:12]}.parquet")


def _keep(candidate: Candidate, pointer: Mapping) -> dict[str, str]:
    """Copy model and records to where `pointer` says, the model into DVC's cache too; what is whole there stays. The
    hash of each file of the model. UserError where the copy is not what was judged."""
    model, records = Path(pointer["model"]["path"]), Path(pointer["records"]["path"])
    if not model.is_dir() or tree_md5(model)[0] != pointer["model"]["md5"]:
        with atomic_directory(model) as part:
            shutil.copytree(candidate.model, part, dirs_exist_ok=True, copy_function=shutil.copyfile)
    if not records.is_file() or file_md5(records) != pointer["records"]["md5"]:
        with atomic_file(records) as part:
            shutil.copyfile(candidate.records, part)
    tree, files = tree_md5(model)
    if (tree, file_md5(records)) != (pointer["model"]["md5"], pointer["records"]["md5"]):
        raise UserError("changed while it was released", where=f"{candidate.model} or {candidate.records}",
                        expected="the files that were judged", fix="the same command again, with nothing else running")
    if Path(".dvc").is_dir() and recorded(model) != pointer["model"]["md5"]:
        _record(model)
    return files


def recorded(model: Path) -> str:
    """The hash by which DVC knows a released model; empty where it does not."""
    path = _dvc_file(model)
    return str(read_yaml(path)["outs"][0].get("md5", "")) if path.is_file() else ""


def _record(model: Path) -> None:
    """`dvc add`: so that `dvc checkout` brings the released model of any commit."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    try:
        with Repo() as repo:
            repo.scm_context.quiet = True  # what to commit is said once, for all of it
            repo.add(model.as_posix())
    except DvcException as error:
        raise UserError(f"DVC could not add it ({error})", where=str(model), fix="the same command again") from error


def _dvc_file(model: Path) -> Path:
    return model.with_name(f"{model.name}.dvc")


def _drop_unnamed(folder: Path, pointer: Mapping) -> None:
    """Remove what the pointer no longer names."""
    releases = [pointer, *pointer["before"].values()]
    model = Path(pointer["model"]["path"])
    named = {model, _dvc_file(model)}
    named |= {Path(found[kind]["path"]) for found in releases for kind in ("records", "sealed")}
    for path in sorted([*(folder / "model").iterdir(), *(folder / "records").iterdir()]):
        if path not in named and path.name != ".gitignore":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
