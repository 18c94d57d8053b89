"""What a model can do, and what it kept of the base model's: measured behind every stage that trains one."""

from collections.abc import Sequence

from realign import paths
from realign.evaluate import capabilities
from realign.evaluate.retention import retention, slice_retention
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, small_rows, write
from realign.metrics import Metric
from realign.stage import Stage
from stages.common import data

BASELINE = Stage(paths.COMMON, "baseline")


def measured(here: Stage, model, tokenizer) -> dict[str, dict[str, Metric]]:
    """Accuracy by capability, retention by capability and slice, and the share that the verifier could not judge. The
    model's answers to the evaluation rows are written as the stage's records."""
    answered = capabilities.measure(model, tokenizer, data.evaluation_rows())
    write(frame(answered, RECORDS), here.dataset("records"), RECORDS)
    return {"capability": capabilities.accuracy(answered), **of_base(answered)}


def of_base(answered: Sequence[dict]) -> dict[str, dict[str, Metric]]:
    """Retention by capability and by slice, of records that answer the evaluation rows, against the base model's; and
    by capability the share of the rows on which the verifier could not judge one of the two."""
    base = small_rows(BASELINE.dataset("records"), RECORDS)
    return {"retention": retention(base, answered), "slice_retention": slice_retention(base, answered),
            "undecided": capabilities.undecided(base, answered)}
