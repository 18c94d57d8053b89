"""On demand, by `realign release`: the models answer the sealed rows, and the candidate is released where these find
nothing lost either. No stage of a pipeline."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from realign import paths
from realign.errors import UserError
from realign.evaluate import capabilities
from realign.lake.schemas import RECORDS
from realign.lake.table import frame
from realign.models import build
from realign.release.release import release
from realign.stage import Stage
from realign.versions.draw import BASELINE, CANDIDATE, START
from realign.workflow import Workflow, find
from stages.common import data
from stages.common.verdict import candidate

if TYPE_CHECKING:
    import polars as pl


def run(here: Stage) -> str:
    workflow = find(Path(), here.workflow)
    sealed = sorted(paths.SEALED.glob("*.parquet"))
    pointer = release(candidate(workflow), paths.released(here.workflow), paths.verdict(here.workflow), sealed,
                      partial(_answered, workflow))
    found = pointer["sealed"]
    return "\n  - ".join([f"version {pointer['version']} is released: {pointer['model']['path']}",
                          *(f"on sealed rows (opening {found['opening']}): {said}" for said in found["summary"]),
                          *found["warnings"],
                          f"to keep it, with what made it: {keep(here.workflow)}"])


def keep(workflow: str) -> str:
    """The command that commits a release: without the locks, metrics and verdicts that made it, nothing could say later
    where it came from."""
    kept = (paths.released(workflow), "dvc.lock", f"stages/{workflow}/dvc.lock", "metrics", "verdicts", paths.PARAMS)
    return f"git add -A {' '.join(map(str, kept))} && git commit"


def _answered(workflow: Workflow, name: str) -> "pl.DataFrame":
    """The records of one model's answers to the sealed rows."""
    models = {CANDIDATE: workflow.offered, START: workflow.start}
    model = data.base_model() if name == BASELINE else str(paths.checkpoint(workflow.name, models[name]))
    policy, tokenizer, _ = build.load(model)
    return frame(capabilities.measure(policy, tokenizer, _sealed()), RECORDS)


def _sealed() -> list[dict]:
    """The sealed rows; UserError where another suite asks the same as one of them."""
    rows = data.suite(paths.SEALED)
    known = {_asked(row): folder for folder in paths.SUITES if folder != paths.SEALED for row in data.suite(folder)}
    for row in rows:
        if _asked(row) in known:
            raise UserError(f"row {row['row_id']} stands in {known[_asked(row)]} too", where=str(paths.SEALED),
                            expected="rows that releases alone ask", fix="take it out of one of them")
    return rows


def _asked(row: dict) -> tuple[str, ...]:
    return tuple(message["content"] for message in row["messages"])
