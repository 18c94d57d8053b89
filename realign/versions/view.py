"""Any set of versions as DuckDB views: records(version, …) and metrics(version, …)."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from realign.versions.load import Version

if TYPE_CHECKING:
    import duckdb

_SQL = Path(__file__).parent


def connect(versions: Iterable[Version]) -> "duckdb.DuckDBPyConnection":
    """An in-memory connection in which `records` and `metrics` hold all `versions`, told apart by name."""
    import pyarrow as pa
    named = {v.name: v for v in versions}.values()
    records = [v.records.add_column(0, "version", pa.array([v.name] * v.records.num_rows, pa.string()))
               for v in named]
    connection = _database().cursor()
    connection.register("loaded_records", pa.concat_tables(records))
    connection.register("loaded_metrics", pa.concat_tables(_metric_table(v) for v in named))
    connection.execute(sql("views"))
    return connection


@cache
def _database() -> "duckdb.DuckDBPyConnection":
    """An empty database, which takes longer to start than to compare two versions in it.

    One thread, so that sums of scores come out the same to the last bit.
    """
    import duckdb
    return duckdb.connect(config={"threads": 1})


def _metric_table(version: Version):
    import pyarrow as pa
    schema = pa.schema([("version", pa.string()), ("metric", pa.string()), ("value", pa.float64()),
                        ("n", pa.int64()), ("low", pa.float64()), ("high", pa.float64())])
    rows = [{"version": version.name, "metric": name, **metric} for name, metric in version.metrics.items()]
    return pa.Table.from_pylist(rows, schema)


def sql(name: str) -> str:
    """The text of `<name>.sql` beside this module."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


def rows(connection: "duckdb.DuckDBPyConnection", name: str, **parameters: str | int) -> list[dict]:
    """The rows of `<name>.sql` run with `parameters`."""
    found = connection.execute(sql(name), parameters)
    columns = [column[0] for column in found.description]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
