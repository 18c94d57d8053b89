"""One gate from its files to its verdict, the other gates of the workflow judged along the way."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from realign import paths
from realign.errors import UserError
from realign.files import read_json
from realign.gates import cache
from realign.gates.members import BASELINE, with_members
from realign.gates.needs import named, unmeasured, without
from realign.gates.suite import SHARED, read_suite, with_evidence
from realign.lake.atomic import atomic_file, write_json
from realign.lake.hashes import file_md5, tree_md5

ACCEPTED = "accepted\n"


def run_gate(workflow: str, stage: str, root: Path) -> dict:
    """Judges one stage and writes `metrics/<workflow>/gates/<stage>.json`; returns the verdict.

    Beside it stands `<stage>.accepted`, its text always the same, unless the tier is REJECT: later stages
    depend on that file alone, so a changed threshold re-runs gates and trains nothing.
    Raises UserError where suite, metrics or tables are missing or do not fit; nothing is accepted then.
    """
    check_names(workflow, stage)
    accepted = root / paths.accepted(workflow, stage)
    outcome = accepted.with_suffix(".json")
    for old in (accepted, outcome):  # whatever stops this run, an older verdict does not outlive it
        old.unlink(missing_ok=True)
    suite, inputs = _inputs(workflow, stage, root)
    for file in inputs:
        if not file.is_file():
            raise UserError("the gate has nothing to judge: no such file", where=str(file.relative_to(root)),
                            fix=f"run the stage that writes it: dvc repro brings {workflow} up to date")
    check_rows(suite, read_json(root / paths.metrics(workflow, stage)).get("of", {}), root)
    verdict, fresh = _cached(workflow, stage, suite, inputs, root)
    write_json(outcome, verdict)
    if verdict["tier"] != "REJECT":
        with atomic_file(accepted) as temporary:
            temporary.write_text(ACCEPTED, encoding="utf-8")
    if fresh:
        _judge_ahead(workflow, root)
    return verdict


def check_rows(suite: dict, made: Mapping[str, str], root: Path) -> None:
    """Refuses row tables in folders that do not have the hash that the metrics were made of, `made` by folder."""
    for folder in {Path(file).parent for file in suite.get("meta", {}).get("tables", {}).values()}:
        if tree_md5(root / folder)[0] != made.get(folder.as_posix()):
            raise UserError("holds other rows than those that the metrics are of", where=str(folder),
                            expected="the stage's own, untouched", fix="`dvc repro` makes rows and metrics anew")


def check_names(*names: str) -> None:
    """Refuses what is no name of a workflow or stage, before a path is made of it."""
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise UserError(f"{name!r} is no name of a workflow or stage", expected="small letters, digits, _")


def _cache(root: Path) -> Path:
    return root / ".realign" / "gates"


def suite_file(workflow: str, stage: str, root: Path) -> Path:
    """Where the suite of a stage stands."""
    return root / paths.suite(workflow, stage)


def _inputs(workflow: str, stage: str, root: Path) -> tuple[dict, list[Path]]:
    """The suite with its evidence, and the files that its verdict follows from."""
    path = suite_file(workflow, stage, root)
    suite = with_evidence(with_members(read_suite(path), root), str(path))
    shared = [file for file in [path.parents[1] / SHARED] if file.is_file()]
    baseline = [root / BASELINE] if suite.get("meta", {}).get("members") else []
    tables = [root / file for _, file in sorted(suite.get("meta", {}).get("tables", {}).items())]
    return suite, [path, *shared, root / paths.metrics(workflow, stage), *baseline, *tables]


def _cached(workflow: str, stage: str, suite: dict, inputs: list[Path], root: Path) -> tuple[dict, bool]:
    """The verdict, with the hashes of the files that it is `of`, and whether it had to be made: it is kept by all that
    it follows from."""
    missing = unmeasured(suite, workflow, stage, root)
    key = cache.cache_key(workflow, stage, inputs, missing)
    verdict = cache.load(_cache(root), key)
    if verdict is not None:
        return verdict, False
    verdict = named(_judge(workflow, stage, without(suite, missing), root), missing)
    verdict |= {"of": {file.relative_to(root).as_posix(): file_md5(file) for file in inputs}}
    cache.store(_cache(root), key, verdict)
    return verdict, True


def _judge(workflow: str, stage: str, suite: dict, root: Path) -> dict:
    from realign.gates.frames import build_frames, read_metrics
    from realign.gates.verdict import judge

    file = root / paths.metrics(workflow, stage)
    where = f"expectations/{workflow}/{stage}.json against {file.relative_to(root)}"
    return judge(workflow, stage, suite, build_frames(suite, read_metrics(file), root, where))


def _judge_ahead(workflow: str, root: Path) -> None:
    """Caches the verdicts of the other stages that have been measured.

    Great Expectations takes seconds to import and milliseconds to judge; every gate is a process of its own.
    """
    for path in sorted((root / "expectations" / workflow).glob("*.json")):
        stage = path.stem
        try:
            suite, inputs = _inputs(workflow, stage, root)
            if all(file.is_file() for file in inputs):
                _cached(workflow, stage, suite, inputs, root)
        except UserError as error:
            # Not this gate's error: the stage's own gate reports it whole and stops there.
            print(f"{workflow}/{stage} cannot be judged yet: {str(error).splitlines()[0]}", file=sys.stderr)
