"""Every suite in expectations/ does what it says: all cases here are derived from the suites themselves.

Cases of metrics are rows of one frame, so that Great Expectations judges all of a suite's cases at once.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from realign.errors import UserError
from realign.gates.expectation import BETWEEN, GREATER, LENGTHS, NOT_NULL, ROW_COUNT, UNIQUE, columns, severity, table
from realign.gates.frames import build_frames, read_metrics
from realign.gates.remedies import BROKEN, COMMON
from realign.gates.suite import layout, read_suite, with_evidence
from realign.gates.verdict import judge, remedy_said, tier
from realign.kinds import kind_of
from tests.workflows.clean import (
    APART,
    COMPOUND,
    CONTAIN_SET,
    EXPECTATIONS,
    EXTRA,
    IN_SET,
    Bound,
    Parts,
    as_file,
    bounds_of,
    clean_metrics,
    clean_rows,
    groups_of,
    judged_together,
    least_n,
    metrics_named,
    read,
    tables_of,
)

SUITES = sorted(EXPECTATIONS.glob("*/*.json"))
each_suite = pytest.mark.parametrize("path", SUITES, ids=lambda p: f"{p.parent.name}/{p.stem}")
ORDER = {"critical": "REJECT", "warning": "MEDIUM"}


@dataclass(frozen=True)
class Case:
    """One metric with other numbers, and what the gate must then say."""

    name: str
    metric: str
    parts: Parts
    severity: str | None  # of the check that this case is about, where it fails
    topic: str  # of the remedy: low, high, missing, n, impossible


def subjects(suite: dict) -> list[tuple[str, str]]:
    """(metric, what its bounds and its evidence are stated for) of every metric, and one member of every group."""
    return ([(name, name) for name in metrics_named(suite)]
            + [(f"{group}.{[*members, EXTRA][-1]}", group) for group, members in groups_of(suite).items()])


def moved(parts: Parts, part: str, number: float) -> Parts:
    """The parts with one of them moved, and the others as far as the value must stay in its interval."""
    new = parts | {part: number}
    if part == "low":
        new["value"] = max(new["value"], number)
    if part == "high":
        new["value"] = min(new["value"], number)
    return new | {"low": min(new["low"], new["value"]), "high": max(new["high"], new["value"])}


def bound_cases(suite: dict) -> list[Case]:
    """Each bound a hair inside, at itself, and a hair outside."""
    clean, made = clean_metrics(suite), []
    for bound in bounds_of(suite):
        metric = next(m for m, subject in subjects(suite) if subject == bound.subject)
        for side, limit, strict in (("low", bound.low, bound.strict_low), ("high", bound.high, bound.strict_high)):
            if limit is None:
                continue
            hair = 1e-6 * max(1.0, abs(limit)) * (1 if side == "low" else -1)
            fails = {"inside": False, "at": strict, "outside": True}
            if bound.low == bound.high:
                del fails["inside"]
            for where, number in (("inside", limit + hair), ("at", limit), ("outside", limit - hair)):
                if where in fails:
                    made.append(Case(f"{metric} {bound.part} {where} {side} {limit} {bound.severity}", metric,
                                     moved(clean[metric], bound.part, number),
                                     bound.severity if fails[where] else None, side))
    return made


def evidence_cases(suite: dict) -> list[Case]:
    """Each metric without a number, on too few examples, impossible for its kind, and outside its own interval."""
    clean, made = clean_metrics(suite), []
    for metric, subject in subjects(suite):
        parts, kind = clean[metric], kind_of(subject, "a test")
        made.append(Case(f"{metric} missing", metric, parts | {"value": math.nan}, "critical", "missing"))
        for part in {b.part for b in bounds_of(suite) if b.subject == subject} - {"value"}:
            made.append(Case(f"{metric} without its {part}", metric, parts | {part: math.nan}, "critical", "missing"))
        if (least := least_n(suite, subject)) is not None:
            made.append(Case(f"{metric} on enough", metric, parts | {"n": least}, None, "n"))
            made.append(Case(f"{metric} on too few", metric, parts | {"n": least - 1}, weight(suite, subject), "n"))
        for limit, hair in ((kind.low, -1e-6), (kind.high, 1e-6)):
            if limit is not None:
                made.append(Case(f"{metric} at {limit}, possible", metric, moved(parts, "value", limit), None, ""))
                made.append(Case(f"{metric} beyond {limit}, impossible", metric, moved(parts, "value", limit + hair),
                                 "critical", "impossible"))
        for end, value in (("low", parts["low"] - 1e-6), ("high", parts["high"] + 1e-6)):
            made.append(Case(f"{metric} beyond its own {end}", metric, parts | {"value": value}, "critical",
                             "impossible"))
    return made


def weight(suite: dict, subject: str) -> str:
    """How much too few examples weigh: as much as the strictest check on the metric."""
    judged = {severity(e) for e in suite["expectations"]
              if subject == table(e) or (table(e) is None and subject in {c.removesuffix(".low").removesuffix(".high")
                                                                          for c in columns(e)})}
    return "critical" if subject in suite["meta"].get("recorded", []) or "critical" in judged else "warning"


def remedy(suite: dict, metric: str, subject: str, topic: str) -> str:
    """What the suite says for a case; the common words where it says nothing."""
    said = suite["meta"].get("remedy", {})
    text = said.get(f"{subject}.{topic}") or (COMMON.get(topic) or said[subject])
    return text.replace("{name}", metric.removeprefix(f"{subject}."))


@cache
def verdicts(path: Path) -> dict[str, tuple[Case, dict]]:
    """Every case by its name, with its verdict; the clean case under ""."""
    suite = read(path)
    whole, clean = with_evidence(suite), clean_metrics(suite)
    cases = [Case("", EXTRA, clean[EXTRA], None, ""), *bound_cases(suite), *evidence_cases(suite)]
    kept = [e for e in whole["expectations"] if table(e) not in tables_of(suite)]
    found = judged_together(whole | {"meta": {}, "expectations": kept},
                            [clean | {case.metric: case.parts} for case in cases])
    return {case.name: (case, {"tier": tier([c for c, _ in checks]), "checks": [c for c, _ in checks],
                               "remedy": remedy_said([c for c, _ in checks], [r for _, r in checks])})
            for case, checks in zip(cases, found, strict=True)}


def violated(suite: dict, case: Case) -> list[Bound]:
    """The bounds that the case's numbers break, by plain comparison."""
    subject = dict(subjects(suite))[case.metric]
    return [b for b in bounds_of(suite) if b.subject == subject and not b.holds(case.parts[b.part])]


@each_suite
def test_every_bound_and_all_evidence_decide(path):
    """The tier follows from the bounds that are broken and the case's own; the remedy is the right one."""
    suite, found = read(path), verdicts(path)
    assert len(found) > len(bounds_of(suite))
    for name, (case, verdict) in found.items():
        if name:
            said = decided(suite, case, verdict)
            assert not said, f"{name}: {said}"


def decided(suite: dict, case: Case, verdict: dict) -> str:
    """What of a verdict does not follow from its case; empty where all does."""
    subject = dict(subjects(suite))[case.metric]
    broken = {b.severity for b in violated(suite, case)} | ({case.severity} - {None})
    if verdict["tier"] != ("REJECT" if "critical" in broken else "MEDIUM" if broken else "HIGH"):
        return f"{verdict['tier']}, though broken: {broken}"
    failed = [c for c in verdict["checks"] if not c["passed"] and c["severity"] != "info"]
    about = {c["metric"].removesuffix(".n").removesuffix(".low").removesuffix(".high") for c in failed}
    if {c["severity"] for c in failed} != broken or not about <= {case.metric}:
        return f"failed: {failed}"
    if case.severity and ORDER[case.severity] == verdict["tier"]:
        wanted = remedy(suite, case.metric, subject, case.topic)
        return "" if wanted in verdict["remedy"] else f"no {wanted!r} in {verdict['remedy']!r}"
    return f"remedy {verdict['remedy']!r}" if not broken and verdict["remedy"] else ""


@each_suite
def test_checks_tell_figure_interval_and_n(path):
    for case, verdict in list(verdicts(path).values())[1:]:
        checks = [c for c in verdict["checks"] if c["metric"] == case.metric]
        told = {(c["observed"], c["low"], c["high"], c["n"]) for c in checks}
        rounded = {k: None if math.isnan(v) else round(v, 6) for k, v in case.parts.items()}
        assert told == {(rounded["value"], rounded["low"], rounded["high"], case.parts["n"])}, case


@each_suite
def test_a_suite_has_the_name_of_its_stage_and_one_line_an_expectation(path):
    text = path.read_text(encoding="utf-8")
    assert json.loads(text)["name"] == f"{path.parent.name}.{path.stem}"
    assert layout(json.loads(text)) == text, f"write it as {layout(json.loads(text))}"


@each_suite
def test_the_whole_suite_loads_in_great_expectations(path):
    import great_expectations as gx

    whole = json.loads(layout(with_evidence(read_suite(path))))
    loaded = gx.ExpectationSuite(**whole)
    assert len(loaded.expectations) == len(whole["expectations"])
    for given, built in zip(whole["expectations"], loaded.expectations, strict=True):
        assert (built.expectation_type, built.severity.value) == (given["type"], given["severity"])
        assert given["kwargs"].items() <= built.configuration.kwargs.items()
        assert given["meta"]["remedy"]


@each_suite
def test_no_expectation_stands_twice(path):
    shown = [json.dumps([e["type"], e["kwargs"], table(e)], sort_keys=True) for e in read(path)["expectations"]]
    assert len(shown) == len(set(shown))


@each_suite
def test_a_judged_group_says_which_members_must_be_there(path):
    assert all(groups_of(read(path)).values())


@each_suite
def test_clean_metrics_and_rows_are_high(path, tmp_path):
    """Through the files, as a gate reads them, with a metric and a member that the suite knows nothing of."""
    suite = read(path)
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps(as_file(clean_metrics(suite))))
    for name, place in tables_of(suite).items():
        write_rows(tmp_path / place, clean_rows(suite, name))
    whole = with_evidence(read_suite(path))
    verdict = judge(path.parent.name, path.stem, whole, build_frames(whole, read_metrics(file), tmp_path, "here"))
    failed = [c for c in verdict["checks"] if not c["passed"] and c["severity"] != "info"]
    assert (verdict["tier"], failed, verdict["remedy"]) == ("HIGH", [], "")
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict


MISSING = [(path, metric) for path in SUITES for metric in metrics_named(read(path))]


@pytest.mark.parametrize(("path", "metric"), MISSING, ids=[f"{p.parent.name}/{p.stem}: {m}" for p, m in MISSING])
def test_a_metric_that_the_stage_does_not_write_is_named(path, metric):
    metrics = clean_metrics(read(path))
    metrics[f"{metric}x"] = metrics.pop(metric)
    with pytest.raises(UserError, match=f"does not write: '{metric}'") as error:
        build_frames(with_evidence(read(path)) | {"meta": {}}, metrics, path.parent, "here")
    assert f"did you mean '{metric}x'?" in str(error.value)


GROUPS = [(path, group) for path in SUITES for group in groups_of(read(path))]


@pytest.mark.parametrize(("path", "group"), GROUPS, ids=[f"{p.parent.name}/{p.stem}: {g}" for p, g in GROUPS])
def test_a_lost_member_is_named_and_a_lost_group_too(path, group):
    suite = read(path)
    whole = with_evidence(suite)
    whole["expectations"] = [e for e in whole["expectations"] if table(e) == group]
    whole["meta"] = {}
    members = groups_of(suite)[group]
    metrics = {name: parts for name, parts in clean_metrics(suite).items() if name != f"{group}.{members[0]}"}
    verdict = judge("w", "s", whole, build_frames(whole, metrics, path.parent, "here"))
    said = suite["meta"].get("remedy", {}).get(f"{group}.missing", COMMON["missing"])
    assert (verdict["tier"], verdict["remedy"]) == ("REJECT", said.replace("{name}", members[0]))
    assert [c["metric"] for c in verdict["checks"] if not c["passed"]] == [f"{group}[name]"]
    with pytest.raises(UserError, match=f"does not write: '{group}'"):
        build_frames(whole, {name: metrics[name] for name in metrics if not name.startswith(group)}, path.parent, "x")


def write_rows(path: Path, rows: dict[str, list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(path)


def first(rows: dict, column: str, value) -> dict:
    """The rows with another value in the first."""
    return rows | {column: [value, *rows[column][1:]]}


def swapped(rows: dict, kwargs: dict, over: int = 1) -> dict:
    """As many rows as `mostly` allows, and `over` more, have their two sides exchanged."""
    a, b = rows[kwargs["column_A"]], rows[kwargs["column_B"]]
    k = math.floor(len(a) * (1 - kwargs.get("mostly", 1)) + 1e-9) + over
    return rows | {kwargs["column_A"]: b[:k] + a[k:], kwargs["column_B"]: a[:k] + b[k:]}


def without_one_value(rows: dict, kwargs: dict) -> dict:
    gone, *others = kwargs["value_set"]
    return rows | {kwargs["column"]: [others[0] if v == gone else v for v in rows[kwargs["column"]]]}


FAULTS = {  # expectation type -> rows that break it
    ROW_COUNT: lambda rows, k: {column: values[:k["min_value"] - 1] for column, values in rows.items()},
    NOT_NULL: lambda rows, k: first(rows, k["column"], None),
    UNIQUE: lambda rows, k: first(rows, k["column"], rows[k["column"]][-1]),
    LENGTHS: lambda rows, k: first(rows, k["column"], "x" * (k["min_value"] - 1)),
    IN_SET: lambda rows, k: first(rows, k["column"], "none of these"),
    GREATER: swapped, CONTAIN_SET: without_one_value,
    COMPOUND: lambda rows, k: rows | {column: [rows[column][-1], *rows[column][1:]] for column in k["column_list"]},
    APART: lambda rows, k: first(rows, k["column_list"][1], rows[k["column_list"][0]][0]),
}


def on_rows(suite: dict) -> list[dict]:
    """What the suite demands of rows, and that there are any and none is null in a column that it reads."""
    stated = [e for e in suite["expectations"] if table(e) in tables_of(suite) and severity(e) != "info"]
    read_of = dict.fromkeys((table(e), column) for e in stated for column in columns(e))
    here = [{"type": ROW_COUNT, "kwargs": {"min_value": 1}, "meta": {"table": name}}
            for name in dict.fromkeys(table(e) for e in stated)]
    whole = [{"type": NOT_NULL, "kwargs": {"column": column}, "meta": {"table": name}} for name, column in read_of]
    return [*here, *whole, *(e for e in stated if e["type"] != NOT_NULL)]


def row_faults(path: Path) -> list[tuple[str, dict, dict]]:
    """(table, expectation, rows that break it) of everything that decides of rows."""
    suite, made = read(path), []
    for e in on_rows(suite):
        rows = clean_rows(suite, table(e))
        if e["type"] == BETWEEN:
            ends = [(e["kwargs"].get("min_value"), -1e-6), (e["kwargs"].get("max_value"), 1e-6)]
            beyond = [bound + hair for bound, hair in ends if bound is not None]
            made += [(table(e), e, first(rows, e["kwargs"]["column"], value)) for value in beyond]
        else:
            made.append((table(e), e, FAULTS[e["type"]](rows, e["kwargs"])))
    return made


ROWS = [(path, i) for path in SUITES for i in range(len(row_faults(path)))]


def _named(path: Path, i: int) -> str:
    name, e, _ = row_faults(path)[i]
    return f"{path.parent.name}/{path.stem}: {name}[{', '.join(columns(e))}] {e['type']} {i}"


def judged(path: Path, name: str, expectations: list[dict], rows: dict, root: Path) -> dict:
    """The verdict of these expectations alone on these rows."""
    write_rows(root / tables_of(read(path))[name], rows)
    suite = with_evidence(read(path)) | {"expectations": expectations}
    return judge("w", "s", suite, build_frames(suite, {}, root, "here"))


@pytest.mark.parametrize(("path", "i"), ROWS, ids=[_named(*case) for case in ROWS])
def test_every_expectation_on_rows_decides(path, i, tmp_path):
    name, expectation, rows = row_faults(path)[i]
    same = [e for e in with_evidence(read(path))["expectations"] if table(e) == name
            and (e["type"] == expectation["type"] or set(columns(e)) & set(columns(expectation)))]
    verdict = judged(path, name, same, rows, tmp_path)
    shown = f"{name}[{', '.join(columns(expectation)) or 'rows'}]"
    failed = [(c["metric"], c["expectation"], c["severity"]) for c in verdict["checks"] if not c["passed"]]
    assert (shown, expectation["type"], severity(expectation)) in failed
    assert verdict["tier"] == ORDER[severity(expectation)]
    assert expectation["meta"].get("remedy", BROKEN.format(table=name)) in verdict["remedy"]


COMPARED = [(path, e) for path in SUITES for e in read(path)["expectations"] if "mostly" in e["kwargs"]]


@pytest.mark.parametrize(("path", "expectation"), COMPARED, ids=[f"{p.parent.name}/{p.stem}" for p, _ in COMPARED])
def test_as_many_rows_as_mostly_allows_may_fail(path, expectation, tmp_path):
    rows = swapped(clean_rows(read(path), table(expectation)), expectation["kwargs"], over=0)
    assert judged(path, table(expectation), [expectation], rows, tmp_path)["tier"] == "HIGH"


@each_suite
def test_no_suite_judges_rows_of_the_frame_of_metrics(path):
    """Cases are rows of that frame here; an expectation on all of them at once would need a test of its own."""
    assert {e["type"] for e in with_evidence(read(path))["expectations"] if table(e) is None} <= {
        BETWEEN, NOT_NULL, GREATER}
