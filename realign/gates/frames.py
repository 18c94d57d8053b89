"""The frames that a suite is checked on: one row of metrics, and the row tables it names."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from realign.errors import UserError
from realign.gates.suite import PARTS, columns, metric_name, read_object, suggest, table
from realign.metrics import flatten

if TYPE_CHECKING:
    import pandas as pd

METRICS = None  # key of the metrics frame, as suite.table() names it


def read_metrics(path: Path) -> dict[str, float]:
    """One number a column: `kl`, `kl.n`, `kl.low`, `kl.high` of every metric in the file.

    Null, missing and infinite numbers become NaN, a missing `n` 0. Entries that are no metric are left out.
    Where a group has `rows.in`, `rows.kept` and `rows.rejected`, the rows that these leave
    unaccounted for are counted as `rows.unaccounted`.
    """
    row = {}
    for name, entry in flatten(read_object(path)).items():
        if entry is None:
            entry = {"value": None}
        if isinstance(entry, Mapping) and "value" in entry:
            row[name] = _number(entry["value"], path, name)
            row |= {f"{name}.{part}": _number(entry.get(part), path, f"{name}.{part}") for part in PARTS}
            row[f"{name}.n"] = 0.0 if math.isnan(row[f"{name}.n"]) else row[f"{name}.n"]
    return row | _unaccounted(row)


def _number(value: object, path: Path, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"{name} is {value!r}", where=str(path), expected="a number or null")
    return float(value) if math.isfinite(value) else math.nan


def _unaccounted(row: dict[str, float]) -> dict[str, float]:
    extra = {}
    for name in row:
        group = name.removesuffix("rows.in")
        parts = [row.get(f"{group}rows.{part}") for part in ("in", "kept", "rejected")]
        if name.endswith("rows.in") and None not in parts:
            lost = parts[0] - parts[1] - parts[2]
            extra |= {f"{group}rows.unaccounted{part}": lost for part in ("", ".low", ".high")}
            extra[f"{group}rows.unaccounted.n"] = parts[0]
    return extra


def build_frames(suite: dict, metrics: dict[str, float], root: Path,
                 where: str) -> "dict[str | None, pd.DataFrame]":
    """The metrics as one row of float64, and each row table with just the columns that the suite names.

    Raises UserError where the suite names a metric, a file or a column that is not there.
    """
    import pandas as pd

    wanted = _wanted(suite)
    for column in wanted.get(METRICS, []):
        if column not in metrics:
            known = {metric_name(c) for c in metrics}
            raise UserError(f"the suite names a metric that the stage does not write: {column!r}",
                            where=where, fix=suggest(metric_name(column), known))
    frames = {METRICS: pd.DataFrame([metrics], dtype="float64")}
    for name, file in suite.get("meta", {}).get("tables", {}).items():
        frames[name] = _read_table(root / file, file, wanted.get(name, []))
    return frames


def _wanted(suite: dict) -> dict[str | None, list[str]]:
    wanted = {}
    for expectation in suite["expectations"]:
        names = wanted.setdefault(table(expectation), [])
        names += [c for c in columns(expectation) if c not in names]
    return wanted


def _read_table(path: Path, shown: str, wanted: list[str]) -> "pd.DataFrame":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        known = pq.read_schema(path).names
        for column in wanted:
            if column not in known:
                raise UserError(f"no column {column!r}", where=shown, fix=suggest(column, known))
        return pq.read_table(path, columns=wanted).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"unreadable Parquet: {error}", where=shown,
                        fix="run the stage that writes it again") from error
