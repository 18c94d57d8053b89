"""A suite states what decides; what lets no verdict rest on nothing is added, and what says nothing is refused."""

import json

import pandas as pd
import pytest

from realign import kinds
from realign.errors import UserError
from realign.gates.engine import evaluate
from realign.gates.expectation import BETWEEN, GREATER, NOT_NULL, ROW_COUNT, bounds, columns, metric_name
from realign.gates.suite import layout, read_suite, suggest, with_evidence

CONTAIN_SET = "expect_column_distinct_values_to_contain_set"
MEND = {"kl": "mend it"}


def expect(kind: str, severity: str = "critical", table: str | None = None, remedy: str | None = None,
           **kwargs) -> dict:
    meta = {"table": table} | ({"remedy": remedy} if remedy else {})
    return {"type": kind, "kwargs": kwargs, "severity": severity} | ({"meta": meta} if table or remedy else {})


def suite_of(*expectations: dict, **meta) -> dict:
    return {"name": "srf.test", "meta": {"evidence": {"*": 100}, "remedy": MEND} | meta,
            "expectations": list(expectations)}


KL = expect(BETWEEN, column="kl", max_value=0.1)
TABLES = {"pairs": "data/pairs.parquet"}
ROWS = expect(BETWEEN, table="pairs", column="score", min_value=0)


def read(tmp_path, suite: object) -> dict:
    path = tmp_path / "kl.json"
    path.write_text(suite if isinstance(suite, str) else json.dumps(suite))
    return read_suite(path)


def added(suite: dict) -> list[tuple]:
    """(type, columns, bounds, severity, topic, table) of everything that the gate adds."""
    return [(e["type"].removeprefix("expect_"), *columns(e), bounds(e), e["severity"], e["meta"]["evidence"],
             e["meta"].get("table"))
            for e in with_evidence(suite)["expectations"] if "evidence" in e["meta"]]


NOT, WITHIN, ABOVE = (kind.removeprefix("expect_") for kind in (NOT_NULL, BETWEEN, GREATER))


def test_a_judged_metric_is_there_on_enough_examples_possible_and_inside_its_interval():
    assert added(suite_of(KL)) == [
        (NOT, "kl", (None, None), "critical", "missing", None),
        (WITHIN, "kl.n", (100, None), "critical", "n", None),
        (WITHIN, "kl", (0, None), "critical", "impossible", None),
        (ABOVE, "kl", "kl.low", (None, None), "critical", "impossible", None),
        (ABOVE, "kl.high", "kl", (None, None), "critical", "impossible", None)]


def test_a_recorded_metric_is_held_to_the_same_and_one_that_is_noted_to_nothing():
    recorded = suite_of(expect(BETWEEN, "info", column="entropy", min_value=1), recorded=["kl"], remedy={})
    assert added(recorded) == added(suite_of(KL))


def test_the_end_of_the_interval_that_a_bound_reads_is_there():
    suite = suite_of(expect(BETWEEN, column="kl.high", max_value=0.1))
    assert (NOT, "kl.high", (None, None), "critical", "missing", None) in added(suite)
    assert not any(line[:2] == (NOT, "kl.low") for line in added(suite))


@pytest.mark.parametrize(("severities", "weight"), [(["warning"], "warning"), (["warning", "critical"], "critical"),
                                                    (["warning", "info"], "warning")])
def test_too_few_examples_weigh_as_much_as_the_strictest_bound(severities, weight):
    bounds_on_kl = [expect(BETWEEN, s, column="kl", max_value=0.1 + i) for i, s in enumerate(severities)]
    assert [line[3] for line in added(suite_of(*bounds_on_kl)) if line[1] == "kl.n"] == [weight]


def test_a_metric_of_its_own_least_n_and_one_that_was_counted():
    suite = suite_of(KL, expect(BETWEEN, column="rounds", min_value=1), evidence={"*": 100, "kl": 30},
                     counted=["rounds"], remedy=MEND | {"rounds": "play one"})
    assert [line[1:3] for line in added(suite) if line[-2] == "n"] == [("kl.n", (30, None))]


def test_a_kind_without_a_range_adds_none():
    gain = suite_of(expect(BETWEEN, column="reward_gain", min_value=0), remedy={"reward_gain": "mend it"})
    assert [line[-2] for line in added(gain)] == ["missing", "n", "impossible", "impossible"]


def test_a_group_is_held_to_the_same_member_by_member():
    suite = suite_of(expect(BETWEEN, table="retention", column="value", min_value=0.95), evidence={"retention": 60},
                     remedy={"retention": "{name} was lost"})
    assert added(suite) == [
        (NOT, "value", (None, None), "critical", "missing", "retention"),
        (WITHIN, "n", (60, None), "critical", "n", "retention"),
        (WITHIN, "value", (0, None), "critical", "impossible", "retention"),
        (ABOVE, "value", "low", (None, None), "critical", "impossible", "retention"),
        (ABOVE, "high", "value", (None, None), "critical", "impossible", "retention")]


def test_a_group_that_is_only_noted_is_held_to_nothing():
    noted = suite_of(KL, expect(BETWEEN, "info", table="retention", column="value", min_value=0.95))
    assert added(noted) == added(suite_of(KL))


def test_a_table_has_rows_and_no_null_in_what_is_read():
    suite = suite_of(ROWS, expect(BETWEEN, "info", table="pairs", column="other", min_value=0), tables=TABLES,
                     evidence={}, remedy={})
    assert added(suite) == [
        (ROW_COUNT.removeprefix("expect_"), (1, None), "critical", "missing", "pairs"),
        (NOT, "score", (None, None), "critical", "missing", "pairs")]


def test_what_the_suite_states_stays_as_it_was_and_comes_last():
    suite = suite_of(KL)
    assert with_evidence(suite)["expectations"][-1] == KL | {"meta": {"remedy": "mend it"}}
    assert suite == suite_of(KL)


REMEDIES = {  # what a suite says, the expectation, what is then to do
    "of the metric": ({"kl": "a"}, KL, "a"), "of its side": ({"kl.high": "b", "kl": "a"}, KL, "b"),
    "its own": ({}, KL | {"meta": {"remedy": "c"}}, "c"),
    "of both sides": ({"kl.low": "a", "kl.high": "b"}, expect(BETWEEN, column="kl", min_value=0, max_value=1),
                      {"low": "a", "high": "b"}),
    "the same of both": ({"kl": "a"}, expect(BETWEEN, column="kl", min_value=0, max_value=1), "a"),
    "of an end of its interval": ({"kl": "a"}, expect(BETWEEN, column="kl.low", max_value=1), "a"),
    "of rows": ({}, ROWS, "the pairs are broken: run the stage again, and compare with the rejected dataset"),
    "none where it is noted": ({}, KL | {"severity": "info"}, ""),
    "of a group": ({"retention": "a"}, expect(BETWEEN, table="retention", column="value", min_value=1), "a"),
    "of a lost member": ({"retention.missing": "b"},
                         expect(CONTAIN_SET, table="retention", column="name", value_set=["facts"]), "b"),
}


@pytest.mark.parametrize("case", REMEDIES)
def test_the_remedy_of_an_expectation(case):
    said, expectation, remedy = REMEDIES[case]
    whole = with_evidence(suite_of(expectation, remedy=said, tables=TABLES))
    assert whole["expectations"][-1]["meta"]["remedy"] == remedy


def test_what_the_gate_adds_may_be_reworded():
    said = {"kl": "a", "kl.missing": "b", "kl.n": "c", "kl.impossible": "d"}
    assert [e["meta"]["remedy"] for e in with_evidence(suite_of(KL, remedy=said))["expectations"]] == list("bcddda")


REFUSED_WHOLE = {
    "no kind": (suite_of(expect(BETWEEN, column="joy", min_value=1), remedy={"joy": "x"}), "realign/kinds.py"),
    "no least n": (suite_of(KL, evidence={}), "'kl' is judged on any number of examples"),
    "no remedy": (suite_of(KL, remedy={}), "what to do when 'kl' fails"),
    "no remedy of one side": (suite_of(KL, remedy={"kl.low": "x"}), "'kl.high'"),
    "no remedy of the group": (suite_of(expect(BETWEEN, table="retention", column="value", min_value=1), remedy={}),
                               "'retention'"),
}


@pytest.mark.parametrize("case", REFUSED_WHOLE)
def test_what_cannot_be_completed_is_refused(tmp_path, case):
    suite, words = REFUSED_WHOLE[case]
    with pytest.raises(UserError) as error:
        with_evidence(read(tmp_path, suite))
    assert words in str(error.value) and "suite 'srf.test'" in str(error.value)


REFUSED = {
    "not an object": ([KL], "list"),
    "no name": ({"expectations": [KL]}, "without a name"),
    "no expectations": (suite_of(), "let everything pass"),
    "not an expectation": (suite_of({"type": NOT_NULL}), "not an expectation"),
    "column no text": (suite_of(expect(NOT_NULL, column=["kl"])), "no text"),
    "severity": (suite_of(expect(NOT_NULL, "fatal", column="kl")), "unknown severity 'fatal'"),
    "empty remedy": (suite_of(KL | {"meta": {"remedy": ""}}), "what to do"),
    "unknown table": (suite_of(KL, expect(NOT_NULL, table="pair", column="kl"), tables=TABLES), "did you mean 'pairs'"),
    "table outside": (suite_of(KL, tables={"pairs": "../secrets.parquet"}), "inside the project"),
    "table absolute": (suite_of(KL, tables={"pairs": "/etc/pairs.parquet"}), "inside the project"),
    "metrics may be skipped": (suite_of(expect(BETWEEN, column="kl", max_value=1, mostly=0)), "may skip"),
    "metrics under a condition": (suite_of(expect(NOT_NULL, column="kl", row_condition="kl > 0")), "may skip"),
    "members may be skipped": (suite_of(KL, expect(BETWEEN, table="retention", column="value", min_value=1,
                                                   mostly=0.5)), "may skip"),
    "bound is text": (suite_of(expect(BETWEEN, column="kl", max_value="0.1")), "'0.1' is no bound"),
    "bound is true": (suite_of(expect(BETWEEN, column="kl", max_value=True)), "True is no bound"),
    "bound is NaN": (suite_of(expect(BETWEEN, column="kl", max_value=float("nan"))), "nan is no bound"),
    "unknown key": (suite_of(KL, recorded_=[]), "did you mean 'recorded'"),
    "least n of none": (suite_of(KL, evidence={"*": 0}), "meta.evidence is {'*': 0}"),
    "least n is text": (suite_of(KL, evidence={"*": "100"}), "1 or more"),
    "evidence of another": (suite_of(KL, evidence={"*": 100, "kll": 30}), "names 'kll'"),
    "remedy of another": (suite_of(KL, remedy=MEND | {"kll.low": "x"}), "names 'kll.low'"),
    "counted another": (suite_of(KL, counted=["kll"]), "did you mean 'kl'"),
    "remedy no text": (suite_of(KL, remedy={"kl": ["a", "b"]}), "meta.remedy is"),
    "recorded no list": (suite_of(KL, recorded="kl"), "meta.recorded is 'kl'"),
    "broken JSON": ('{"name": "x",\n "expectations": [}', "line 2, column 19"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason(tmp_path, case):
    suite, words = REFUSED[case]
    with pytest.raises(UserError) as error:
        read(tmp_path, suite)
    assert words in str(error.value)
    assert "kl.json" in str(error.value)


def test_unknown_stage_gets_a_suggestion(tmp_path):
    read(tmp_path, suite_of(KL))
    with pytest.raises(UserError, match="did you mean 'kl'"):
        read_suite(tmp_path / "kll.json")


def test_layout_is_one_line_an_expectation_a_note_and_a_remedy():
    suite = suite_of(KL, expect(NOT_NULL, column="kl"), note=["≤ one", "two"], remedy=MEND | {"kl.low": "raise it"})
    text = layout(suite)
    assert json.loads(text) == suite and "≤" in text
    changed = layout(json.loads(text.replace("0.1", "0.2")))
    assert [a for a, b in zip(text.splitlines(), changed.splitlines(), strict=True) if a != b] == [
        '  {"type": "expect_column_values_to_be_between", "kwargs": {"column": "kl", "max_value": 0.1}, '
        '"severity": "critical"},']
    for line in ('   "≤ one",', '   "two"', '   "kl.low": "raise it"'):
        assert line in text.splitlines()
    assert json.loads(layout({"name": "t", "expectations": [KL]})) == {"name": "t", "expectations": [KL]}


MALFORMED = {
    "unknown type": (expect("expect_column_values_to_be_betwen", column="kl"), f"did you mean '{BETWEEN}'"),
    "unknown argument": (expect(BETWEEN, column="kl", max_vale=1), "max_vale"),
    "no bound": (expect(BETWEEN, column="kl"), "cannot both be None"),
    "bound no number": (expect(BETWEEN, column="kl", max_value="low"), "malformed"),
    "impossible bounds": (expect(BETWEEN, column="kl", min_value=2, max_value=1), "cannot be evaluated"),
    "unknown column": (expect(NOT_NULL, column="k"), "cannot be evaluated"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_great_expectations_does_not_drop_what_it_cannot_run(case):
    expectation, words = MALFORMED[case]
    with pytest.raises(UserError) as error:
        evaluate(suite_of(KL, expectation), {None: pd.DataFrame([{"kl": 0.05, "kl.n": 200.0}])})
    assert words in str(error.value)
    assert "srf.test" in str(error.value)


def test_results_come_in_the_suites_order():
    frames = {None: pd.DataFrame([{"kl": 0.2, "kl.n": 50.0}]), "pairs": pd.DataFrame({"score": [-1.0, 2.0]})}
    order = (ROWS, KL, expect(ROW_COUNT, table="pairs", min_value=1), expect(NOT_NULL, column="kl"),
             expect(BETWEEN, column="kl.n", min_value=100))
    assert [o["passed"] for o in evaluate(suite_of(*order, tables=TABLES), frames)] == [False, False, True, True, False]


@pytest.mark.parametrize(("column", "metric"), [("kl", "kl"), ("kl.n", "kl"), ("n", "n"),
                                                ("capability.facts", "capability.facts"),
                                                ("capability.facts.low", "capability.facts")])
def test_metric_name(column, metric):
    assert metric_name(column) == metric


def test_columns_of_every_kind_of_expectation():
    assert columns(expect("x", column_A="a", column_B="b")) == ["a", "b"]
    assert columns(expect("x", column_list=["a", "b"])) == ["a", "b"]
    assert columns(expect("x", min_value=1)) == []


def test_suggest_lists_all_where_nothing_is_close():
    assert suggest("zzz", ["b", "a"]) == "known: a, b"
    assert suggest("zzz", []) == "known: none"


def test_a_kind_is_that_of_the_nearest_group():
    assert kinds.kind_of("retention.facts.some slice", "here") == kinds.RATIO
    assert kinds.kind_of("rows.in", "here") == kinds.COUNT
    assert kinds.kind_of("rows.unaccounted", "here") == kinds.COUNT_DIFFERENCE
    assert kinds.declared("retentions") is None


def test_an_expectation_with_lesser_bounds_in_its_meta_stands_for_all_of_them(tmp_path):
    """Their place, type and column are those of the critical one, their bounds their own."""
    pair = expect(BETWEEN, column="kl", min_value=0, strict_min=True, max_value=0.1) | {"meta": {
        "note": "n", "remedy": "mend it", "warning": {"max_value": 0.05},
        "info": {"max_value": 0.01, "strict_max": True}}}
    found = read(tmp_path, suite_of(KL, pair, expect(BETWEEN, column="kl", min_value=0)))["expectations"]
    assert [(e["kwargs"], e["severity"]) for e in found[1:4]] == [
        ({"column": "kl", "min_value": 0, "strict_min": True, "max_value": 0.1}, "critical"),
        ({"column": "kl", "max_value": 0.05}, "warning"),
        ({"column": "kl", "max_value": 0.01, "strict_max": True}, "info")]
    assert [e["meta"] for e in found[1:4]] == [{"note": "n", "remedy": "mend it"}] * 3 and len(found) == 5


@pytest.mark.parametrize(("changed", "message"), [
    ({"meta": {"warning": 0.05}}, "meta.warning is 0.05"), ({"meta": {"warning": {}}}, "meta.warning is {}"),
    ({"meta": {"info": {"max_valu": 1}}}, "meta.info is"),
    ({"severity": "warning", "meta": {"warning": {"max_value": 1}}}, "other bounds of a critical expectation"),
    ({"meta": {"warning": {"max_value": "0.05"}}}, "'0.05' is no bound"),
    ({"type": NOT_NULL, "kwargs": {"column": "kl"}, "meta": {"warning": {"max_value": 1}}}, "meta.warning is"),
])
def test_lesser_bounds_that_say_nothing_are_refused(tmp_path, changed, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, suite_of(KL | changed))


def test_remedies_that_suites_share_are_for_what_a_suite_judges_and_its_own_words_come_first(tmp_path):
    (tmp_path / "srf").mkdir()
    shared = {"kl.low": "a", "kl.high": "b", "entropy": "c", "never": "d", "kl.n": "e"}
    (tmp_path / "remedies.json").write_text(json.dumps(shared))
    both = (KL, expect(BETWEEN, column="entropy", min_value=1))
    assert read(tmp_path / "srf", suite_of(*both, remedy={}))["meta"]["remedy"] == {
        key: text for key, text in shared.items() if key != "never"}
    assert read(tmp_path / "srf", suite_of(*both, remedy={"kl": "own"}))["meta"]["remedy"] == {
        "entropy": "c", "kl": "own"}
    (tmp_path / "remedies.json").write_text('{"kl": 1}')
    with pytest.raises(UserError, match=r"remedies.json: is no list of remedies"):
        read(tmp_path / "srf", suite_of(KL))
