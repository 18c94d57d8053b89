"""What a model kept of the base model's capabilities: measured behind every stage that trains one."""

from collections.abc import Sequence

from realign import paths
from realign.evaluate.retention import retention, slice_retention
from realign.lake.schemas import RECORDS
from realign.lake.table import small_rows
from realign.metrics import Metric
from realign.stage import Stage

BASELINE = Stage(paths.COMMON, "baseline")


def of_base(answered: Sequence[dict]) -> dict[str, dict[str, Metric]]:
    """Retention by capability and by slice, of records that answer the evaluation rows, against the base model's."""
    base = small_rows(BASELINE.dataset("records"), RECORDS)
    return {"retention": retention(base, answered), "slice_retention": slice_retention(base, answered)}
