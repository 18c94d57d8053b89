"""Rows of a JSONL, CSV or Parquet file, good and bad ones, one at a time."""

import csv
import gzip
import json
import os
import re
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
_LONGEST_LINE = 2**24  # bytes of JSON, characters of a CSV field; the longest text that is kept has 20,000
_INFLATED, _PACKED = 2**26, 200  # bytes that any .gz may hold, and times its size above that; text is packed 3 to 20
_BAD = re.compile("[\ufffd\ud800-\udfff]")
_BEGINNING = 2000  # bytes that are shown of a line that is too long
_SEPARATORS = ";\t|"  # that other programs write in place of a comma


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
    return _BAD.search(text) is not None


def files_of(source: Path | str) -> list[Path]:
    """The files of a source: itself, or the shards in a folder, in the order of names.

    Hidden files, those that begin with `_` and notes (.md) are passed over. UserError for a folder without shards, or
    with anything else in it: a shard in a form that cannot be read would be lost unsaid.
    """
    folder = Path(source)
    if not os.path.isdir(folder) or folder.name.lower().endswith(SUFFIXES):
        return [folder]
    found = sorted((p for p in folder.iterdir() if p.name[0] not in "._" and p.suffix.lower() != ".md"),
                   key=lambda p: p.name)
    strange = [p.name for p in found if p.is_dir() or not p.name.lower().endswith(SUFFIXES)]
    if strange or not found:
        raise UserError(f"holds {strange[0]!r}, which is no such file" if strange else "the folder holds no file",
                        where=str(source) or "''", expected=f"files ending in {', '.join(SUFFIXES)}, and nothing else",
                        fix="give a file, or a folder of such files alone")
    return found


def parse_json(text: str):
    """The value of a JSON text. ValueError for what is none: NaN, a key that stands twice, too deep a nesting."""
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError(str(error)) from error


def _suffix(path: Path) -> str:
    if not os.path.exists(path):  # also for a name that is too long for any file
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
        yield from _json_rows(file, path)


def _zipped_json_lines(path: Path) -> Iterator[Raw]:
    with gzip.open(path, "rb") as file:
        yield from _json_rows(file, path, max(_INFLATED, _PACKED * path.stat().st_size))


def _json_rows(file: BinaryIO, path: Path, most: int | None = None) -> Iterator[Raw]:
    for position, (line, whole) in enumerate(_lines(file, path, most), 1):
        if position == 1:
            _refuse_utf16(line, path)
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not whole:
            yield Raw(position, None, "line_too_long", f"more than {_LONGEST_LINE} bytes",
                      line.decode("utf-8", "replace"))
        elif line.strip():
            yield _json_row(position, line.strip())


def _lines(file: BinaryIO, path: Path, most: int | None) -> Iterator[tuple[bytes, bool]]:
    """Every line, and whether it is whole; of one that is too long the beginning. UserError after `most` bytes."""
    line, begun = b"", False
    while piece := file.readline(_LONGEST_LINE):
        if most is not None and file.tell() > most:
            raise UserError(f"holds more than {most} bytes, more than {_PACKED} times its size", where=str(path),
                            expected="text, which is packed 3 to 20 times", fix="unpack it and look at what it holds")
        line = line if begun else piece
        ended = piece.endswith(b"\n") or len(piece) < _LONGEST_LINE
        if ended:
            yield (line[:_BEGINNING], False) if begun else (line, True)
        begun = not ended
    if begun:
        yield line[:_BEGINNING], False


def _refuse_utf16(beginning: bytes, path: Path) -> None:
    """UserError for a file in UTF-16 or UTF-32, by its mark or by the zeros beside its first letter."""
    if beginning[:2] in (b"\xff\xfe", b"\xfe\xff") or 0 in beginning[:2]:
        raise UserError("is in UTF-16 or UTF-32", where=str(path), expected="text in UTF-8",
                        fix="save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8")


def _json_row(position: int, line: bytes) -> Raw:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8"
        return Raw(position, None, "invalid_utf8", detail, line.decode("utf-8", "replace"))
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        return Raw(position, None, "broken_json", f"{error.msg} at character {error.pos + 1}", text)
    except _Twice as error:
        return Raw(position, None, "duplicate_key", str(error), text)
    except ValueError as error:
        return Raw(position, None, "broken_json", str(error), text)
    if not isinstance(value, dict):
        return Raw(position, None, "not_an_object", f"holds a {type(value).__name__}, not an object", text)
    return Raw(position, value)


class _Twice(ValueError):
    """A key stands twice in a JSON object."""


def _object(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"the key `{next(name for name in names if names.count(name) > 1)}` stands twice")
    return found


def _no_constant(name: str):
    raise ValueError(f"{name} is not JSON")


def _csv_rows(path: Path) -> Iterator[Raw]:
    csv.field_size_limit(_LONGEST_LINE)
    with path.open("rb") as file:
        _refuse_utf16(file.read(2), path)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        _require_commas(file.readline(), path)
        file.seek(0)
        taken: list[str] = []  # lines of the row that is read
        reader = csv.reader(_noted(file, taken), strict=True)
        header = _csv_header(reader, path)
        while True:
            taken.clear()
            position = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if str(error) == "unexpected end of data":
                    raise UserError("a quote that this row opens is never closed", where=f"{path}:{position}",
                                    expected=_EXPECTED[".csv"], fix="close it, or write a quote inside a text twice: "
                                    '"He said ""no""."') from error
                yield from _broken_csv(position, taken, str(error))
                continue
            if values:
                yield from _csv_row(position, header, values, taken)


def _noted(lines: Iterator[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _broken_csv(position: int, lines: list[str], detail: str) -> Iterator[Raw]:
    """Each line of a row that cannot be read as a row by itself: a quote may have taken in those behind it."""
    for line, text in enumerate(lines, position):
        if text.strip():
            yield Raw(line, None, "broken_csv", detail if line == position else
                      f"taken in by a quote of line {position}: {detail}", text.rstrip("\r\n"))


def _csv_header(reader, path: Path) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise UserError(f"the header cannot be read ({error})", where=f"{path}:1",
                        expected=_EXPECTED[".csv"], fix="correct the first line") from error
    if twice := [name for name in header if header.count(name) > 1]:
        raise _two_columns(twice[0], f"{path}:1")
    return header


def _require_commas(line: str, path: Path) -> None:
    other = next((mark for mark in _SEPARATORS if mark in line and "," not in line), None)
    if other:
        raise UserError(f"the columns are separated by {'a tab' if other == chr(9) else f'`{other}`'}",
                        where=f"{path}:1", expected="commas between the columns", fix="save it with commas")


def _csv_row(position: int, header: list[str], values: list[str], taken: list[str]) -> Iterator[Raw]:
    text = ",".join(values)
    if bad_text(text.replace("\ufffd", "")):
        yield Raw(position, None, "invalid_utf8", "holds bytes that are not UTF-8", text)
    elif len(values) != len(header):
        yield from _broken_csv(position, taken, f"{len(values)} fields where the header has {len(header)}")
    else:
        yield Raw(position, dict(zip(header, values, strict=True)))


def _two_columns(name: str, where: str) -> UserError:
    return UserError(f"two columns are called `{name}`", where=where, expected="a different name for each column",
                     fix="rename one of them")


def _parquet_rows(path: Path) -> Iterator[Raw]:
    position = 0
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if twice := [name for name in names if names.count(name) > 1]:
            raise _two_columns(twice[0], str(path))
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
    except (ValueError, OverflowError, pa.ArrowException):  # a value that Python cannot hold, such as a year of 10,000
        return Raw(position, {name: _cell(batch.column(name)) for name in batch.schema.names})


def _cell(column: pa.Array):
    """The value of a column of one row; None where Python cannot hold it, which where it is needed is `missing`."""
    try:
        return column[0].as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return None


_READERS = {
    ".jsonl": _json_lines, ".ndjson": _json_lines, ".jsonl.gz": _zipped_json_lines,
    ".csv": _csv_rows, ".parquet": _parquet_rows,
}
_OBJECTS = "one JSON object a line, in UTF-8"
_EXPECTED = {
    ".jsonl": _OBJECTS, ".ndjson": _OBJECTS, ".jsonl.gz": _OBJECTS, ".parquet": "rows of UTF-8 text",
    ".csv": "a header, then rows with as many fields, in UTF-8",
}
