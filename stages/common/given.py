"""The labelled pairs of a workflow's own file, on their way into the lake."""

from realign.curate.rejected import rejected_row
from realign.curate.splits import with_splits
from realign.ingest.preferences import ingest_pairs
from realign.lake.schemas import PAIRS
from realign.lake.table import frame
from realign.models import chat
from realign.stage import Stage
from stages.common import data


def pairs(here: Stage, seed: int) -> tuple[list[dict], list[dict]]:
    """`(pairs, rejected)` of the file, split 80/20 into train and validation by prompt."""
    source = data.settings(here)
    kept, rejected = ingest_pairs(source.source, (source.score_low, source.score_high))
    split = with_splits(frame(kept, PAIRS, source.source), "prompt_id", {"train": 0.8, "validation": 0.2}, seed)
    return split.to_dicts(), rejected


def fitting(rows: list[dict], tokenizer, window: int) -> tuple[list[dict], list[dict]]:
    """`(kept, rejected)`: pairs whose longer side fits the window, in tokens."""
    kept, rejected = [], []
    sides = [[len(row.tokens) for row in chat.encode(tokenizer, [chat.with_answer(row, row[side]) for row in rows])]
             for side in ("chosen", "rejected")]
    for position, (row, *lengths) in enumerate(zip(rows, *sides, strict=True), 1):
        if max(lengths) <= window:
            kept.append(row)
        else:
            rejected.append(too_long(row, position, max(lengths), window))
    return kept, rejected


def too_long(row: dict, position: int, tokens: int, window: int) -> dict:
    """The row of REJECTED that stands for one that does not fit."""
    return left_out(row, position, "too_long", f"{tokens} tokens; the window has {window}")


def left_out(row: dict, position: int, reason: str, detail: str) -> dict:
    """The row of REJECTED that stands for a row of the lake."""
    return rejected_row(row["source"], position, reason, f"row {row['row_id']}: {detail}", row)


def chosen_chats(rows: list[dict]) -> list[dict]:
    """The chosen side of pairs as chats to train on."""
    return [{"row_id": row["row_id"], "messages": chat.with_answer(row, row["chosen"]), "capability": "preference",
             "slice": row["preference_type"], "reference": "{}", "split": row["split"], "source": row["source"]}
            for row in rows]
