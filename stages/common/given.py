"""The labelled pairs of a workflow's own file, on their way into the lake."""

from collections.abc import Sequence
from dataclasses import dataclass

from realign import paths
from realign.curate.checks import check
from realign.curate.contamination import decontamination, evaluation_index
from realign.curate.rejected import rejected_row
from realign.curate.splits import with_splits
from realign.curate.text import PAIR_TEXTS
from realign.errors import UserError
from realign.ingest.preferences import Ingested, Place, ingest
from realign.lake.schemas import PAIRS
from realign.lake.table import frame
from realign.metrics import Metric
from realign.models import chat
from realign.stage import Stage
from stages.common import data


@dataclass(frozen=True)
class Given:
    """The pairs that can be trained on, each with its place in the file; the rows left out, with the reason; and the
    share of all rows that held no evaluation row."""

    pairs: list[dict]
    places: list[Place]
    rejected: list[dict]
    decontamination: Metric


def pairs(here: Stage, tokenizer, window: int, seed: int) -> Given:
    """The pairs of the source that pass every row check and fit the window, split 80/20 into train and validation by
    prompt. UserError where none does."""
    source = data.settings(here)
    found = ingest(source.source, (source.score_low, source.score_high), f"{here.workflow}.data")
    for keep in (checked, lambda some: fitting(some, tokenizer, window)):
        found = keep(found)
    kept = with_splits(frame(found.pairs, PAIRS, source.source), "prompt_id", {"train": 0.8, "validation": 0.2}, seed)
    contaminated = sum(row["reason"] == "contaminated" for row in found.rejected)
    return Given(kept.to_dicts(), found.places, found.rejected,
                 decontamination(contaminated, len(found.pairs) + len(found.rejected)))


def checked(found: Ingested) -> Ingested:
    """The same after the row checks: contaminated, repetitive, badly encoded or personal ones are left out."""
    kept, rejected = check(frame(found.pairs, PAIRS), PAIR_TEXTS, index=evaluation_index(*paths.SUITES),
                           positions=[line for _, line in found.places])
    ids = set(kept["row_id"])
    stay = [pair["row_id"] in ids for pair in found.pairs]
    files = [file for (file, _), stays in zip(found.places, stay, strict=True) if not stays]
    out = [row | {"source": file} for row, file in zip(rejected.to_dicts(), files, strict=True)]
    if not ids:
        raise UserError(f"no pair of {len(found.pairs)} passes the row checks; the first: {out[0]['reason']}, "
                        f"{out[0]['detail']}", where=f"{out[0]['source']}:{out[0]['position']}",
                        expected="pairs that hold no evaluation row and no fault", fix="correct the file")
    return Ingested(_only(found.pairs, stay), _only(found.places, stay), found.rejected + out)


def fitting(found: Ingested, tokenizer, window: int) -> Ingested:
    """The same without pairs that the chat template refuses, or of which a side is longer than the window, in tokens.
    UserError where none is left."""
    sizes = _sizes(found.pairs, tokenizer)
    tokens = [size for size in sizes if isinstance(size, int)]
    if not tokens:
        _encoded_sides(found.pairs[:1], tokenizer)  # raises what the template says
    if min(tokens) > window:
        raise UserError(f"no pair fits a window of {window} tokens; the shortest has {min(tokens)}, the longest "
                        f"{max(tokens)}", where=f"{paths.PARAMS}: window of sft", expected="pairs that fit",
                        fix=f"give shorter pairs, or raise it: dvc exp run -S common.sft.window={max(tokens)}")
    stay = [isinstance(size, int) and size <= window for size in sizes]
    out = [too_long(pair, place, size, window) if isinstance(size, int)
           else left_out(pair, place, "template_refused", size)
           for pair, place, size, stays in zip(found.pairs, found.places, sizes, stay, strict=True) if not stays]
    return Ingested(_only(found.pairs, stay), _only(found.places, stay), found.rejected + out)


def too_long(row: dict, place: Place, tokens: int, window: int) -> dict:
    """The row of REJECTED that stands for one that does not fit."""
    return left_out(row, place, "too_long", f"{tokens} tokens; the window has {window}")


def left_out(row: dict, place: Place, reason: str, detail: str) -> dict:
    """The row of REJECTED that stands for a row of the lake."""
    return rejected_row(*place, reason, f"row {row['row_id']}: {detail}", row)


def chosen_chats(rows: list[dict]) -> list[dict]:
    """The chosen side of pairs as chats to train on."""
    return [{"row_id": row["row_id"], "messages": chat.with_answer(row, row["chosen"]), "capability": "preference",
             "slice": row["preference_type"], "reference": "{}", "split": row["split"], "source": row["source"]}
            for row in rows]


def _sizes(rows: Sequence[dict], tokenizer) -> list[int | str]:
    """Of each pair the tokens of its longer side, or why the template refuses it. A batch that is refused is halved
    until the row is found."""
    try:
        return [max(sides) for sides in zip(*_encoded_sides(rows, tokenizer), strict=True)]
    except UserError as error:
        if len(rows) == 1:
            return [str(error).splitlines()[0]]
        middle = len(rows) // 2
        return _sizes(rows[:middle], tokenizer) + _sizes(rows[middle:], tokenizer)


def _encoded_sides(rows: Sequence[dict], tokenizer) -> list[list[int]]:
    """Tokens of every chosen and of every rejected side."""
    return [[len(row.tokens) for row in chat.encode(tokenizer, [chat.with_answer(row, row[side]) for row in rows])]
            for side in ("chosen", "rejected")]


def _only(rows: list, stay: Sequence[bool]) -> list:
    return [row for row, stays in zip(rows, stay, strict=True) if stays]
