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
