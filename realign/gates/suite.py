"""Reads a gate's suite, and adds to it what no verdict may do without.

A suite is Great Expectations' own suite JSON. It states what decides; conventions in its `meta` state the rest:
`evidence` is the least `n` of each metric (`*` of all), `counted` lists metrics that were counted, not estimated,
for which `n` is no evidence, `recorded` those that must merely be there, `remedy` says what to do (see
remedies.py), `needs` what a metric takes that not every run has (see needs.py), `members` what a group of metrics
must have as members (see members.py), `tables` maps a name to a Parquet file. An expectation with `meta.table` is
checked on the rows of that file, or on the members of that group of metrics (columns name, value, n, low, high).
One with `meta.warning` or `meta.info` stands for two or three: the same with those bounds and that severity.
Imports nothing heavy: a gate whose verdict is cached reads no more than this.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from realign import kinds
from realign.errors import UserError
from realign.files import read_json
from realign.gates.expectation import (
    BETWEEN,
    GREATER,
    NOT_NULL,
    ROW_COUNT,
    SEVERITIES,
    bounds,
    columns,
    metric_name,
    severity,
    table,
)
from realign.gates.needs import NEEDS
from realign.gates.remedies import SUFFIXES, remedy_of
from realign.words import is_number

SHARED = "remedies.json"
RANGE = ("min_value", "max_value", "strict_min", "strict_max")
LESSER = ("warning", "info")  # severities that may stand in an expectation's `meta`, with their bounds


def read_suite(path: Path) -> dict:
    """The suite at `path`, its form checked, bounds in `meta` written out, with the remedies that all suites share.

    Raises UserError naming the file, the expectation and what is wrong with it.
    """
    if not path.is_file():
        stages = [p.stem for p in path.parent.glob("*.json")]
        raise UserError("no suite for this stage", where=str(path), fix=suggest(path.stem, stages))
    suite = read_json(path)
    _check_form(suite, str(path))
    suite = suite | {"expectations": [each for e in suite["expectations"] for each in _written_out(e)]}
    _check_names(suite, str(path))
    return shared_remedies(suite, path)


def _written_out(expectation: dict) -> list[dict]:
    """The expectation, and those of lesser severity that stand in its `meta`, each with bounds of its own."""
    meta = expectation.get("meta", {})
    lesser = {weight: meta[weight] for weight in LESSER if weight in meta}
    plain = {key: value for key, value in meta.items() if key not in LESSER}
    rest = {key: value for key, value in expectation["kwargs"].items() if key not in RANGE}
    return [expectation | ({"meta": plain} if plain or lesser else {}),
            *(expectation | {"kwargs": rest | limits, "severity": weight, "meta": plain}
              for weight, limits in lesser.items())]


def shared_remedies(suite: dict, path: Path) -> dict:
    """The suite with what SHARED, beside the workflows' folders, says of its metrics; of one that the suite itself
    names, its own words count alone."""
    file, own = path.parents[1] / SHARED, suite.get("meta", {}).get("remedy", {})
    if not file.is_file():
        return suite
    said = read_json(file)
    if not META["remedy"][0](said):
        raise UserError("is no list of remedies", where=str(file), expected=META["remedy"][1])
    named = {name for name in _known(suite) if name not in own}
    found = {key: text for key, text in said.items() if any(key == name + end for name in named for end in SUFFIXES)}
    return suite | {"meta": suite.get("meta", {}) | {"remedy": found | own}} if found else suite


def with_evidence(suite: dict, where: str = "") -> dict:
    """The suite with the checks that let no verdict rest on nothing, and every expectation with its remedy.

    Great Expectations' bounds pass on nulls and on empty tables. So every metric that the suite judges or records is
    not null, has its least n (as severe as the strictest bound on it), and lies within its kind's range and its own
    interval; every table has rows, and every column that is read of it no null. Raises UserError for a metric of no
    declared kind, one whose least n is nowhere stated, and a bound without a remedy.
    """
    where = where or f"suite {suite['name']!r}"
    added = [e for metric, weight in metrics_of(suite).items() for e in _of_metric(metric, weight, suite, where)]
    added += [e for group, weight in groups_of(suite).items() for e in _of_group(group, weight, suite, where)]
    added += [e for name in _tables(suite) for e in _of_table(name, suite)]
    whole = [*added, *suite["expectations"]]
    return suite | {"expectations": [e | {"severity": severity(e), "meta": e.get("meta", {}) | {
        "remedy": remedy_of(e, suite, where)}} for e in whole]}


def metrics_of(suite: dict) -> dict[str, str]:
    """Every metric that the suite judges or records by name, with the severity of the strictest check on it."""
    found = dict.fromkeys(suite.get("meta", {}).get("recorded", []), "critical")
    judged = [(metric_name(c), severity(e)) for e in suite["expectations"] if table(e) is None for c in columns(e)]
    return _strictest([*found.items(), *judged])


def groups_of(suite: dict) -> dict[str, str]:
    """Every group of metrics that the suite judges, with the severity of the strictest check on it."""
    judged = [(table(e), severity(e)) for e in suite["expectations"] if table(e) is not None]
    return _strictest([(name, weight) for name, weight in judged if name not in _tables(suite)])


def _tables(suite: dict) -> dict[str, str]:
    """The file of each row table."""
    return suite.get("meta", {}).get("tables", {})


def _strictest(weighed: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name once, with the strictest of its severities; a name that is only noted (info) is not judged."""
    found: dict[str, str] = {}
    for name, weight in weighed:
        if weight != "info":
            found[name] = min(found.get(name, weight), weight)  # "critical" sorts before "warning"
    return found


def _read(suite: dict, name: str | None) -> list[str]:
    """Columns of a table, a group or the metrics that a check reads; what is only noted (info) does not count."""
    judged = [e for e in suite["expectations"] if table(e) == name and severity(e) != "info"]
    return list(dict.fromkeys(c for e in judged for c in columns(e)))


def _of_metric(metric: str, weight: str, suite: dict, where: str) -> Iterator[dict]:
    ends = [end for end in ("low", "high") if f"{metric}.{end}" in _read(suite, None)]
    return _evidence(metric, lambda part: metric if part == "value" else f"{metric}.{part}", ends, weight, suite, where)


def _of_group(group: str, weight: str, suite: dict, where: str) -> Iterator[dict]:
    ends = [end for end in ("low", "high") if end in _read(suite, group)]
    for expectation in _evidence(group, lambda part: part, ends, weight, suite, where):
        yield expectation | {"meta": expectation["meta"] | {"table": group}}


def _evidence(metric: str, column: Callable[[str], str], ends: list[str], weight: str, suite: dict,
              where: str) -> Iterator[dict]:
    """The evidence of one metric or group; `column` names the column of its value, n, low and high.

    `ends` are the ends of the interval that a bound reads, `weight` the severity of the check of n.
    """
    kind, meta = kinds.kind_of(metric, where), suite.get("meta", {})
    for part in ("value", *ends):
        yield _added("missing", NOT_NULL, column=column(part))
    if metric not in meta.get("counted", []):
        least = _least_n(metric, meta.get("evidence", {}), where)
        yield _added("n", BETWEEN, weight, column=column("n"), min_value=least)
    limits = {"min_value": kind.low, "max_value": kind.high}
    if limits := {name: bound for name, bound in limits.items() if bound is not None}:
        yield _added("impossible", BETWEEN, column=column("value"), **limits)
    for above, below in (("value", "low"), ("high", "value")):
        yield _added("impossible", GREATER, column_A=column(above), column_B=column(below), or_equal=True,
                     ignore_row_if="either_value_is_missing")


def _least_n(metric: str, evidence: dict[str, int], where: str) -> int:
    if metric not in evidence and "*" not in evidence:
        raise UserError(f"{metric!r} is judged on any number of examples", where=where,
                        expected='meta.evidence with the least n, such as {"*": 100}',
                        fix="or list it in meta.counted, if it was counted, not estimated")
    return evidence.get(metric, evidence.get("*"))


def _of_table(name: str, suite: dict) -> Iterator[dict]:
    """Some rows, and no null in a column that is read."""
    yield _added("missing", ROW_COUNT, table=name, min_value=1)
    for column in _read(suite, name):
        yield _added("missing", NOT_NULL, table=name, column=column)


def _added(topic: str, kind: str, weight: str = "critical", table: str | None = None, **kwargs: object) -> dict:
    place = {"table": table} if table else {}
    return {"type": kind, "kwargs": kwargs, "severity": weight, "meta": place | {"evidence": topic}}


def _check_form(suite: dict, where: str) -> None:
    """Every part that this package reads is there and of the right type."""
    if not isinstance(suite.get("name"), str) or not isinstance(suite.get("meta", {}), dict):
        raise UserError("suite without a name, or with a `meta` that is no object", where=where,
                        expected="Great Expectations' suite format: name, expectations, meta")
    if not isinstance(suite.get("expectations"), list) or not suite["expectations"]:
        raise UserError("suite without expectations would let everything pass", where=where,
                        expected="a list `expectations` with at least one")
    for key, value in suite.get("meta", {}).items():
        if key not in META:
            raise UserError(f"unknown key meta.{key}", where=where, fix=suggest(key, META))
        fits, expected = META[key]
        if not fits(value):
            raise UserError(f"meta.{key} is {value!r}", where=where, expected=expected)
    for i, expectation in enumerate(suite["expectations"]):
        _check_expectation(expectation, _tables(suite), f"{where}, expectation {i + 1}")


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _object(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(fits(item) for item in value.values())


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _inside(value: object) -> bool:
    return _text(value) and not value.startswith("/") and ".." not in PurePosixPath(value).parts


META = {  # key of a suite's `meta` -> (what fits, in words)
    "note": (lambda value: _text(value) or _names(value), "a sentence or a list of sentences"),
    "tables": (_object(_inside), "a name and a path inside the project, relative to its root, for each table"),
    "evidence": (_object(lambda n: is_number(n) and n >= 1 and n == int(n)),
                 'a least number of examples, 1 or more, for each metric, such as {"*": 100}'),
    "counted": (_names, "a list of metrics"), "recorded": (_names, "a list of metrics"),
    "remedy": (_object(_text), "for each metric what to do when it fails"),
    "members": (lambda value: _object(lambda m: _text(m) or _names(m))(value) and all(map(kinds.declared, value)),
                "for each group of metrics (such as retention) a group of the baseline's metrics, or a list of names"),
    "needs": (_object(lambda need: need in NEEDS), f"for each metric what it takes: {' or '.join(NEEDS)}"),
}


def _check_expectation(expectation: object, tables: dict, where: str) -> None:
    parts = expectation if isinstance(expectation, dict) else {}
    if not (isinstance(parts.get("type"), str) and isinstance(parts.get("kwargs"), dict)
            and isinstance(parts.get("meta", {}), dict)):
        raise UserError("not an expectation", where=where, expected="type, kwargs, severity")
    if not all(isinstance(column, str) for column in columns(expectation)):
        raise UserError(f"a column of {expectation['type']} is no text", where=where, expected="column names")
    if severity(expectation) not in SEVERITIES:
        raise UserError(f"unknown severity {severity(expectation)!r}", where=where, expected=", ".join(SEVERITIES))
    if not _text(expectation.get("meta", {}).get("remedy", "none of its own")):
        raise UserError(f"{expectation['type']} does not say what to do when it fails", where=where,
                        expected="a sentence as meta.remedy")
    for weight in LESSER:
        limits = expectation.get("meta", {}).get(weight)
        if limits is not None and not (expectation["type"] == BETWEEN and isinstance(limits, dict) and limits
                                       and limits.keys() <= {*RANGE} and severity(expectation) == "critical"):
            raise UserError(f"meta.{weight} is {limits!r}", where=where,
                            expected="other bounds of a critical expectation of values, such as {\"min_value\": 0.98}")
    name = table(expectation)
    if name is not None and name not in tables and not kinds.declared(str(name)):
        raise UserError(f"unknown table {name!r}", where=where,
                        expected="a name in meta.tables, or a group of metrics (such as retention)",
                        fix=suggest(str(name), {*tables, *kinds.FAMILIES}))
    if name in tables:
        return
    if {"mostly", "row_condition"} & expectation["kwargs"].keys():
        raise UserError(f"{expectation['type']} may skip a metric", where=where,
                        fix="leave `mostly` and `row_condition` to expectations on rows")
    of_all = [b for each in _written_out(expectation) for b in bounds(each)]
    if wrong := [b for b in of_all if b is not None and not is_number(b)]:
        raise UserError(f"{wrong[0]!r} is no bound", where=where, expected="a number")


def _check_names(suite: dict, where: str) -> None:
    """What `meta` says of a metric, it says of one that the suite judges or records."""
    meta, known = suite.get("meta", {}), _known(suite)
    said = {"counted": known, "evidence": known | {"*"}, "needs": known,
            "remedy": {n + suffix for n in known for suffix in SUFFIXES}}
    for key, allowed in said.items():
        for name in meta.get(key, []):
            if name not in allowed:
                raise UserError(f"meta.{key} names {name!r}, which the suite neither judges nor records", where=where,
                                fix=suggest(name, known))


def _known(suite: dict) -> set[str]:
    """The metrics and groups that the suite judges or records."""
    meta = suite.get("meta", {})
    judged = {metric_name(c) for e in suite["expectations"] if table(e) is None for c in columns(e)}
    return judged | {*meta.get("recorded", []), *groups_of(suite), *meta.get("members", [])}


def layout(suite: dict) -> str:
    """The suite as text, one line an expectation, so that a changed threshold is a changed line."""
    spread = {"note", "remedy"}
    meta = [f"  {json.dumps(key)}: {_lines(value) if key in spread and not _text(value) else _line(value)}"
            for key, value in suite.get("meta", {}).items()]
    expectations = [f"  {_line(e)}" for e in suite["expectations"]]
    return "\n".join([
        "{", f' "name": {_line(suite["name"])},',
        *([' "meta": {', ",\n".join(meta), " },"] if meta else []),
        ' "expectations": [', ",\n".join(expectations), " ]", "}", ""])


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(value: list | dict) -> str:
    """A list or an object, one item a line."""
    opened, closed = "[]" if isinstance(value, list) else "{}"
    items = map(_line, value) if isinstance(value, list) else (f"{_line(k)}: {_line(v)}" for k, v in value.items())
    return f"{opened}\n" + ",\n".join(f"   {item}" for item in items) + f"\n  {closed}"


def suggest(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: the closest known one, else all of them."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else "known: " + (", ".join(known) or "none")
