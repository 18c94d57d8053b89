"""Rows that say the same thing twice."""

from collections.abc import Iterable

from realign.curate.rejected import reject
from realign.curate.text import Texts, normalise


def dedup(rows: Iterable[dict], texts: Texts) -> tuple[list[dict], list[dict]]:
    """`(kept, rejected)`: of the rows whose texts are equal once normalised, the first stays."""
    first: dict[tuple[str, ...], int] = {}
    kept, rejected = [], []
    for position, row in enumerate(rows, 1):
        key = tuple(normalise(text) for text in texts(row))
        if first.setdefault(key, position) == position:
            kept.append(row)
        else:
            rejected.append(reject(row, position, "duplicate", f"same text as row {first[key]}"))
    return kept, rejected
