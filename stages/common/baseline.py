"""What the base model can do before any workflow touches it, capability by capability, and where it falls short."""

from realign import paths
from realign.evaluate import capabilities
from realign.evaluate.coverage import gaps
from realign.evaluate.retention import slices
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, write
from realign.metrics import proportions
from realign.models import build
from realign.stage import Stage
from stages.common import data


def run(here: Stage) -> str:
    model, tokenizer, _ = build.load(data.base_model())
    answered = capabilities.measure(model, tokenizer, data.evaluation_rows())
    write(frame(answered, RECORDS), here.dataset("records"), RECORDS)
    more = capabilities.measure(model, tokenizer, data.reserve_rows())
    write(frame(more, RECORDS), here.dataset(paths.MORE), RECORDS)
    accuracy = capabilities.accuracy(answered)
    of = slices(answered)
    by_slice = proportions(list(of.values()), [row["score"] for row in answered if row["example_id"] in of])
    here.report({"capability": accuracy, "slice": by_slice, "gaps": gaps(answered),
                 "undecided": capabilities.undecided(answered)})
    return ", ".join(f"{name} {metric.value:.2f}" for name, metric in accuracy.items())
