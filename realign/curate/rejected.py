"""The rows that stand for rows left out."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from realign.curate.personal import SUSPECT, redact

CONTENT_CHARS = 500


def rejected_row(source: str, position: int, reason: str, detail: str, content) -> dict:
    """A row of the REJECTED schema.

    `position` counts from 1, `reason` is the name of the fault, `content` any text or JSON value;
    of it the first 500 characters are kept, with personal data hidden and undecodable bytes
    shown as U+FFFD.
    """
    return {
        "source": _valid(source),
        "position": position,
        "reason": reason,
        "detail": redact(_valid(detail)),
        "content": redact(_valid(_shown(content)))[:CONTENT_CHARS],
    }


def rejected(rows: pl.DataFrame, faults: pl.DataFrame) -> pl.DataFrame:
    """Rows of the lake as rows of REJECTED, each as `rejected_row` makes it, with its `source` and its name.

    `faults` says for each row, in the same order, its `position` among all rows given (from 1), `reason`, `detail`.
    """
    found = rows.to_dicts()
    details = [_named(row, detail) for row, detail in zip(found, faults["detail"], strict=True)]
    return pl.DataFrame({
        "source": pl.Series([row.get("source", "") for row in found], dtype=pl.String),
        "position": faults["position"],
        "reason": faults["reason"],
        "detail": _redacted(details),
        "content": _redacted(map(_shown, found)).str.head(CONTENT_CHARS),
    })


def told(reasons: Mapping[str, int], rows: int, path: Path) -> str:
    """In words how many of so many rows were left out, why, and where they lie; "" where none was."""
    counted = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items(), key=lambda r: (-r[1], r[0])))
    return f"; {sum(reasons.values())} of {rows} rows rejected ({counted}): {path}" if counted else ""


def _redacted(texts: Iterable[str]) -> pl.Series:
    """`redact` of each text."""
    column = pl.Series(texts, dtype=pl.String)
    suspects = column.str.contains(SUSPECT).arg_true()
    return column.scatter(suspects, [redact(text) for text in column.gather(suspects)])


def _shown(content) -> str:
    if isinstance(content, str):
        return content
    return json.dumps(content, ensure_ascii=False, sort_keys=True, default=str)


def _named(row: dict, detail: str) -> str:
    name = row.get("row_id") or row.get("example_id")
    return f"row {name}: {detail}" if name else detail


def _valid(text: str) -> str:
    """`text` without lone surrogates, which no file of UTF-8 can hold."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
