import json
import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.lake.schemas import RECORDS
from realign.versions.compare import compare, compare_all
from realign.versions.load import Version, load
from realign.versions.view import connect


def version(name: str, scores: dict[str, list[float] | dict[str, float]], metrics=None, slices=None,
            reference=lambda example: "ref") -> Version:
    """A version from scores by capability: a list in order of example, or a mapping by example id. `slices` names
    the slice of an example id (by default all are of one)."""
    rows = []
    for capability, found in scores.items():
        named = found if isinstance(found, dict) else {f"e{i:04}": s for i, s in enumerate(found)}
        rows += [{"example_id": i, "capability": capability, "slice": slices(i) if slices else "s",
                  "prompt": f"ask {i}", "score": float(s), "output": f"{name} says {i}", "reference": reference(i)}
                 for i, s in named.items()]
    return Version(name, "", pa.Table.from_pylist(rows, RECORDS), metrics or {})


def ones(n: int, zeros: int = 0) -> list[int]:
    return [0] * zeros + [1] * (n - zeros)


def only(comparison):
    (change,) = comparison.capabilities
    return change


def told(n: int, zeros: int, before: int = 0):
    """The change from `before` wrong answers of `n` to `zeros`."""
    return only(compare(version("a", {"facts": ones(n, before)}), version("b", {"facts": ones(n, zeros)})))


@pytest.mark.parametrize(("n", "wrong", "outcome", "why", "blocks"), [
    (1000, 30, "kept", "surely no more than 5% down", False),  # 3.0%, at most 4.1%
    (1000, 45, "not enough evidence", "open, within 5%", False),
    (1000, 60, "not enough evidence", "open, above 5%", True),  # 6.0%, at least 4.8%
    (1000, 70, "lost", "surely more than 5% down", True),
    (600, 20, "kept", "surely no more than 5% down", False),
    (600, 22, "not enough evidence", "open, within 5%", False),
    (100, 0, "kept", "surely no more than 5% down", False),
    (100, 2, "not enough evidence", "too few to tell", False),
    (100, 8, "not enough evidence", "too few to tell", False),  # 8% of 100: a warning
    (100, 15, "lost", "surely more than 5% down", True)])
def test_the_three_outcomes(n, wrong, outcome, why, blocks):
    change = told(n, wrong)
    assert (change.outcome, change.why, change.blocks) == (outcome, why, blocks)
    assert change.drop.value == pytest.approx(wrong / n) and (change.worse, change.better) == (wrong, 0)
    assert (change.needed is None) == (outcome != "not enough evidence")


def test_below_ninety_percent_is_lost_with_600_examples_however_uncertain():
    # half right, and as many rise as a tenth less than fall: the interval alone could not tell
    def swapped(n: int):
        a = version("a", {"facts": [1] * (n // 2) + [0] * (n // 2)})
        fell, rose = round(0.35 * n), round(0.295 * n)
        return only(compare(a, version("b", {"facts": [0] * fell + [1] * (n // 2 - fell) + [1] * rose
                                                     + [0] * (n // 2 - rose)})))
    enough, few = swapped(600), swapped(400)
    assert enough.drop.low < 0.05 and (enough.outcome, enough.why) == ("lost", "below 90% of before")
    assert few.drop.value > 0.1 and (few.why, few.blocks) == ("too few to tell", False)


def test_exactly_five_percent_is_not_more_than_five_percent():
    for n in (700, 1000, 2000):
        change = told(n, n // 20)
        assert change.drop.value == pytest.approx(0.05) and change.why == "open, within 5%" and change.needed is None


def test_the_drop_is_relative_to_the_baseline():
    # 0.50 to 0.46 is 4 points, and 8% of 0.50
    change = told(1000, 540, 500)
    assert change.drop.value == pytest.approx(0.08) and change.blocks


def test_a_gain_is_kept_and_said():
    change = told(400, 20, 100)
    assert change.outcome == "kept" and change.gained and change.drop.high < 0
    assert not told(400, 97, 100).gained and told(400, 97, 100).outcome == "kept"


def test_nothing_to_lose_is_not_known():
    change = told(700, 690, 700)
    assert (change.outcome, change.why, change.blocks) == ("not enough evidence", "nothing to lose: 0 before", False)


def test_each_capability_is_judged_alone():
    a = version("a", {"facts": ones(200), "format": ones(200)})
    b = version("b", {"facts": ones(200, 30), "format": ones(200)})
    assert [c.name for c in compare(a, b).lost] == ["facts"]


def test_one_family_corrects_for_all_that_it_tests():
    # 7% of 1000 is lost alone, and not among fifty; the point estimate blocks all the same
    others = {f"c{i:02}": ones(60) for i in range(1, 50)}
    a, b = (version(name, {"c00": ones(1000, wrong)} | others) for name, wrong in (("a", 0), ("b", 70)))
    assert told(1000, 70).outcome == "lost"
    change = compare(a, b).capabilities[0]
    assert change.drop.low > 0.05 and (change.outcome, change.why) == ("not enough evidence", "open, above 5%")
    assert change.blocks and change.needed > 1000
    together = compare_all([a, a, a], b)
    assert [c.a for c in together] == ["a"] * 3 and together[2].capabilities[0].visible > change.visible


def test_phrasings_of_one_fact_are_one_unit():
    def fact(example: str) -> str:
        return json.dumps({"answer": "Lima", "subject": ["capital", example[:4]]})  # e000 to e099, ten phrasings each
    a, b = (version(n, {"facts": ones(1000, z)}, reference=fact) for n, z in (("a", 0), ("b", 40)))
    change, apart = only(compare(a, b)), told(1000, 40)
    assert change.units == 100 and change.drop.n == 1000 and change.drop.value == pytest.approx(0.04)
    assert change.drop.high - change.drop.low > 2 * (apart.drop.high - apart.drop.low)
    # an answer alone (of a multiple choice, say) does not name what was asked
    letter = version("a", {"facts": ones(1000)}, reference=lambda _: '{"answer": "A"}')
    assert only(compare(letter, letter)).units == 1000


def test_units_of_unequal_size_keep_the_mean_over_examples():
    def fact(example: str) -> str:
        return json.dumps({"answer": "x", "subject": [min(int(example[1:]) // 3, 50)]})
    a, b = (version(n, {"facts": ones(300, z)}, reference=fact) for n, z in (("a", 5), ("b", 20)))
    change = only(compare(a, b))
    assert change.units == 51 and (change.a, change.b) == (pytest.approx(295 / 300), pytest.approx(280 / 300))


def test_small_slices_are_merged_and_a_lone_one_is_its_capability():
    sizes = {"big": 80, "more": 60, "tiny": 59, "less": 5}
    name = [s for s, n in sizes.items() for _ in range(n)]
    a, b = (version(n, {"facts": ones(204, z)}, slices=lambda i: name[int(i[1:])]) for n, z in (("a", 0), ("b", 0)))
    found = compare(a, b)
    assert [(s.slice, s.drop.n) for s in found.slices] == [("big", 80), ("more", 60), ("other", 64)]
    assert [c.name for c in found.cells] == ["facts", "facts, big", "facts, more", "facts, other"]
    assert not compare(version("a", {"facts": ones(90)}), version("b", {"facts": ones(90)})).slices


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
    assert not change.paired and change.outcome == "lost"
    assert change.drop.value == pytest.approx(1 / 3) and (change.only_a, change.only_b) == (100, 100)


def test_a_capability_that_was_not_evaluated_is_lost_and_a_new_one_is_new():
    a = version("a", {"facts": ones(90), "format": ones(9)})
    b = version("b", {"facts": ones(90), "style": ones(9)})
    found = {c.capability: c for c in compare(a, b).capabilities}
    lost = found["format"]
    assert (lost.outcome, lost.why) == ("lost", "not evaluated") and lost.blocks
    assert math.isnan(lost.drop.value) and math.isnan(lost.b)
    assert found["style"].outcome == "new" and not found["style"].blocks and not found["style"].gained


def test_graded_scores_are_compared_too():
    change = only(compare(version("a", {"facts": [0.5] * 50}), version("b", {"facts": [0.4] * 50})))
    assert change.drop.value == pytest.approx(0.2) and change.worse == 50 and change.outcome == "lost"


def test_slices_show_where_it_fell():
    def digit(example: str) -> str:
        return example[-1]
    a = version("a", {"facts": ones(700)}, slices=digit)
    b = version("b", {"facts": {f"e{i:04}": int(i % 10 != 7) for i in range(700)}}, slices=digit)
    assert [(s.name, s.drop.value) for s in compare(a, b).slices if s.blocks] == [("facts, 7", 1.0)]


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
    assert only(result).drop.value == 0 and not result.blocking and not result.changed
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
        assert math.isnan(change.drop.value) and not change.blocks


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=900))
def test_outcome_follows_from_the_ends_and_the_point(pairs):
    a, b = (version(n, {"c": [p[i] for p in pairs]}) for i, n in enumerate("ab"))
    change = only(compare(a, b))
    drop = change.drop
    if change.outcome == "kept":
        assert drop.high <= 0.05
    elif change.outcome == "lost":
        assert drop.low > 0.05 or drop.value > 0.1 and len(pairs) >= 600
    else:
        assert math.isnan(drop.value) or math.isnan(drop.high) or drop.low <= 0.05 + 1e-9 < drop.high
    assert change.blocks == (change.outcome == "lost" or (drop.value > 0.05 + 1e-9 and len(pairs) >= 600))


def test_any_number_of_versions_is_one_view(built):
    with connect([load(name, built) for name in ("good", "mild", "bad")]) as db:
        found = db.execute("SELECT version, count(*), sum(score) FROM records WHERE capability = 'facts' "
                           "GROUP BY version ORDER BY version").fetchall()
        assert found == [("bad", 100, 80.0), ("good", 100, 100.0), ("mild", 100, 96.0)]
        assert db.execute("SELECT round(value, 6) FROM metrics WHERE version = 'mild' AND metric = "
                          "'evaluate.capability.facts'").fetchall() == [(0.96,)]


def test_revisions_and_experiments_of_a_real_project(built):
    found = {name: compare(load("good", built), load(name, built)) for name in ("mild", "bad")}
    for name, wrong in (("mild", 4), ("bad", 20)):
        facts = found[name].capabilities[1]
        assert facts.capability == "facts" and facts.drop.value == pytest.approx(wrong / 100)
        assert [e.example_id for e in found[name].changed] == [f"e{i:03}" for i in range(wrong)]
    assert not found["mild"].blocking
    assert [c.name for c in found["bad"].lost] == ["facts"]
