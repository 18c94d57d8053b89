import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.lake.schemas import RECORDS
from realign.versions.compare import compare
from realign.versions.load import Version, load
from realign.versions.view import connect


def version(name: str, scores: dict[str, list[float] | dict[str, float]], metrics=None) -> Version:
    """A version from scores by capability: a list in order of example, or a mapping by example id."""
    rows = []
    for capability, found in scores.items():
        named = found if isinstance(found, dict) else {f"e{i:04}": s for i, s in enumerate(found)}
        rows += [{"example_id": i, "capability": capability, "slice": i[-1], "prompt": f"ask {i}", "score": float(s),
                      "output": f"{name} says {i}", "reference": "ref"} for i, s in named.items()]
    return Version(name, "", pa.Table.from_pylist(rows, RECORDS), metrics or {})


def ones(n: int, zeros: int = 0) -> list[int]:
    return [0] * zeros + [1] * (n - zeros)


def only(comparison):
    (change,) = comparison.capabilities
    return change


def test_six_percent_down_is_a_regression_and_four_is_not():
    a, six, four = (version(n, {"facts": ones(1000, z)}) for n, z in (("a", 0), ("six", 60), ("four", 40)))
    down = only(compare(a, six))
    assert down.regression and down.real and down.drop.value == pytest.approx(0.06)
    assert (down.worse, down.better, down.drop.n) == (60, 0, 1000)
    mild = only(compare(a, four))
    assert not mild.regression and mild.real and mild.drop.value == pytest.approx(0.04)


def test_exactly_five_percent_is_not_more_than_five_percent():
    for n in (20, 100, 1000, 700):
        change = only(compare(version("a", {"facts": ones(n)}), version("b", {"facts": ones(n, n // 20)})))
        assert not change.regression and change.drop.value == pytest.approx(0.05)


def test_the_drop_is_relative_to_the_baseline():
    # 0.50 to 0.46 is 4 points, and 8% of 0.50
    a, b = version("a", {"facts": ones(1000, 500)}), version("b", {"facts": ones(1000, 540)})
    assert only(compare(a, b)).drop.value == pytest.approx(0.08) and only(compare(a, b)).regression


def test_noise_is_called_noise_but_still_a_regression():
    # 8 lost and 6 gained of 30: the estimate is over 5%, the evidence is not
    a = version("a", {"facts": [1] * 24 + [0] * 6})
    b = version("b", {"facts": [0] * 8 + [1] * 16 + [1] * 6})
    change = only(compare(a, b))
    assert change.regression and not change.real and change.p_value > 0.5


def test_a_gain_is_no_regression():
    change = only(compare(version("a", {"facts": ones(400, 100)}), version("b", {"facts": ones(400, 20)})))
    assert not change.regression and change.real and change.drop.value < 0 and change.drop.high < 0


def test_each_capability_is_judged_alone():
    a = version("a", {"facts": ones(200), "format": ones(200)})
    b = version("b", {"facts": ones(200, 30), "format": ones(200)})
    assert [c.capability for c in compare(a, b).regressions] == ["facts"]


def test_pairing_is_by_example_not_by_position():
    a = version("a", {"facts": {"x1": 1, "x2": 0, "x3": 1}})
    b = version("b", {"facts": {"x3": 1, "x1": 1, "x2": 0}})
    change = only(compare(a, b))
    assert (change.worse, change.better, change.drop.value) == (0, 0, 0)


def test_examples_that_one_side_lacks_are_counted_and_left_out():
    a = version("a", {"facts": {f"e{i}": 1 for i in range(10)}})
    b = version("b", {"facts": {f"e{i}": 1 for i in range(2, 14)} | {"e13": 0}})
    change = only(compare(a, b))
    assert change.paired and (change.only_a, change.only_b, change.drop.n) == (2, 4, 8)
    assert change.drop.value == 0  # e13 is not in A


def test_a_changed_evaluation_set_is_compared_unpaired():
    a = version("a", {"facts": {f"old{i}": int(i < 90) for i in range(100)}})
    b = version("b", {"facts": {f"new{i}": int(i < 60) for i in range(100)}})
    change = only(compare(a, b))
    assert not change.paired and change.p_value is None and change.regression and change.real
    assert change.drop.value == pytest.approx(1 / 3) and (change.only_a, change.only_b) == (100, 100)


def test_a_capability_that_b_lost_is_a_regression_and_a_new_one_is_not():
    a = version("a", {"facts": ones(9), "format": ones(9)})
    b = version("b", {"facts": ones(9), "style": ones(9)})
    found = {c.capability: c for c in compare(a, b).capabilities}
    lost = found["format"]
    assert lost.regression and math.isnan(lost.drop.value) and math.isnan(lost.b)
    assert not found["style"].regression and not found["style"].real


def test_graded_scores_have_no_mcnemar():
    change = only(compare(version("a", {"facts": [0.5] * 50}), version("b", {"facts": [0.4] * 50})))
    assert change.p_value is None and change.drop.value == pytest.approx(0.2) and change.worse == 50


def test_slices_show_where_it_fell():
    a = version("a", {"facts": ones(200)})
    b = version("b", {"facts": {f"e{i:04}": int(i % 10 != 7) for i in range(200)}})
    fell = [s for s in compare(a, b).slices if s.regression]
    assert [(s.capability, s.slice, s.drop.value) for s in fell] == [("facts", "7", 1.0)]


def test_changed_examples_come_worst_first_with_both_answers():
    a = version("a", {"facts": {"p": 1, "q": 1, "r": 0}, "format": {"p": 0.5}})
    b = version("b", {"facts": {"p": 0.4, "q": 0, "r": 1}, "format": {"p": 0.5}})
    worst, other = compare(a, b).changed
    assert (worst.example_id, worst.score_a, worst.score_b) == ("q", 1, 0)
    assert (worst.prompt, worst.output_a, worst.output_b) == ("ask q", "a says q", "b says q")
    assert other.example_id == "p"


def test_a_version_compared_with_itself_is_the_same():
    same = version("a", {"facts": ones(50, 5)}, {"m": {"value": 1.0, "n": 1, "low": 1.0, "high": 1.0}})
    result = compare(same, same)
    assert only(result).drop.value == 0 and not only(result).real and not result.changed
    assert result.metrics[0].delta == 0


def test_metrics_are_set_side_by_side():
    def metric(value, low, high):
        return {"value": value, "n": 10, "low": low, "high": high}
    a = version("a", {"facts": [1]}, {"s.kl": metric(0.1, 0.05, 0.15), "s.loss": metric(2, 1, 3),
                                      "s.old": metric(1, 1, 1)})
    b = version("b", {"facts": [1]}, {"s.kl": metric(0.3, 0.2, 0.4), "s.loss": metric(2.5, 1.5, 3.5),
                                      "s.new": metric(None, None, None)})
    found = {m.metric: m for m in compare(a, b).metrics}
    assert found["s.kl"].real and found["s.kl"].delta == pytest.approx(0.2)
    assert not found["s.loss"].real and found["s.loss"].delta == pytest.approx(0.5)
    assert found["s.old"].b is None and found["s.new"].a is None and math.isnan(found["s.new"].b.value)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40), st.randoms())
def test_comparison_agrees_with_plain_arithmetic_and_ignores_row_order(scores, random):
    a = {f"e{i}": s / 4 for i, (s, _) in enumerate(scores)}
    b = {f"e{i}": s / 4 for i, (_, s) in enumerate(scores)}
    shuffled = dict(random.sample(list(b.items()), len(b)))
    change = only(compare(version("a", {"c": a}), version("b", {"c": shuffled})))
    back = only(compare(version("b", {"c": b}), version("a", {"c": a})))
    assert change.worse == back.better == sum(b[i] < a[i] for i in a)
    if sum(a.values()):
        assert change.drop.value == pytest.approx(1 - sum(b.values()) / sum(a.values()))
    else:
        assert math.isnan(change.drop.value) and not change.regression


def test_any_number_of_versions_is_one_view(built):
    with connect([load(name, built) for name in ("good", "mild", "bad")]) as db:
        found = db.execute("SELECT version, count(*), sum(score) FROM records WHERE capability = 'facts' "
                           "GROUP BY version ORDER BY version").fetchall()
        assert found == [("bad", 100, 94.0), ("good", 100, 100.0), ("mild", 100, 96.0)]
        assert db.execute("SELECT round(value, 6) FROM metrics WHERE version = 'mild' AND metric = "
                          "'evaluate.capability.facts'").fetchall() == [(0.96,)]


def test_revisions_and_experiments_of_a_real_project(built):
    found = {name: compare(load("good", built), load(name, built)) for name in ("mild", "bad")}
    assert not found["mild"].regressions
    (down,) = found["bad"].regressions
    assert down.capability == "facts" and down.drop.value == pytest.approx(0.06)
    assert [e.example_id for e in found["bad"].changed] == [f"e{i:03}" for i in range(6)]
