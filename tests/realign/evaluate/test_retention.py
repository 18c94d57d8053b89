"""How much of each capability is left, example by example."""


import numpy as np
import pytest

from realign.evaluate.retention import LEAST, retention, slice_retention


def records(capability: str, scores, first: int = 0) -> list[dict]:
    return [{"example_id": f"{capability} {i}", "capability": capability, "score": float(score),
             "reference": "{}"} for i, score in enumerate(scores, first)]


def test_a_worked_example():
    before = records("facts", [1, 1, 1, 0]) + records("sums", [1, 0]) + records("tone", [1])
    after = records("facts", [1, 0, 1, 0]) + records("sums", [1, 1])
    found = retention(before, after)
    assert list(found) == ["facts", "sums"]  # of what was answered in the end
    assert (found["facts"].value, found["facts"].n) == (pytest.approx(2 / 3), 4)
    assert (found["sums"].value, found["sums"].n) == (pytest.approx(2.0), 2)
    assert found["facts"].low <= 2 / 3 <= found["facts"].high


def test_the_order_of_records_does_not_matter_and_those_of_before_are_found_by_name():
    before, after = records("facts", [1, 1, 0, 1, 0]), records("facts", [1, 0, 0, 1, 1])
    found = retention(before[::-1], after)
    assert found == retention(before + records("facts", [0, 0, 0], first=9), after)
    assert found["facts"].value == pytest.approx(1.0)
    swapped = records("facts", [1, 1, 0, 1, 0])
    assert retention(before, swapped)["facts"].value == found["facts"].value  # the same sums
    assert retention(before, swapped)["facts"] != found["facts"]  # but not the same pairs


def test_the_interval_is_of_pairs():
    """Nothing lost, example by example: a narrow interval, but no certainty, as one of 80 may be lost all the same.
    Unpaired, it would be as wide as both accuracies."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 2, 80)
    same = retention(records("facts", scores), records("facts", scores))["facts"]
    assert same.value == 1.0 and 0.88 < same.low < 0.98 and 1.0 < same.high < 1.1
    turned = retention(records("facts", scores), records("facts", rng.permutation(scores)))["facts"]
    assert turned.value == pytest.approx(1.0) and turned.high - turned.low > 0.2


def test_the_interval_covers_the_truth():
    """Of what was right, nine in ten stay right; of what was wrong, nothing turns right."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(60):
        old = rng.random(120) < 0.7
        found = retention(records("facts", old), records("facts", old & (rng.random(120) < 0.9)))["facts"]
        covered += found.low <= 0.9 <= found.high
    assert 0.85 <= covered / 60 <= 1.0


def test_examples_that_ask_the_same_fact_stand_together():
    """Twenty facts, each asked in five ways, three of which are lost in every one: three losses, not fifteen."""
    def asked(lost: int, reference: str) -> list[dict]:
        return [row | {"reference": reference.replace("?", str(i // 5)), "score": float(i // 5 >= lost)}
                for i, row in enumerate(records("facts", [1] * 100))]
    fact = '{"answer": "a ?", "subject": ["s"]}'
    one, many = (retention(asked(0, said), asked(3, said))["facts"] for said in (fact, "{}"))
    assert one.value == many.value == pytest.approx(0.85) and one.n == many.n == 100
    assert one.low < many.low - 0.05


@pytest.mark.parametrize("n", [100, 600])
def test_few_changed_examples_are_covered_too(n):
    """Where 1 in 100 is lost: the bootstrap of pairs covered 62 to 74% of such intervals."""
    rng = np.random.default_rng(2)
    found = [retention(records("facts", np.ones(n)), records("facts", rng.random(n) >= 0.01))["facts"]
             for _ in range(60)]
    assert sum(metric.low <= 0.99 <= metric.high for metric in found) >= 54


@pytest.mark.parametrize("after", [[0, 0, 0], [0, 1, 1]])
def test_what_was_never_right_has_nothing_to_lose_and_is_left_out(after):
    assert retention(records("facts", [0, 0, 0]), records("facts", after)) == {}


def test_an_example_that_was_not_asked_before_is_an_error():
    with pytest.raises(KeyError, match="facts 2"):
        retention(records("facts", [1, 1]), records("facts", [1, 1, 1]))


def test_one_example_says_next_to_nothing_and_none_has_no_capability():
    found = retention(records("facts", [1]), records("facts", [1]))["facts"]
    assert found.value == 1.0 and not found.low > 0.3
    assert retention(records("facts", [1]), []) == {}


def sliced(name: str, scores) -> list[dict]:
    return [{"example_id": f"{name} {i}", "capability": "sums", "slice": name, "score": float(score),
             "reference": "{}"} for i, score in enumerate(scores)]


def test_a_slice_is_held_to_its_own_rows():
    before = sliced("one step", [1] * 80) + sliced("two steps", [1] * 100)
    after = sliced("one step", [1] * 80) + sliced("two steps", [1] * 60 + [0] * 40)
    found = slice_retention(before, after)
    assert {name: (m.value, m.n) for name, m in found.items()} == {
        "sums/one step": (1.0, 80), "sums/two steps": (0.6, 100)}


def test_small_slices_are_taken_together_and_left_out_where_even_that_is_too_few():
    few = LEAST // 2
    before = sliced("big", [1] * LEAST) + sliced("a", [1] * few) + sliced("b", [1] * few)
    after = sliced("big", [1] * LEAST) + sliced("a", [0] * few) + sliced("b", [1] * few)
    assert {name: m.value for name, m in slice_retention(before, after).items()} == {"sums/big": 1.0, "sums/other": 0.5}
    assert set(slice_retention(before[:-few], after[:-few])) == {"sums/big"}
