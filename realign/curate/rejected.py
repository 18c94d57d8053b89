"""The row that stands for a row left out."""

import json
import re

from realign.curate.personal import redact

CONTENT_CHARS = 500


def rejected_row(source: str, position: int, reason: str, detail: str, content) -> dict:
    """A row of the REJECTED schema.

    `position` counts from 1, `reason` is the name of the fault, `content` any text or JSON value;
    of it the first 500 characters are kept, with personal data hidden and undecodable bytes
    shown as U+FFFD.
    """
    text = content
    if not isinstance(content, str):
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, default=str)
    return {
        "source": _valid(source),
        "position": position,
        "reason": reason,
        "detail": redact(_valid(detail)),
        "content": redact(_valid(text))[:CONTENT_CHARS],
    }


def reject(row: dict, position: int, reason: str, detail: str) -> dict:
    """A row of the lake as a row of REJECTED: its `source`, its place among the rows given."""
    name = row.get("row_id") or row.get("example_id") or ""
    detail = f"row {name}: {detail}" if name else detail
    return rejected_row(str(row.get("source") or ""), position, reason, detail, row)


def _valid(text: str) -> str:
    """`text` without lone surrogates, which no file of UTF-8 can hold."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
