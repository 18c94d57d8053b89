"""The labelled pairs of a file (`srf.data.pairs`), on their way into the lake: used by `sft` alone."""

from stages.srf.source import Data


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
