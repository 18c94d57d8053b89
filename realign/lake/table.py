"""Parquet in and out of the lake: declared schemas, atomic writes, the same bytes every time."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from realign.errors import UserError
from realign.lake.atomic import atomic_file
from realign.lake.schemas import row_fault

ROW_GROUP = 16_384  # rows held in memory at a time
SMALL = 100_000  # rows that may become a list of dictionaries
_TEXT = (pa.string(), pa.large_string(), pa.string_view())


class Writer:
    """An open Parquet file of the lake; frames of any height leave it as whole row groups."""

    def __init__(self, path: Path, schema: pa.Schema, parquet: pq.ParquetWriter):
        self.rows = 0  # taken so far
        self._path, self._schema, self._parquet = path, schema, parquet
        self._waiting = schema.empty_table()

    def write(self, frame: pl.DataFrame) -> None:
        """Take the rows of `frame`; UserError where they do not fit the schema."""
        table = _whole(frame, self._schema, self._path, self.rows)
        self.rows += table.num_rows
        self._waiting = pa.concat_tables([self._waiting, table])
        while self._waiting.num_rows >= ROW_GROUP:
            self._send(self._waiting.slice(0, ROW_GROUP))
            self._waiting = self._waiting.slice(ROW_GROUP)

    def close(self) -> None:
        """Write the rows that fill no row group."""
        if self._waiting.num_rows:
            self._send(self._waiting)

    def _send(self, group: pa.Table) -> None:
        self._parquet.write_table(group.combine_chunks(), row_group_size=ROW_GROUP)


@contextmanager
def writer(path: Path | str, schema: pa.Schema) -> Iterator[Writer]:
    """A file of the lake to write to frame by frame; it becomes `path` in one step when the block ends.

    Holds one row group in memory. The bytes depend on rows and schema alone, not on how the rows were cut into frames.
    On an error, or a frame that does not fit the schema (UserError), `path` stays what it was.
    """
    path = Path(path)
    with (
        atomic_file(path) as part,
        pq.ParquetWriter(part, schema, compression="zstd", compression_level=3) as parquet,
    ):
        out = Writer(path, schema, parquet)
        yield out
        out.close()


def write(frames: Iterable[pl.DataFrame] | pl.DataFrame, path: Path | str, schema: pa.Schema) -> int:
    """Write one frame, or one after the other, to the Parquet file `path`; returns the number of rows.

    Promises and errors as those of `writer`.
    """
    with writer(path, schema) as out:
        for each in [frames] if isinstance(frames, pl.DataFrame) else frames:
            out.write(each)
    return out.rows


def frame(rows: Iterable[dict], schema: pa.Schema, where: str = "rows") -> pl.DataFrame:
    """A few dictionaries as a frame under `schema`.

    Raises UserError, naming `where`, row and column, on a missing or unknown column, a null, another type, or text
    that is no UTF-8.
    """
    rows = list(rows)
    try:
        known = not set().union(*rows) - set(schema.names)
        table = pa.Table.from_pylist(rows, schema=schema)
        if known and all(_first_null(table.column(f.name), f) is None for f in schema):
            return _polars(table)
    except (pa.ArrowException, AttributeError, TypeError, UnicodeEncodeError, OverflowError) as error:
        raise _unfit(rows, schema, where, str(error)) from error
    raise _unfit(rows, schema, where, "it does not fit")


def scan(path: Path | str, schema: pa.Schema, allow_empty: bool = False) -> pl.LazyFrame:
    """The rows of the Parquet file `path`, not read yet: exactly the columns of `schema`, in its order and types.

    Raises UserError as `read_table` does. Columns and types are checked in the file's footer; nulls by its statistics,
    and by reading the columns for which they are not 0.
    """
    path = Path(path)
    with _opened(path) as file:
        _check_columns(file.schema_arrow, schema, path)
        _check_rows(file.metadata.num_rows, path, allow_empty)
        if doubtful := [field for field in schema if not _surely_whole(file.metadata, field.name)]:
            for _ in _batches(file, pa.schema(doubtful), path):
                pass  # every batch is checked as it is made
    types = _polars(schema.empty_table()).schema
    return pl.scan_parquet(path, glob=False, hive_partitioning=False).select(
        pl.col(name).cast(kind) for name, kind in types.items())


def batches(path: Path | str, schema: pa.Schema, allow_empty: bool = False) -> Iterator[pl.DataFrame]:
    """The rows of the Parquet file `path` in frames of at most ROW_GROUP rows, under `schema`.

    Raises UserError as `read_table` does; a null is met only when its frame is read.
    """
    path = Path(path)
    with _opened(path) as file:
        _check_columns(file.schema_arrow, schema, path)
        _check_rows(file.metadata.num_rows, path, allow_empty)
    return _frames(path, schema)


def small_rows(path: Path | str, schema: pa.Schema, allow_empty: bool = False) -> list[dict]:
    """`read_table` as a list of dictionaries, for code that looks at one row after the other.

    Raises UserError above 100,000 rows, which `scan` and `batches` are for.
    """
    with _opened(Path(path)) as file:
        count = file.metadata.num_rows
    if count > SMALL:
        raise UserError(f"holds {count:,} rows", where=str(path), expected=f"at most {SMALL:,}, as one list in memory",
                        fix="give fewer rows, or have the step read them in batches (realign.lake.table.batches)")
    return read_table(path, schema, allow_empty).to_pylist()


def read_table(path: Path | str, schema: pa.Schema | None = None, allow_empty: bool = False) -> pa.Table:
    """The table in the Parquet file `path`; under `schema`, exactly its columns in its order.

    Raises UserError, naming file, column and row, when the file is missing or is not whole
    Parquet, when a column is missing, has another type or holds a forbidden null, and when there
    are no rows (unless `allow_empty`).
    """
    path = Path(path)
    with _opened(path) as file:
        table = file.read()
    if schema is not None:
        table = _fit(table, schema, path)
    _check_rows(table.num_rows, path, allow_empty)
    return table


def _frames(path: Path, schema: pa.Schema) -> Iterator[pl.DataFrame]:
    with _opened(path) as file:
        yield from map(_polars, _batches(file, schema, path))


def _batches(file: pq.ParquetFile, schema: pa.Schema, path: Path) -> Iterator[pa.Table]:
    before = 0
    for batch in file.iter_batches(ROW_GROUP, columns=schema.names):
        yield _fit(pa.Table.from_batches([batch]), schema, path, before)
        before += batch.num_rows


def _polars(table: pa.Table) -> pl.DataFrame:
    return pl.from_arrow(table)


def _whole(frame: pl.DataFrame, schema: pa.Schema, path: Path, before: int) -> pa.Table:
    """A frame as Arrow, every column of it known to the schema."""
    if unknown := sorted(set(frame.columns) - set(schema.names)):
        raise UserError(f"`{unknown[0]}` is not a column of this dataset", where=str(path), expected=_columns(schema),
                        fix="leave it out in the step that makes these rows")
    return _fit(frame.to_arrow(), schema, path, before)


def _unfit(rows: list[dict], schema: pa.Schema, where: str, otherwise: str) -> UserError:
    """The first row that does not fit; what Arrow said, should no single row be to blame."""
    for number, row in enumerate(rows, 1):
        if fault := row_fault(row, schema):
            return UserError(f"row {number} cannot be taken: {fault[1]} ({fault[0]})", where=where,
                             expected=_columns(schema), fix="correct the step that makes this row")
    return UserError(f"the rows cannot be taken: {otherwise}", where=where, expected=_columns(schema),
                     fix="correct the step that makes them")


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The Parquet file, closed again when the block ends; damage found inside the block is told plainly, too."""
    if not path.is_file():
        raise UserError("no such file", where=str(path), expected="a Parquet file",
                        fix="check the path; `dvc repro` or `dvc pull` restores what the pipeline made")
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"not a whole Parquet file ({str(error).splitlines()[0][:120]})", where=str(path),
            expected="a Parquet file that was written to its end",
            fix="copy or download it again; a pipeline output comes back with `dvc checkout` or `dvc repro`",
        ) from error


def _check_rows(count: int, path: Path, allow_empty: bool) -> None:
    if count == 0 and not allow_empty:
        raise UserError("holds no rows", where=str(path), expected="at least one row",
                        fix="look at what the step that wrote it rejected, and why")


def _check_columns(found: pa.Schema, schema: pa.Schema, path: Path) -> None:
    """UserError where a column is missing or can only become what the schema says by a change of meaning."""
    for field in schema:
        if field.name not in found.names:
            raise UserError(f"column `{field.name}` is missing", where=str(path), expected=_columns(schema),
                            fix=f"rename or add it; found {', '.join(found.names) or 'no columns'}")
        if not _same_kind(found.field(field.name).type, field.type):
            raise _wrong_type(path, field, found.field(field.name).type)


def _surely_whole(metadata: pq.FileMetaData, name: str) -> bool:
    """Whether the statistics of every row group say that a column, and all inside it, holds no null."""
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for place in range(row_group.num_columns):
            column = row_group.column(place)
            if column.path_in_schema.split(".")[0] != name:
                continue
            statistics = column.statistics
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                return False
    return True


def _fit(table: pa.Table, schema: pa.Schema, path: Path, before: int = 0) -> pa.Table:
    """`table` with the columns of `schema`, cast where that loses nothing; no forbidden null.

    `before` rows stand before it in the file.
    """
    _check_columns(table.schema, schema, path)
    columns = [_fit_column(table.column(field.name), field, path, before) for field in schema]
    return pa.table(columns, schema=schema)


def _fit_column(column: pa.ChunkedArray, field: pa.Field, path: Path, before: int) -> pa.ChunkedArray:
    try:
        column = column.cast(_nullable(field.type))
    except (pa.ArrowException, ValueError) as error:
        raise _wrong_type(path, field, column.type) from error
    if (row := _first_null(column, field)) is not None:
        raise UserError(f"row {before + row + 1}: column `{field.name}` holds a null", where=str(path),
                        expected="a value in every row", fix="fill it, or leave the row out with a reason")
    return column.cast(field.type)


def _nullable(kind: pa.DataType) -> pa.DataType:
    """`kind` with nulls allowed inside, so that they can be found before they are refused."""
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", _nullable(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(child.name, _nullable(child.type)) for child in kind])
    return kind


def _wrong_type(path: Path, field: pa.Field, found: pa.DataType) -> UserError:
    return UserError(f"column `{field.name}` is {found}", where=str(path), expected=str(field.type),
                     fix="write the column with that type")


def _same_kind(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether `found` can become `wanted` with no change of meaning (never text to number)."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_null(found):
        return True  # a column of nothing but nulls; the null check says in which row
    if pa.types.is_struct(wanted):
        return pa.types.is_struct(found) and {f.name for f in wanted} <= {f.name for f in found}
    if pa.types.is_list(wanted):
        lists = pa.types.is_list(found) or pa.types.is_large_list(found)
        return lists and _same_kind(found.value_type, wanted.value_type)
    if wanted in _TEXT:
        return found in _TEXT
    if pa.types.is_floating(wanted):
        return pa.types.is_floating(found) or pa.types.is_integer(found)
    return found == wanted or (pa.types.is_integer(wanted) and pa.types.is_integer(found))


def _first_null(column: pa.ChunkedArray, field: pa.Field) -> int | None:
    """Index of the first row with a null that `field` or a field inside it forbids."""
    before = 0
    for chunk in column.chunks:
        if (row := _first_null_in(chunk, field)) is not None:
            return before + row
        before += len(chunk)
    return None


def _first_null_in(array: pa.Array, field: pa.Field) -> int | None:
    if not field.nullable and array.null_count:
        return pc.index(pc.is_null(array), True).as_py()
    rows = []
    if pa.types.is_list(field.type):
        inner = _first_null_in(pc.list_flatten(array), field.type.value_field)
        rows = [] if inner is None else [pc.list_parent_indices(array)[inner].as_py()]
    elif pa.types.is_struct(field.type):
        rows = [_first_null_in(pc.struct_field(array, child.name), child) for child in field.type]
    return min((row for row in rows if row is not None), default=None)


def _columns(schema: pa.Schema) -> str:
    return "columns " + ", ".join(f"{field.name} ({field.type})" for field in schema)
