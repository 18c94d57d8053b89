"""Tier, checks and remedy follow from what the suite observed."""

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.gates.frames import build_frames
from realign.gates.remedies import told
from realign.gates.verdict import judge, remedy_said, threshold, tier

ORDER = {"REJECT": 0, "MEDIUM": 1, "HIGH": 2}
BETWEEN = "expect_column_values_to_be_between"
TABLES = {"tables": {"pairs": "data/pairs.parquet"}}


def band(column: str, severity: str, **kwargs) -> dict:
    return {"type": BETWEEN, "kwargs": {"column": column, **kwargs}, "severity": severity,
            "meta": {"remedy": f"{severity} {column}"}}


GAP = {"name": "t", "expectations": [band("gap", "critical", min_value=0.10),
                                     band("gap", "warning", min_value=0.15)]}
KL = {"name": "t", "expectations": [band("kl", "critical", max_value=0.1),
                                    band("kl", "info", max_value=0.01)]}


def frame(**columns: float) -> dict:
    row = {f"{name}{part}": value for name, value in columns.items() for part in ("", ".low", ".high")}
    return {None: pd.DataFrame([row | {f"{name}.n": 200.0 for name in columns}], dtype="float64")}


def test_shape_of_a_verdict():
    verdict = judge("srf", "preference_data", GAP, frame(gap=0.123456789))
    common = {"metric": "gap", "observed": 0.123457, "low": 0.123457, "high": 0.123457, "n": 200,
              "expectation": BETWEEN, "max": None, "strict_min": False, "strict_max": None, "evidence": False}
    assert verdict == {
        "workflow": "srf", "stage": "preference_data", "tier": "MEDIUM", "remedy": "warning gap",
        "checks": [common | {"threshold": "≥ 0.1", "min": 0.10, "severity": "critical", "passed": True},
                   common | {"threshold": "≥ 0.15", "min": 0.15, "severity": "warning", "passed": False}]}
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict


@pytest.mark.parametrize(("kwargs", "numbers"), [
    ({"min_value": 0, "strict_min": True}, (0, None, True, None)),
    ({"max_value": 0.1, "strict_max": True}, (None, 0.1, None, True)),
    ({"min_value": 0.5, "max_value": 2}, (0.5, 2, False, False)),
])
def test_a_check_carries_its_bounds_as_numbers(kwargs, numbers):
    suite = {"name": "t", "expectations": [band("kl", "critical", **kwargs)]}
    check = judge("srf", "x", suite, frame(kl=1.0))["checks"][0]
    assert tuple(check[k] for k in ("min", "max", "strict_min", "strict_max")) == numbers


def test_a_check_of_evidence_shows_the_count_alone():
    suite = {"name": "t", "expectations": [band("gap.n", "critical", min_value=300)]}
    check = judge("srf", "x", suite, frame(gap=0.2))["checks"][0]
    assert (check["metric"], check["observed"], check["low"], check["n"]) == ("gap.n", 200, None, 200)
    assert isinstance(check["observed"], int) and not check["passed"] and check["evidence"]


def test_a_check_of_rows_shows_the_share_that_passes():
    def rows(kind, **kwargs):
        return {"type": kind, "kwargs": kwargs, "meta": {"table": "pairs", "remedy": "mend"}, "severity": "critical"}

    suite = {"name": "t", "meta": TABLES, "expectations": [
        rows("expect_column_pair_values_a_to_be_greater_than_b", column_A="a", column_B="b", mostly=0.9),
        rows(BETWEEN, column="a", min_value=1, max_value=3), rows("expect_table_row_count_to_be_between", min_value=3),
        rows("expect_column_mean_to_be_between", column="a", max_value=3)]}
    pairs = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.0, 0.0, 0.0, 9.0]})
    checks = judge("srf", "x", suite, frame(kl=0.0) | {"pairs": pairs})["checks"]
    told = [(c["metric"], c["observed"], c["n"], c["threshold"], c["min"], c["max"], c["passed"]) for c in checks]
    assert told == [  # the share of rows that keep a bound is not held to that bound
        ("pairs[a, b]", 0.75, 4, "a > b on ≥ 0.9 of rows", None, None, False),
        ("pairs[a]", 0.75, 4, "≥ 1 and ≤ 3 on all rows", None, None, False),
        ("pairs[rows]", 4, 4, "≥ 3", 3, None, True), ("pairs[a]", 2.5, 4, "≤ 3", None, 3, True)]


RETENTION = pd.DataFrame({"name": ["facts", "format"], "value": [0.9, 0.99], "n": [300.0, 80.0],
                          "low": [0.8, 0.97], "high": [1.0, 1.0]})


def of_group(kind: str, severity: str = "critical", **kwargs) -> dict:
    return {"type": kind, "kwargs": kwargs, "severity": severity,
            "meta": {"table": "retention", "remedy": "{name} was lost"}}


def test_a_group_makes_one_check_a_member_and_names_the_one_that_failed():
    suite = {"name": "t", "expectations": [of_group(BETWEEN, column="value", min_value=0.95),
                                           of_group(BETWEEN, column="n", min_value=100),
                                           of_group(BETWEEN, column="low", min_value=0.7)]}
    verdict = judge("srf", "evaluate", suite, {"retention": RETENTION})
    assert [(c["metric"], c["observed"], c["low"], c["high"], c["n"], c["passed"]) for c in verdict["checks"]] == [
        ("retention.facts", 0.9, 0.8, 1.0, 300, False), ("retention.format", 0.99, 0.97, 1.0, 80, True),
        ("retention.facts.n", 300, None, None, 300, True), ("retention.format.n", 80, None, None, 80, False),
        ("retention.facts.low", 0.8, 0.8, 1.0, 300, True), ("retention.format.low", 0.97, 0.97, 1.0, 80, True)]
    assert verdict["remedy"] == "facts was lost; format was lost"


def test_a_group_that_is_only_noted_is_shown(tmp_path):
    suite = {"name": "t", "expectations": [of_group(BETWEEN, "info", column="value", min_value=0.95)]}
    metrics = {f"retention.{row.pop('name')}": row for row in RETENTION.to_dict("records")}
    verdict = judge("srf", "evaluate", suite, build_frames(suite, metrics, tmp_path, "here"))
    assert (verdict["tier"], [c["passed"] for c in verdict["checks"]]) == ("HIGH", [False, True])


def test_members_that_are_not_there_are_named():
    suite = {"name": "t", "expectations": [of_group(
        "expect_column_distinct_values_to_contain_set", column="name", value_set=["facts", "refusal", "grounded"])]}
    verdict = judge("srf", "evaluate", suite, {"retention": RETENTION})
    assert (verdict["checks"][0]["metric"], verdict["checks"][0]["n"]) == ("retention[name]", 2)
    assert verdict["remedy"] == "grounded, refusal was lost"


@pytest.mark.parametrize(("seen", "words"), [(0.3, "too low"), (2.5, "too high"), (0.5, "too low"), (2, "too high"),
                                             (-9, "too low"), (1e9, "too high")])
def test_the_remedy_is_that_of_the_side_that_failed(seen, words):
    check = {"observed": seen, "min": 0.5, "max": 2}
    assert told({"low": "too low", "high": "too high"}, check) == words


def test_an_info_check_weighs_nothing():
    verdict = judge("srf", "rl", KL, frame(kl=0.05))
    assert (verdict["tier"], verdict["remedy"], verdict["checks"][1]["passed"]) == ("HIGH", "", False)


@settings(deadline=None, max_examples=25)
@given(st.floats(-1, 1))
def test_tier_of_a_gap_is_the_designs_table(gap):
    expected = "HIGH" if gap >= 0.15 else "REJECT" if gap < 0.10 else "MEDIUM"
    assert judge("srf", "x", GAP, frame(gap=gap))["tier"] == expected


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 0.3), st.floats(0, 0.3), st.sampled_from(["gap", "kl"]))
def test_a_worse_value_never_gives_a_better_tier(one, other, name):
    suite, better, worse = (GAP, max(one, other), min(one, other)) if name == "gap" \
        else (KL, min(one, other), max(one, other))
    tiers = [judge("srf", "x", suite, frame(**{name: value}))["tier"] for value in (worse, better)]
    assert ORDER[tiers[0]] <= ORDER[tiers[1]]


CHECKS = st.lists(st.fixed_dictionaries({"severity": st.sampled_from(["critical", "warning", "info"]),
                                         "passed": st.booleans()}), min_size=1)


@given(CHECKS, st.data())
def test_one_more_failure_never_gives_a_better_tier(checks, data):
    broken = data.draw(st.integers(0, len(checks) - 1))
    worse = [c | {"passed": False} if i == broken else c for i, c in enumerate(checks)]
    assert ORDER[tier(worse)] <= ORDER[tier(checks)]


@given(CHECKS)
def test_tier_and_remedy_agree(checks):
    said = remedy_said(checks, [f"{c['severity']} {i}" for i, c in enumerate(checks)])
    lost = [i for i, c in enumerate(checks) if not c["passed"] and c["severity"] != "info"]
    assert (said == "") == (tier(checks) == "HIGH") == (not lost)
    if tier(checks) == "REJECT":
        assert "warning" not in said and "critical" in said


def test_a_remedy_is_said_once():
    checks = [{"severity": "critical", "passed": False}] * 2
    assert remedy_said(checks, ["mend", "mend"]) == "mend"


@pytest.mark.parametrize(("kind", "kwargs", "text"), [
    (BETWEEN, {"min_value": 0.1}, "≥ 0.1"), (BETWEEN, {"max_value": 2}, "≤ 2"),
    (BETWEEN, {"min_value": 0, "strict_min": True}, "> 0"),
    (BETWEEN, {"max_value": 0.1, "strict_max": True}, "< 0.1"),
    (BETWEEN, {"min_value": -0.3, "max_value": 0.3}, "≥ -0.3 and ≤ 0.3"),
    (BETWEEN, {"min_value": 0, "max_value": 0}, "= 0"), (BETWEEN, {"min_value": 1234567}, "≥ 1234567"),
    ("expect_column_values_to_not_be_null", {}, "not null"),
    ("expect_column_distinct_values_to_contain_set", {"value_set": ["a", "b"]}, "contain set a, b"),
    ("expect_column_kl_divergence_to_be_less_than", {"threshold": 0.1},
     'column kl divergence to be less than {"threshold": 0.1}'),
])
def test_threshold_in_words(kind, kwargs, text):
    assert threshold({"type": kind, "kwargs": {"column": "x"} | kwargs}) == text


@pytest.mark.parametrize(("kind", "kwargs", "text"), [
    ("expect_column_values_to_not_be_null", {}, "not null on all rows"),
    (BETWEEN, {"min_value": 0, "mostly": 0.5}, "≥ 0 on ≥ 0.5 of rows"),
    ("expect_column_values_to_be_unique", {}, "unique on all rows"),
    ("expect_column_values_to_be_in_set", {"value_set": ["a", "b"]}, "be in set a, b on all rows"),
    ("expect_column_value_lengths_to_be_between", {"min_value": 1}, "length ≥ 1 on all rows"),
    ("expect_column_mean_to_be_between", {"min_value": 1}, "≥ 1"),
])
def test_threshold_of_rows_in_words(kind, kwargs, text):
    assert threshold({"type": kind, "kwargs": {"column": "x"} | kwargs}, rows=True) == text
