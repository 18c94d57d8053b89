import pytest

from realign.gates.verdict import threshold
from realign.report.sources import Stage
from realign.report.verdicts import decisions, limit, mismatches


def check(metric="kl", text="≤ 0.1", severity="critical", passed=True, observed=0.05):
    return {"metric": metric, "observed": observed, "low": 0.04, "high": 0.06, "n": 200, "threshold": text,
            "expectation": "expect_column_values_to_be_between", "severity": severity, "passed": passed}


def stage(*checks, metrics=None):
    return Stage("rl", metrics or {}, {}, [], {"tier": "HIGH", "checks": list(checks)}, True, False)


@pytest.mark.parametrize(("kwargs", "floor", "ceiling"), [
    ({"min_value": 0.15}, 0.15, None), ({"max_value": 0.1}, None, 0.1),
    ({"min_value": 0.5, "max_value": 2}, 0.5, 2),
    ({"min_value": 0, "strict_min": True}, 0, None), ({"max_value": 0.1, "strict_max": True}, None, 0.1),
    ({"min_value": 0, "max_value": 0}, 0, 0), ({"min_value": -0.25}, -0.25, None),
    ({"min_value": 1e-05}, 1e-05, None),
])
def test_every_range_that_a_gate_words_is_read_back(kwargs, floor, ceiling):
    text = threshold({"type": "expect_column_values_to_be_between", "kwargs": {"column": "x", **kwargs}})
    assert (limit(check(text=text)).floor, limit(check(text=text)).ceiling) == (floor, ceiling)


@pytest.mark.parametrize("text", ["not null", "≥ 0 and ≤ 1 on ≥ 99% of rows", "be unique", "", None,
                                  "chosen_score > rejected_score"])
def test_what_is_no_range_of_the_figure_is_not_taken_for_one(text):
    assert limit(check(text=text)) is None


def test_two_severities_make_one_decision():
    made = decisions(stage(check(text="≥ 0.15", severity="warning", passed=False, observed=0.12),
                           check(text="≥ 0.1", observed=0.12)))
    assert [(d.failed, d.wording.replace("\N{NO-BREAK SPACE}", " ")) for d in made] == [
        ("warning", "HIGH needs ≥ 0.15, MEDIUM ≥ 0.1")]
    assert (made[0].should.floor, made[0].must.floor) == (0.15, 0.1)


def test_the_worst_comes_first_and_passed_evidence_is_left_out():
    made = decisions(stage(check("entropy"), check("kl.n", "≥ 100"), check("kl", "not null"),
                           check("pairs[rows]", "≥ 1"), check("gain", severity="warning", passed=False),
                           check("kl", passed=False), check("length", severity="info", passed=False)))
    assert [(d.metric, d.failed) for d in made] == [("kl", "critical"), ("gain", "warning"), ("entropy", "")]


def test_failed_evidence_decides():
    made = decisions(stage(check("kl.n", "≥ 100", passed=False, observed=20),
                           check("kl", "not null", passed=False, observed=None)))
    assert [(d.metric, d.wording.replace("\N{NO-BREAK SPACE}", " ")) for d in made] == [
        ("kl.n", "must be ≥ 100"), ("kl", "must be not null")]


def test_only_another_figure_is_a_mismatch():
    metrics = {"kl": {"value": 0.0500004}, "gain": {"value": 0.3}}
    judged = stage(check("kl"), check("gain"), check("kl.n", observed=3), metrics=metrics)
    assert mismatches(judged) == ["gain"]
