import pytest

from realign.gates.verdict import checked
from realign.report.sources import Stage
from realign.report.verdicts import decisions, limit, mismatches

BETWEEN = "expect_column_values_to_be_between"


def check(metric="kl", text="≤ 0.1", severity="critical", passed=True, observed=0.05, evidence=False):
    ends = [p for p in text.split(" and ") if p[0] in "≥>≤<"]
    numbers = {"max" if p[0] in "≤<" else "min": float(p[2:]) for p in ends}
    return {"metric": metric, "observed": observed, "low": 0.04, "high": 0.06, "n": 200, "threshold": text,
            "min": None, "max": None, **numbers, "strict_min": None, "strict_max": None,
            "expectation": BETWEEN, "severity": severity, "passed": passed, "evidence": evidence}


def stage(*checks, metrics=None):
    return Stage("rl", metrics or {}, {}, [], {"tier": "HIGH", "checks": list(checks)}, True, False)


def of_a_gate(kwargs, kind=BETWEEN):
    """The check that a gate makes of an expectation on `x`, without Great Expectations."""
    import pandas as pd

    frame = pd.DataFrame([{"x": 0.3, "x.n": 200.0, "x.low": 0.2, "x.high": 0.4}])
    expectation = {"type": kind, "kwargs": {"column": "x", **kwargs}, "severity": "critical"}
    outcome = {"passed": True, "result": {"unexpected_index_list": []}}
    return checked(expectation, outcome, frame, {"name": "t"})[0][0]


@pytest.mark.parametrize(("kwargs", "floor", "ceiling", "words"), [
    ({"min_value": 0.15}, 0.15, None, "≥ 0.15"), ({"max_value": 0.1}, None, 0.1, "≤ 0.1"),
    ({"min_value": 0.5, "max_value": 2}, 0.5, 2, "≥ 0.5 and ≤ 2"),
    ({"min_value": 0, "strict_min": True}, 0, None, "> 0"),
    ({"max_value": 0.1, "strict_max": True}, None, 0.1, "< 0.1"),
    ({"min_value": 0, "max_value": 0}, 0, 0, "= 0"), ({"min_value": -0.25}, -0.25, None, "≥ −0.25"),
    ({"min_value": 1e-05}, 1e-05, None, "≥ 1e-05"),
])
def test_every_range_of_a_gate_is_read(kwargs, floor, ceiling, words):
    found = limit(of_a_gate(kwargs))
    assert (found.floor, found.ceiling) == (floor, ceiling)
    assert found.words.replace("\N{NO-BREAK SPACE}", " ") == words
    assert " " not in found.words.replace(" and ", "")


def test_what_is_no_range_of_the_figure_is_not_taken_for_one():
    assert limit(of_a_gate({}, "expect_column_values_to_not_be_null")) is None
    assert limit({"metric": "kl", "threshold": "≤ 0.1"}) is None  # a verdict from before checks carried numbers


def test_two_severities_make_one_decision():
    made = decisions(stage(check(text="≥ 0.15", severity="warning", passed=False, observed=0.12),
                           check(text="≥ 0.1", observed=0.12)))
    assert [(d.failed, d.wording.replace("\N{NO-BREAK SPACE}", " ")) for d in made] == [
        ("warning", "HIGH needs ≥ 0.15, MEDIUM ≥ 0.1")]
    assert (made[0].should.floor, made[0].must.floor) == (0.15, 0.1)


def test_the_worst_comes_first_and_passed_evidence_is_left_out():
    made = decisions(stage(check("entropy"), check("kl.n", "≥ 100", evidence=True), check("kl", "not null"),
                           check("entropy", "≥ 0", evidence=True),
                           check("pairs[rows]", "≥ 1"), check("gain", severity="warning", passed=False),
                           check("kl", passed=False), check("length", severity="info", passed=False)))
    assert [(d.metric, d.failed) for d in made] == [("kl", "critical"), ("gain", "warning"), ("entropy", "")]


def test_failed_evidence_decides():
    made = decisions(stage(check("kl.n", "≥ 100", passed=False, observed=20, evidence=True),
                           check("kl", "not null", passed=False, observed=None, evidence=True)))
    assert [(d.metric, d.wording.replace("\N{NO-BREAK SPACE}", " ")) for d in made] == [
        ("kl.n", "must be ≥ 100"), ("kl", "must be not null")]


def test_a_figure_that_cannot_be_is_told_by_that_and_not_by_the_bound_that_it_meets():
    made, = decisions(stage(check("kl", "≥ 0", passed=False, observed=-5, evidence=True), check("kl", observed=-5)))
    assert (made.failed, made.wording, made.must.ceiling) == ("critical", "must be ≥ 0", 0.1)


def test_only_another_figure_is_a_mismatch():
    metrics = {"kl": {"value": 0.0500004}, "gain": {"value": 0.3}}
    judged = stage(check("kl"), check("gain"), check("kl.n", observed=3), metrics=metrics)
    assert mismatches(judged) == ["gain"]
