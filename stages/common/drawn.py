"""More answers, of rows in reserve, where the evaluation rows leave the verdict open: of the final model and of the one
that it started from. The base model has answered them all."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from realign import paths
from realign.evaluate import capabilities
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, read_table, write
from realign.models import build
from realign.stage import Stage
from realign.versions.draw import BASELINE, CANDIDATE, START, among, drawn, reserve
from stages.common import data, kept

if TYPE_CHECKING:
    import pyarrow as pa


def answer(here: Stage, start: Stage, policy, tokenizer) -> None:
    """Draw until every capability is decided or its rows run out, and write what was answered as the stage's `reserve`
    and `reserve_of_start`. The stage's records, the start's and the base model's must stand."""
    first = {CANDIDATE: here, BASELINE: kept.BASELINE} | ({START: start} if start.dataset("records").is_file() else {})
    records = {name: read_table(stage.dataset("records"), RECORDS) for name, stage in first.items()}
    base = read_table(kept.BASELINE.dataset(paths.MORE), RECORDS, allow_empty=True)
    ask, answered = _asking(start, policy, tokenizer, base)
    drawn(records, reserve(base), ask)
    for name, dataset in ((CANDIDATE, paths.MORE), (START, paths.MORE_OF_START)):
        write(frame(answered[name], RECORDS), here.dataset(dataset), RECORDS)


def _asking(start: Stage, policy, tokenizer,
            base: "pa.Table") -> tuple[Callable[[str, list[str]], "pa.Table"], dict[str, list[dict]]]:
    """What answers the rows with these ids by each model, and the records of what was answered so far."""
    rows, known = {row["row_id"]: row for row in data.reserve_rows()}, among({BASELINE: base})
    answered: dict[str, list[dict]] = {CANDIDATE: [], START: []}

    def ask(name: str, ids: list[str]) -> "pa.Table":
        if name == BASELINE:
            return known(name, ids)
        model = policy if name == CANDIDATE else build.load(str(start.checkpoint))[0]
        new = capabilities.measure(model, tokenizer, [rows[i] for i in ids])
        answered[name] += new
        return frame(new, RECORDS).to_arrow().cast(base.schema)
    return ask, answered
