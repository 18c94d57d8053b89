"""Parquet in and out of the lake: declared schemas, atomic writes, the same bytes every time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from realign.errors import UserError
from realign.lake.atomic import atomic_file
from realign.lake.schemas import row_fault

ROW_GROUP = 16_384  # rows held in memory at a time
_TEXT = (pa.string(), pa.large_string(), pa.string_view())


def write_table(rows: Iterable[dict] | pa.Table, path: Path | str, schema: pa.Schema) -> int:
    """Write `rows` to the Parquet file `path` under `schema`; returns the number of rows.

    Streams one row group at a time, atomically. The bytes depend on rows and schema alone.
    Raises UserError on a row that does not fit the schema (the file stays what it was).
    """
    path, count = Path(path), 0
    with atomic_file(path) as part:
        with pq.ParquetWriter(part, schema, compression="zstd", compression_level=3) as writer:
            for group in _groups(rows, path, schema):
                writer.write_table(group, row_group_size=ROW_GROUP)
                count += group.num_rows
    return count


def read_table(path: Path | str, schema: pa.Schema | None = None, allow_empty: bool = False) -> pa.Table:
    """The table in the Parquet file `path`; under `schema`, exactly its columns in its order.

    Raises UserError, naming file, column and row, when the file is missing or is not whole
    Parquet, when a column is missing, has another type or holds a forbidden null, and when there
    are no rows (unless `allow_empty`).
    """
    path = Path(path)
    table = _load(path)
    if schema is not None:
        table = _fit(table, schema, path)
    if table.num_rows == 0 and not allow_empty:
        raise UserError("holds no rows", where=str(path), expected="at least one row",
                        fix="look at what the step that wrote it rejected, and why")
    return table


def read_rows(path: Path | str, schema: pa.Schema | None = None, allow_empty: bool = False) -> list[dict]:
    """`read_table` as a list of dictionaries."""
    return read_table(path, schema, allow_empty).to_pylist()


def _groups(rows: Iterable[dict] | pa.Table, path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    if isinstance(rows, pa.Table):
        table = _fit(rows, schema, path)
        for start in range(0, table.num_rows, ROW_GROUP):
            yield table.slice(start, ROW_GROUP).combine_chunks()
        return
    rows, done = iter(rows), 0
    while batch := list(islice(rows, ROW_GROUP)):
        for number, row in enumerate(batch, done + 1):
            if fault := row_fault(row, schema):
                raise UserError(f"row {number} cannot be written: {fault[1]} ({fault[0]})", where=str(path),
                                expected=_columns(schema), fix="correct the step that makes this row")
        yield pa.Table.from_pylist(batch, schema=schema)
        done += len(batch)


def _load(path: Path) -> pa.Table:
    if not path.is_file():
        raise UserError("no such file", where=str(path), expected="a Parquet file",
                        fix="check the path; `dvc repro` or `dvc pull` restores what the pipeline made")
    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"not a whole Parquet file ({str(error).splitlines()[0][:120]})", where=str(path),
            expected="a Parquet file that was written to its end",
            fix="copy or download it again; a pipeline output comes back with `dvc checkout` or `dvc repro`",
        ) from error


def _fit(table: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    """`table` with the columns of `schema`, cast where that loses nothing; no forbidden null."""
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            raise UserError(f"column `{field.name}` is missing", where=str(path), expected=_columns(schema),
                            fix=f"rename or add it; found {', '.join(table.column_names) or 'no columns'}")
        columns.append(_fit_column(table.column(field.name), field, path))
    return pa.table(columns, schema=schema)


def _fit_column(column: pa.ChunkedArray, field: pa.Field, path: Path) -> pa.ChunkedArray:
    if not _same_kind(column.type, field.type):
        raise _wrong_type(path, field, column.type)
    try:
        column = column.cast(_nullable(field.type))
    except (pa.ArrowException, ValueError) as error:
        raise _wrong_type(path, field, column.type) from error
    before = 0
    for chunk in column.chunks:
        if (row := _first_null(chunk, field)) is not None:
            raise UserError(f"row {before + row + 1}: column `{field.name}` holds a null", where=str(path),
                            expected="a value in every row",
                            fix="fill it, or leave the row out with a reason")
        before += len(chunk)
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


def _first_null(array: pa.Array, field: pa.Field) -> int | None:
    """Index of the first row with a null that `field` or a field inside it forbids."""
    if not field.nullable and array.null_count:
        return pc.index(pc.is_null(array), True).as_py()
    rows = []
    if pa.types.is_list(field.type):
        inner = _first_null(pc.list_flatten(array), field.type.value_field)
        rows = [] if inner is None else [pc.list_parent_indices(array)[inner].as_py()]
    elif pa.types.is_struct(field.type):
        rows = [_first_null(pc.struct_field(array, child.name), child) for child in field.type]
    return min((row for row in rows if row is not None), default=None)


def _columns(schema: pa.Schema) -> str:
    return "columns " + ", ".join(f"{field.name} ({field.type})" for field in schema)
