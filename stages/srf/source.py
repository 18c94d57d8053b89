"""Where SRF's data comes from: the demo world, or a file of preference pairs (`srf.data` in params.yaml)."""

from dataclasses import dataclass
from pathlib import Path

from realign import params, paths
from realign.errors import UserError


@dataclass(frozen=True)
class Data:
    """`srf.data`: `pairs` is the demo world's directory, or a JSONL, CSV or Parquet file of preference pairs."""

    pairs: str
    score_low: float
    score_high: float


def settings() -> Data:
    return params.load("srf.data", Data)


def is_world(data: Data) -> bool:
    """Whether prompts are sampled from (the demo world), rather than labelled pairs given."""
    return Path(data.pairs).is_dir()


def pairs(data: Data, seed: int) -> tuple[list[dict], list[dict]]:
    """`(pairs, rejected)` of the file, split 80/20 into train and validation by prompt."""
    from realign.curate.splits import with_splits
    from realign.ingest.preferences import ingest_pairs

    kept, rejected = ingest_pairs(data.pairs, (data.score_low, data.score_high))
    return with_splits(kept, lambda row: row["prompt_id"], {"train": 0.8, "validation": 0.2}, seed), rejected


def fitting(rows: list[dict], tokenizer, window: int) -> tuple[list[dict], list[dict]]:
    """`(kept, rejected)`: pairs whose longer side fits the window, in tokens."""
    from realign.models import chat

    lengths = []
    for side in ("chosen", "rejected"):
        dialogues = [[*row["messages"], {"role": "assistant", "content": row[side]}] for row in rows]
        lengths.append([len(encoded.tokens) for encoded in chat.encode(tokenizer, dialogues)])
    longest = [max(both) for both in zip(*lengths, strict=True)]
    kept = [row for row, tokens in zip(rows, longest, strict=True) if tokens <= window]
    rejected = [too_long(row, position, tokens, window)
                for position, (row, tokens) in enumerate(zip(rows, longest, strict=True), 1) if tokens > window]
    return kept, rejected


def too_long(row: dict, position: int, tokens: int, window: int) -> dict:
    """The rejected row of one that does not fit."""
    from realign.curate.rejected import reject

    return reject(row, position, "too_long", f"{tokens} tokens; the window has {window}")


def chosen_chats(rows: list[dict]) -> list[dict]:
    """The chosen side of pairs as chats to train on."""
    return [{"row_id": row["row_id"], "messages": [*row["messages"], {"role": "assistant", "content": row["chosen"]}],
             "capability": "preference", "slice": row["preference_type"], "reference": "{}", "split": row["split"],
             "source": row["source"]} for row in rows]


def prompts(data: Data, split: str) -> list[dict]:
    """Chats without an answer, to sample from: of the demo world, or the prompts of the file's pairs."""
    from realign.lake.schemas import CHATS, PAIRS
    from realign.lake.table import read_rows

    if is_world(data):
        return [row for row in read_rows(paths.WORLD / "prompts.parquet", CHATS) if row["split"] == split]
    of_file = {"prompts": "train", "validation": "validation", "test": "validation"}[split]
    unique = {row["prompt_id"]: row for row in read_rows(paths.dataset("srf", "sft", "pairs"), PAIRS)
              if row["split"] == of_file}
    if not unique:
        raise UserError(f"no prompts in the split {of_file}", where=data.pairs, fix="give more pairs")
    return [{"row_id": name, "messages": row["messages"], "capability": "preference", "slice": row["preference_type"],
             "reference": "{}", "split": split, "source": row["source"]} for name, row in unique.items()]


def evaluation_rows() -> list[dict]:
    """The capability suites' rows."""
    from realign.lake.schemas import CHATS
    from realign.lake.table import read_rows

    return read_rows(paths.WORLD / "evaluation.parquet", CHATS)
