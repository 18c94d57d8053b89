"""The frames that a suite is checked on: one row of metrics, one row a member of a group, and the row tables.

Great Expectations takes pandas. Of a row table it gets no more than its expectations need: of a text its length, of
a unique column a number that stands for the value. The texts themselves never leave polars.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realign.errors import UserError
from realign.files import read_json
from realign.gates.expectation import BETWEEN, LENGTHS, NOT_NULL, PARTS, UNIQUE, columns, metric_name, table
from realign.gates.suite import suggest
from realign.metrics import flatten

if TYPE_CHECKING:
    import polars as pl

METRICS = None  # key of the metrics frame, as expectation.table() names it
Frame = Any  # a pandas frame, as Great Expectations takes it, made by polars
GROUP = ("value", *PARTS)  # the columns of a group's frame, after `name`


def read_metrics(path: Path) -> dict[str, dict[str, float]]:
    """`value`, `n`, `low` and `high` of every metric in the file, by the metric's dotted name.

    Null, missing and infinite numbers become NaN, a missing `n` 0. Entries that are no metric are left out.
    Where a group has `rows.in`, `rows.kept` and `rows.rejected`, the rows that these leave
    unaccounted for are counted as `rows.unaccounted`, and the share that was kept is `rows.kept_share`.
    """
    found = {}
    for name, entry in flatten(read_json(path)).items():
        entry = {"value": None} if entry is None else entry
        if isinstance(entry, Mapping) and "value" in entry:
            numbers = {part: _number(entry.get(part), path, f"{name}.{part}") for part in PARTS}
            found[name] = {"value": _number(entry["value"], path, name)} | numbers
            found[name]["n"] = 0.0 if math.isnan(numbers["n"]) else numbers["n"]
    return found | _counted(found)


def _number(value: object, path: Path, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{name} is {value!r}", where=str(path), expected="a number or null")
    return float(value) if math.isfinite(value) else math.nan


def _counted(metrics: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    extra = {}
    for name in metrics:
        group = name.removesuffix("rows.in")
        counts = [metrics[f"{group}rows.{part}"]["value"] for part in ("in", "kept", "rejected")
                  if f"{group}rows.{part}" in metrics]
        if name.endswith("rows.in") and len(counts) == 3:
            lost = counts[0] - counts[1] - counts[2]
            extra[f"{group}rows.unaccounted"] = {"value": lost, "n": counts[0], "low": lost, "high": lost}
            share = counts[1] / counts[0] if counts[0] else math.nan
            extra[f"{group}rows.kept_share"] = {"value": share, "n": counts[0], "low": share, "high": share}
    return extra


def build_frames(suite: dict, metrics: dict[str, dict[str, float]], root: Path,
                 where: str) -> dict[str | None, Frame]:
    """One row of the metrics that the suite names, a frame of each group, and each row table, projected.

    Raises UserError where the suite names a metric, a group, a file or a column that is not there.
    """
    tables = suite.get("meta", {}).get("tables", {})
    frames = {METRICS: _metrics_frame(suite, metrics, where)}
    groups = dict.fromkeys(table(e) for e in suite["expectations"] if table(e) not in (METRICS, *tables))
    frames |= {group: _group_frame(group, metrics, where) for group in groups}
    for name, file in tables.items():
        frames[name] = _read_table(root / file, file, [e for e in suite["expectations"] if table(e) == name])
    return frames


def _metrics_frame(suite: dict, metrics: dict[str, dict[str, float]], where: str) -> Frame:
    """Columns `kl`, `kl.n`, `kl.low` and `kl.high` of every metric that the suite names, in one row."""
    import polars as pl

    row = {}
    for column in (c for e in suite["expectations"] if table(e) is None for c in columns(e)):
        name = metric_name(column)
        if name not in metrics:
            raise UserError(f"the suite names a metric that the stage does not write: {column!r}",
                            where=where, fix=suggest(name, metrics))
        row |= {name if part == "value" else f"{name}.{part}": metrics[name][part] for part in GROUP}
    return pl.DataFrame([row], dict.fromkeys(row, pl.Float64)).to_pandas()


def _group_frame(group: str, metrics: dict[str, dict[str, float]], where: str) -> Frame:
    """One row a member, in the file's order: its name without the group's, then value, n, low and high."""
    import polars as pl

    members = {name.removeprefix(f"{group}."): parts for name, parts in metrics.items() if name.startswith(f"{group}.")}
    if not members:
        raise UserError(f"the suite judges a group of metrics that the stage does not write: {group!r}", where=where,
                        fix=suggest(group, {name.rpartition(".")[0] or name for name in metrics}))
    rows = [{"name": name} | {part: parts[part] for part in GROUP} for name, parts in members.items()]
    return pl.DataFrame(rows, {"name": pl.String} | dict.fromkeys(GROUP, pl.Float64)).to_pandas()


# What an expectation needs of a text column, where that is less than the text.
NEEDS = {
    NOT_NULL: "present", LENGTHS: "length", UNIQUE: "code", "expect_compound_columns_to_be_unique": "code",
    "expect_column_values_to_be_in_set": "category", "expect_column_values_to_not_be_in_set": "category",
    "expect_column_distinct_values_to_be_in_set": "category",
    "expect_column_distinct_values_to_contain_set": "category",
    "expect_column_distinct_values_to_equal_set": "category",
    "expect_select_column_values_to_be_unique_within_record": "hash",
}


def need(expectation: dict) -> str:
    """What the expectation needs of its columns: present, length, code, hash, category, or the whole value."""
    whole = "row_condition" in expectation["kwargs"]  # a condition names columns as they are
    return "whole" if whole else NEEDS.get(expectation["type"], "whole")


def narrowed(expectation: dict) -> dict:
    """The expectation as it is put to the frame of a row table: its columns named after what it needs of them.

    An expectation of lengths becomes one of numbers, since the frame holds the lengths.
    """
    what, kwargs = need(expectation), dict(expectation["kwargs"])
    for key in {"column", "column_A", "column_B"} & kwargs.keys():
        kwargs[key] = _named(kwargs[key], what)
    if "column_list" in kwargs:
        kwargs["column_list"] = [_named(column, what) for column in kwargs["column_list"]]
    return expectation | {"type": BETWEEN if what == "length" else expectation["type"], "kwargs": kwargs}


def _named(column: str, what: str) -> str:
    return column if what == "whole" else f"{column} ({what})"


def _read_table(path: Path, shown: str, expectations: list[dict]) -> Frame:
    """What the expectations need of the Parquet file, read in batches; without any column, its rows counted."""
    import polars as pl

    wanted = list(dict.fromkeys((column, need(e)) for e in expectations for column in columns(e)))
    try:
        rows = pl.scan_parquet(path)
        known = rows.collect_schema()
        for column, _ in wanted:
            if column not in known:
                raise UserError(f"no column {column!r}", where=shown, fix=suggest(column, known))
        if not wanted:
            return pl.DataFrame({"rows": range(rows.select(pl.len()).collect().item())}).to_pandas()[[]]
        made = [_projection(column, what, known[column], shown).alias(_named(column, what)) for column, what in wanted]
        # Ranks need the whole column: taken of the hashes, when these are all that is held.
        codes = [pl.col(_named(column, what)).rank("dense") for column, what in wanted
                 if what == "code" and not _small(known[column])]
        return rows.select(made).collect(engine="streaming").with_columns(codes).to_pandas()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"unreadable Parquet: {error}", where=shown,
                        fix="run the stage that writes it again") from error


def _small(kind: "pl.DataType") -> bool:
    """Whether values of this type are as small as anything that could stand for them."""
    import polars as pl

    return kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean


def _projection(column: str, what: str, kind: "pl.DataType", shown: str) -> "pl.Expr":
    """The expression, row by row, that makes of a column what an expectation needs of it; null stays null.

    Two texts have the same 64-bit hash, and so the same code, by chance among 5 million in one case of a million
    (n²/2⁶⁵).
    """
    import polars as pl

    value = pl.col(column)
    if what == "length" and kind not in (pl.String, pl.Null):
        raise UserError(f"column {column!r} holds {kind}, which has no length", where=shown, expected="text")
    if what == "length":
        return value.cast(pl.String).str.len_chars()
    if what == "whole" or _small(kind):
        return value
    if what == "present":
        return pl.when(value.is_not_null()).then(pl.lit(1, pl.Int8))
    if what in ("code", "hash"):  # a code is a rank within its own column, so columns are compared by their hashes
        return pl.when(value.is_not_null()).then(value.hash())
    return value.cast(pl.Categorical)
