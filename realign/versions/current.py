"""Whether what stands in the dvc.lock files still belongs together: nothing ran on what has been made anew since.

A run that stopped at a gate, a stage that was run alone and a branch without its `dvc checkout` leave records, verdicts
and models that are of another run than the rest.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from realign.errors import UserError
from realign.lake.hashes import md5_of
from realign.versions.lock import Step, overlap, upstream


def passed_by(ran: Iterable[Step], root: Path | None = None) -> list[str]:
    """A sentence for each of these stages that ran on something which another of them has made anew since.

    The same path is told by its two hashes. Where one path lies in the other, these say nothing of each other: then
    both must be what stands under `root`, if one is given.
    """
    ran = list(ran)
    here = cache(lambda path: md5_of(root / path) if (root / path).exists() else "")
    made = [(out, maker.name, md5) for maker in ran for out, md5 in maker.outputs.items() if md5]
    return [f"{step.name} ran on another {path} than {maker} has made since (was {maker} run alone?)"
            for step in ran for path, md5 in step.inputs.items() if md5
            for out, maker, now in made if maker != step.name and overlap(path, out)
            and (md5 != now if path == out else root is not None and not (
                here(path) in (md5, "") and here(out) in (now, "")))]


def maker_of(ran: Iterable[Step], path: str) -> Step | None:
    """The stage that makes this path, or the directory that it lies in."""
    return next((step for step in ran for out in step.outputs if path == out or path.startswith(f"{out}/")), None)


def out_of_date(ran: list[Step], step: Step) -> list[str]:
    """A sentence for each sign that a stage, or one that it needs, ran on something made anew since."""
    return passed_by(upstream(ran, step))


def check_current(ran: list[Step], path: str, name: str, root: Path | None = None) -> set[str]:
    """Everything that the stage which made `path`, and those that it needs, have made.

    Raises UserError where what stands there in the version `name` is not of the run that made the rest: no stage made
    it, something that it needs was made anew since, or (in the work tree, at `root`) it is not what dvc.lock has.
    """
    step = maker_of(ran, path)
    if step is None:
        raise UserError("no dvc.lock records it", where=f"{path} of {name}",
                        expected="what a stage of the pipeline made", fix="`dvc repro` makes it, under record")
    if found := out_of_date(ran, step):
        raise UserError(f"{step.name} of {name} is out of date" + "".join(f"\n  - {told}" for told in found),
                        where=path, expected="figures of the model that stands there",
                        fix="`dvc repro` measures it anew; where it stops at a gate, there is nothing to compare yet")
    for out, md5 in _around(step, path) if root is not None else ():
        if md5_of(root / out) != md5:
            raise UserError(f"is not what dvc.lock has of {step.name}", where=f"{out} of {name}", expected=md5,
                            fix="`dvc checkout` brings that back; `dvc repro` makes it anew")
    return {out for needed in upstream(ran, step) for out in needed.outputs}


def _around(step: Step, path: str) -> Iterator[tuple[str, str]]:
    return ((out, md5) for out, md5 in step.outputs.items() if md5 and overlap(out, path))
