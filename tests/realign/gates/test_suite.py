"""A suite that could pass without evidence, or that says nothing to its reader, is refused."""

import json
from pathlib import Path

import pytest

from realign.errors import UserError
from realign.gates.engine import evaluate
from realign.gates.suite import columns, metric_name, read_suite, suggest

SUITES = sorted((Path(__file__).parents[3] / "expectations").glob("*/*.json"))
NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"


def expect(kind: str, severity: str = "critical", meta: dict | None = None, **kwargs) -> dict:
    return {"type": kind, "kwargs": kwargs, "severity": severity,
            "meta": {"remedy": "mend it"} | (meta or {})}


def suite_of(*expectations: dict, **meta) -> dict:
    return {"name": "srf.test", "meta": meta, "expectations": list(expectations)}


GOOD = (expect(NOT_NULL, column="kl"), expect(BETWEEN, column="kl.n", min_value=100),
        expect(BETWEEN, column="kl", max_value=0.1))
ROWS = {"table": "pairs"}
TABLES = {"tables": {"pairs": "data/pairs.parquet"}}
GOOD_ROWS = (expect("expect_table_row_count_to_be_between", meta=ROWS, min_value=1),
             expect(NOT_NULL, meta=ROWS, column="score"),
             expect(BETWEEN, meta=ROWS, column="score", min_value=0))
MOST_ROWS = expect(NOT_NULL, meta=ROWS, column="score", mostly=0.5)
SOME_ROWS = expect("expect_table_row_count_to_be_between", meta=ROWS, min_value=1, row_condition="score > 0")


def read(tmp_path: Path, suite: object) -> dict:
    path = tmp_path / "kl.json"
    path.write_text(suite if isinstance(suite, str) else json.dumps(suite))
    return read_suite(path)


@pytest.mark.parametrize("path", SUITES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_suite_is_accepted_and_loads_whole_in_great_expectations(path):
    import great_expectations as gx

    suite = read_suite(path)
    loaded = gx.ExpectationSuite(**suite)
    assert suite["name"] == f"{path.parent.name}.{path.stem}"
    assert len(loaded.expectations) == len(suite["expectations"])
    for given, built in zip(suite["expectations"], loaded.expectations, strict=True):
        assert (built.expectation_type, built.severity.value) == (given["type"], given["severity"])
        assert given["kwargs"].items() <= built.configuration.kwargs.items()


@pytest.mark.parametrize("path", SUITES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_no_expectation_stands_twice(path):
    shown = [json.dumps([e["type"], e["kwargs"], e["meta"].get("table")], sort_keys=True)
             for e in read_suite(path)["expectations"]]
    assert len(shown) == len(set(shown))


def test_good_suites_are_read(tmp_path):
    assert read(tmp_path, suite_of(*GOOD))["name"] == "srf.test"
    assert len(read(tmp_path, suite_of(*GOOD, *GOOD_ROWS, **TABLES))["expectations"]) == 6
    counted = suite_of(GOOD[0], GOOD[2], counted=["kl"])
    assert read(tmp_path, counted) == counted


REFUSED = {
    "no list": ({"name": "x", "expectations": {}}, "without expectations"),
    "empty list": (suite_of(), "without expectations"),
    "no name": ({"expectations": list(GOOD)}, "without a name"),
    "not an object": ([1], "holds a list"),
    "expectation no object": (suite_of("kl"), "expectation 1: not an expectation"),
    "no kwargs": (suite_of({"type": NOT_NULL}), "not an expectation"),
    "column no text": (suite_of(expect(NOT_NULL, column=["kl"])), "no text"),
    "severity": (suite_of(*GOOD, expect(NOT_NULL, "fatal", column="kl")), "unknown severity 'fatal'"),
    "no remedy": (suite_of(*GOOD, {"type": NOT_NULL, "kwargs": {"column": "kl"}}), "what to do"),
    "unknown table": (suite_of(*GOOD, expect(NOT_NULL, meta={"table": "pair"}, column="kl"), **TABLES),
                      "did you mean 'pairs'"),
    "table outside": (suite_of(*GOOD, tables={"pairs": "../secrets.parquet"}), "outside the project"),
    "table absolute": (suite_of(*GOOD, tables={"pairs": "/etc/pairs.parquet"}), "outside the project"),
    "nulls pass": (suite_of(*GOOD[1:]), "'kl' may be null"),
    "only a warning forbids nulls": (suite_of(GOOD[0] | {"severity": "warning"}, *GOOD[1:]),
                                     "'kl' may be null"),
    "metrics may be skipped": (suite_of(*GOOD, expect(BETWEEN, column="kl", max_value=1, mostly=0)),
                               "may skip"),
    "metrics under a condition": (suite_of(*GOOD, expect(NOT_NULL, column="kl", row_condition="kl > 0")),
                                  "may skip"),
    "most row nulls pass": (suite_of(*GOOD, GOOD_ROWS[0], MOST_ROWS, **TABLES), "'score' may be null"),
    "some rows counted": (suite_of(*GOOD, *GOOD_ROWS[1:], SOME_ROWS, **TABLES), "'pairs' may be empty"),
    "null interval passes": (suite_of(*GOOD, expect(BETWEEN, column="kl.high", max_value=1)),
                             "'kl.high' may be null"),
    "any n": (suite_of(GOOD[0], GOOD[2]), "any number of examples"),
    "n of 0": (suite_of(GOOD[0], expect(BETWEEN, column="kl.n", min_value=0), GOOD[2]), "any number of"),
    "n only warned": (suite_of(GOOD[0], GOOD[1] | {"severity": "warning"}, GOOD[2]), "any number of"),
    "empty table passes": (suite_of(*GOOD, *GOOD_ROWS[1:], **TABLES), "'pairs' may be empty"),
    "row count of 0": (suite_of(*GOOD, GOOD_ROWS[0] | {"kwargs": {"min_value": 0}}, *GOOD_ROWS[1:], **TABLES),
                       "'pairs' may be empty"),
    "row nulls pass": (suite_of(*GOOD, GOOD_ROWS[0], GOOD_ROWS[2], **TABLES), "'score' may be null"),
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
    read(tmp_path, suite_of(*GOOD))
    with pytest.raises(UserError, match="did you mean 'kl'"):
        read_suite(tmp_path / "kll.json")


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
    import pandas as pd

    expectation, words = MALFORMED[case]
    frame = pd.DataFrame([{"kl": 0.05, "kl.n": 200.0}])
    with pytest.raises(UserError) as error:
        evaluate(suite_of(*GOOD, expectation), {None: frame})
    assert words in str(error.value)
    assert "srf.test" in str(error.value)


def test_results_come_in_the_suites_order():
    import pandas as pd

    frames = {None: pd.DataFrame([{"kl": 0.2, "kl.n": 50.0}]), "pairs": pd.DataFrame({"score": [-1.0, 2.0]})}
    order = (GOOD_ROWS[2], GOOD[2], GOOD_ROWS[0], GOOD[0], GOOD_ROWS[1], GOOD[1])
    outcomes = evaluate(suite_of(*order, **TABLES), frames)
    assert [o["passed"] for o in outcomes] == [False, False, True, True, True, False]


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
