"""What the base model can do before any workflow touches it, capability by capability."""

from realign import paths, stage
from stages.model import base


def run() -> str:
    from realign.evaluate import capabilities
    from realign.lake.schemas import CHATS, RECORDS
    from realign.lake.table import read_rows, write_table
    from realign.models import build

    model, tokenizer, _ = build.load(base())
    chats = read_rows(paths.WORLD / "evaluation.parquet", CHATS)
    answered = capabilities.records(chats, capabilities.greedy(model, tokenizer, chats))
    write_table(answered, paths.dataset("demo", "baseline", "records"), RECORDS)
    accuracy = capabilities.accuracy(answered)
    stage.write_metrics("demo", "baseline", {"capability": accuracy})
    return ", ".join(f"{name} {metric.value:.2f}" for name, metric in accuracy.items())


if __name__ == "__main__":
    stage.main("demo", "baseline", run)
