"""Reads a gate's suite and refuses one that could pass without evidence.

A suite is Great Expectations' own suite JSON. Two conventions stand in its `meta`:
`tables` maps a name to a Parquet file, and an expectation with `meta.table` is checked on those rows;
`counted` lists metrics that were counted, not estimated, for which `n` is no evidence.
Imports nothing heavy: a gate whose verdict is cached reads no more than this.
"""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from realign.errors import UserError

SEVERITIES = ("critical", "warning", "info")
PARTS = ("n", "low", "high")
NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
ROW_COUNT = "expect_table_row_count_to_be_between"


def severity(expectation: dict) -> str:
    """The expectation's severity; Great Expectations' default is critical."""
    return expectation.get("severity", "critical")


def table(expectation: dict) -> str | None:
    """Name of the row table that the expectation reads; None for the metrics."""
    return expectation.get("meta", {}).get("table")


def columns(expectation: dict) -> list[str]:
    """Columns that the expectation reads, in order."""
    kwargs = expectation["kwargs"]
    single = [kwargs[k] for k in ("column", "column_A", "column_B") if k in kwargs]
    return single + list(kwargs.get("column_list", []))


def metric_name(column: str) -> str:
    """The metric that a column of the metrics frame belongs to: `kl.n` and `kl` are both of `kl`."""
    name, _, part = column.rpartition(".")
    return name if name and part in PARTS else column


def suggest(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: the closest known one, else all of them."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else "known: " + (", ".join(known) or "none")


def read_suite(path: Path) -> dict:
    """The suite at `path`, its form and its demands for evidence checked.

    Raises UserError naming the file, the expectation and what it lacks.
    """
    if not path.is_file():
        stages = [p.stem for p in path.parent.glob("*.json")]
        raise UserError("no suite for this stage", where=str(path), fix=suggest(path.stem, stages))
    suite = read_object(path)
    _check_form(suite, str(path))
    _check_evidence(suite, str(path))
    return suite


def read_object(path: Path) -> dict:
    """The JSON object in a file; UserError with line and column where it is none."""
    try:
        value = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise UserError(f"broken JSON: {error.msg}",
                        where=f"{path}, line {error.lineno}, column {error.colno}",
                        fix="mend the line, or take the file back from git") from error
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 at byte {error.start}", where=str(path)) from error
    if not isinstance(value, dict):
        raise UserError(f"holds a {type(value).__name__}", where=str(path), expected="a JSON object")
    return value


def _check_form(suite: dict, where: str) -> None:
    """Every part that this package reads is there and of the right type."""
    if not isinstance(suite.get("name"), str) or not isinstance(suite.get("meta", {}), dict):
        raise UserError("suite without a name, or with a `meta` that is no object", where=where,
                        expected="Great Expectations' suite format: name, expectations, meta")
    if not isinstance(suite.get("expectations"), list) or not suite["expectations"]:
        raise UserError("suite without expectations would let everything pass", where=where,
                        expected="a list `expectations` with at least one")
    tables = suite.get("meta", {}).get("tables", {})
    for name, file in tables.items():
        if not isinstance(file, str) or file.startswith("/") or ".." in PurePosixPath(file).parts:
            raise UserError(f"table {name!r} lies outside the project: {file!r}", where=where,
                            expected="a path inside the project, relative to its root")
    for i, expectation in enumerate(suite["expectations"]):
        _check_expectation(expectation, tables, f"{where}, expectation {i + 1}")


def _check_expectation(expectation: object, tables: dict, where: str) -> None:
    parts = expectation if isinstance(expectation, dict) else {}
    if not (isinstance(parts.get("type"), str) and isinstance(parts.get("kwargs"), dict)
            and isinstance(parts.get("meta", {}), dict)):
        raise UserError("not an expectation", where=where, expected="type, kwargs, severity, meta")
    if not all(isinstance(column, str) for column in columns(expectation)):
        raise UserError(f"a column of {expectation['type']} is no text", where=where, expected="column names")
    if severity(expectation) not in SEVERITIES:
        raise UserError(f"unknown severity {severity(expectation)!r}", where=where,
                        expected=", ".join(SEVERITIES))
    if severity(expectation) != "info" and not expectation.get("meta", {}).get("remedy"):
        raise UserError(f"{expectation['type']} does not say what to do when it fails", where=where,
                        expected="meta.remedy")
    if table(expectation) is None and {"mostly", "row_condition"} & expectation["kwargs"].keys():
        raise UserError(f"{expectation['type']} may skip the one row of metrics", where=where,
                        fix="leave `mostly` and `row_condition` to expectations on tables")
    if table(expectation) is not None and table(expectation) not in tables:
        raise UserError(f"unknown table {table(expectation)!r}", where=where,
                        fix=f"name its file in meta.tables; {suggest(table(expectation), tables)}")


def _check_evidence(suite: dict, where: str) -> None:
    """Map expectations pass on nulls and on empty tables, so the suite must rule both out itself."""
    gated = [e for e in suite["expectations"] if severity(e) != "info"]
    never_null = {(table(e), c) for e in gated if _forbids_null(e) for c in columns(e)}
    demands_n = {(severity(e), c) for e in gated if table(e) is None and _demands(e, BETWEEN)
                 for c in columns(e)}
    counted = suite.get("meta", {}).get("counted", [])
    rows = {table(e) for e in gated if severity(e) == "critical" and _demands(e, ROW_COUNT)}
    for expectation in gated:
        name = table(expectation)
        if name is not None and name not in rows:
            raise UserError(f"table {name!r} may be empty", where=where,
                            fix=f"add a critical {ROW_COUNT} with min_value of at least 1")
        for column in columns(expectation):
            # A missing n counts as 0, so `.n` columns hold no nulls.
            if (name, column) not in never_null and not (name is None and column.endswith(".n")):
                raise UserError(f"{column!r} may be null, and nulls pass {expectation['type']}", where=where,
                                fix=f"add a critical {NOT_NULL} for it")
            metric, own = metric_name(column), severity(expectation)
            # Weaker evidence than the bound itself would let a critical bound pass on one example.
            weights = SEVERITIES[:2] if expectation["type"] == NOT_NULL else ("critical", own)
            evidence = {(weight, f"{metric}.n") for weight in weights}
            if name is None and metric not in counted and not evidence & demands_n:
                raise UserError(f"{metric!r} is judged on any number of examples", where=where,
                                fix=f"add a {own} {BETWEEN} with a min_value for '{metric}.n', or list it "
                                    "in the suite's meta.counted if it was counted, not estimated")


def _forbids_null(expectation: dict) -> bool:
    kwargs = expectation["kwargs"]
    return (expectation["type"] == NOT_NULL and severity(expectation) == "critical"
            and kwargs.get("mostly", 1) == 1 and not kwargs.get("row_condition"))


def _demands(expectation: dict, kind: str) -> bool:
    least = expectation["kwargs"].get("min_value")
    return (expectation["type"] == kind and isinstance(least, (int, float)) and least >= 1
            and not expectation["kwargs"].get("row_condition"))
