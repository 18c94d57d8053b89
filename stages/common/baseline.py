"""What the base model can do before any workflow touches it, capability by capability."""

from realign.evaluate import capabilities
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
    accuracy = capabilities.accuracy(answered)
    of = slices(answered)
    here.report({"capability": accuracy,
                 "slice": proportions(list(of.values()), [r["score"] for r in answered if r["example_id"] in of])})
    return ", ".join(f"{name} {metric.value:.2f}" for name, metric in accuracy.items())
