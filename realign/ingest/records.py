"""Rows of a JSONL, CSV or Parquet file, good and bad ones, one at a time."""

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from realign.curate.rejected import rejected_row
from realign.errors import UserError

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".csv", ".parquet")
_BATCH = 1024  # rows of Parquet in memory at a time
_LONGEST_FIELD = 2**31 - 1  # characters of one CSV field


@dataclass(frozen=True)
class Raw:
    """One row of an input file: its 1-based position, and its content or what is wrong with it.

    The position is the line in JSONL and CSV (where the row begins), the row number in Parquet.
    """

    position: int
    row: dict | None
    reason: str = ""
    detail: str = ""
    content: str = ""

    def rejected(self, source: str) -> dict:
        """A row of REJECTED for a row that could not be read."""
        return rejected_row(source, self.position, self.reason, self.detail, self.content)


def read_records(path: Path | str) -> Iterator[Raw]:
    """Every row of the file, bad ones (broken JSON, not UTF-8, not an object) with their reason.

    Blank lines are no rows. Raises UserError when the file is missing, empty, truncated or of
    another kind, and, after the last row, when not one row could be read.
    """
    path = Path(path)
    reader = _READERS[_suffix(path)]
    first_bad, read, usable = None, 0, 0
    try:
        for raw in reader(path):
            read += 1
            usable += raw.row is not None
            first_bad = first_bad or (raw if raw.row is None else None)
            yield raw
    except (OSError, EOFError, pa.ArrowException) as error:
        raise UserError(f"cannot be read to its end ({str(error).splitlines()[0][:120]})", where=str(path),
                        expected=f"a whole {_suffix(path)} file", fix="copy or download it again") from error
    if read == 0:
        raise UserError("is empty", where=str(path), expected="at least one row",
                        fix="check that the step that wrote it finished")
    if usable == 0:
        first = f"{first_bad.reason}, {first_bad.detail}"
        raise UserError(f"none of its {read} rows can be read; the first: {first}",
                        where=f"{path}:{first_bad.position}", expected=_EXPECTED[_suffix(path)],
                        fix="correct the file, or rename it if it is of another kind")


def bad_text(text: str) -> bool:
    """Whether `text` came from bytes that were not UTF-8: lone surrogates or U+FFFD."""
    return any(c == "\ufffd" or "\ud800" <= c <= "\udfff" for c in text)


def _suffix(path: Path) -> str:
    if not path.exists():
        raise UserError("no such file", where=str(path), expected=f"a file ending in {', '.join(SUFFIXES)}",
                        fix="check the path; it is taken from the directory the command runs in")
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None or not path.is_file():
        raise UserError("not a kind of file that can be read", where=str(path),
                        expected=f"a file ending in {', '.join(SUFFIXES)}",
                        fix="convert it, for example to JSONL: one JSON object a line")
    return suffix


def _json_lines(path: Path) -> Iterator[Raw]:
    with path.open("rb") as file:
        yield from _json_rows(file)


def _zipped_json_lines(path: Path) -> Iterator[Raw]:
    with gzip.open(path, "rb") as file:
        yield from _json_rows(file)


def _json_rows(file: BinaryIO) -> Iterator[Raw]:
    for position, line in enumerate(file, 1):
        line = line.removeprefix(b"\xef\xbb\xbf") if position == 1 else line
        if line.strip():
            yield _json_row(position, line.strip())


def _json_row(position: int, line: bytes) -> Raw:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8"
        return Raw(position, None, "invalid_utf8", detail, line.decode("utf-8", "replace"))
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return Raw(position, None, "broken_json", f"{error.msg} at character {error.pos + 1}", text)
    except (ValueError, RecursionError) as error:
        return Raw(position, None, "broken_json", str(error), text)
    if not isinstance(value, dict):
        return Raw(position, None, "not_an_object", f"holds a {type(value).__name__}, not an object", text)
    return Raw(position, value)


def _no_constant(name: str):
    raise ValueError(f"{name} is not JSON")


def _csv_rows(path: Path) -> Iterator[Raw]:
    csv.field_size_limit(_LONGEST_FIELD)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = _csv_header(reader, path)
        while True:
            position = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Raw(position, None, "broken_csv", str(error), "")
                continue
            if values:
                yield _csv_row(position, header, values)


def _csv_header(reader, path: Path) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise UserError(f"the header cannot be read ({error})", where=f"{path}:1",
                        expected=_EXPECTED[".csv"], fix="correct the first line") from error
    if twice := [name for name in header if header.count(name) > 1]:
        raise UserError(f"two columns are called `{twice[0]}`", where=f"{path}:1",
                        expected="a different name for each column", fix="rename one of them")
    return header


def _csv_row(position: int, header: list[str], values: list[str]) -> Raw:
    text = ",".join(values)
    if bad_text(text.replace("\ufffd", "")):
        return Raw(position, None, "invalid_utf8", "holds bytes that are not UTF-8", text)
    if len(values) != len(header):
        detail = f"{len(values)} fields where the header has {len(header)}"
        return Raw(position, None, "broken_csv", detail, text)
    return Raw(position, dict(zip(header, values, strict=True)))


def _parquet_rows(path: Path) -> Iterator[Raw]:
    position = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH):
            for row in range(batch.num_rows):
                position += 1
                yield _parquet_row(position, batch.slice(row, 1))


def _parquet_row(position: int, batch: pa.RecordBatch) -> Raw:
    try:
        return Raw(position, batch.to_pylist()[0])
    except UnicodeDecodeError as error:
        return Raw(position, None, "invalid_utf8", f"a text is not UTF-8 ({error.reason})",
                   error.object.decode("utf-8", "replace"))


_READERS = {
    ".jsonl": _json_lines, ".ndjson": _json_lines, ".jsonl.gz": _zipped_json_lines,
    ".csv": _csv_rows, ".parquet": _parquet_rows,
}
_OBJECTS = "one JSON object a line, in UTF-8"
_EXPECTED = {
    ".jsonl": _OBJECTS, ".ndjson": _OBJECTS, ".jsonl.gz": _OBJECTS, ".parquet": "rows of UTF-8 text",
    ".csv": "a header, then rows with as many fields, in UTF-8",
}
