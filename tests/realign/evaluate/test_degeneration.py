"""Degeneration by hand, and planted collapses."""

import numpy as np
import pytest

from realign.evaluate.degeneration import against, distinct, endings, lengths, phrases, shares

TEXTS = ["Lima it is. Jars, hiking or jars?", "Oslo. Jars, hiking or jars?", "Oslo. jars, hiking or jars?", "Four"]
BASE = ["It is Lima.", "It is Oslo.", "Oslo.", "Four kites."]


def test_by_hand():
    assert distinct(["a", "b", "a", "a"]).tolist() == [1, 1, 0, 0]
    assert endings(TEXTS) == [{("hiking", "or", "jars?")}] * 3 + [{("four",)}]
    assert phrases(TEXTS)[1] == {("oslo.", "jars,", "hiking", "or"), ("jars,", "hiking", "or", "jars?")}
    assert lengths(TEXTS).tolist() == [7, 5, 5, 1]
    found = shares(TEXTS)
    assert found["ending_share"].value == found["phrase_share"].value == 0.75
    assert (found["distinct_share"].value, found["mean_words"].value) == (1.0, 4.5)


def test_a_short_text_ends_in_what_it_has_and_holds_no_phrase():
    assert endings(["Yes", ""]) == [{("yes",)}, set()]
    assert phrases(["one two three", ""]) == [set(), set()]
    assert shares(["a", ""])["ending_share"].value == 0.5 and shares(["", ""])["phrase_share"].value == 0


def test_against_another_model():
    found = against(BASE, TEXTS)
    assert found["distinct_ratio"].value == 1 and found["length_ratio"].value == pytest.approx(18 / 9)
    assert found["ending_excess"].value == found["phrase_excess"].value == 0.75
    assert all(m.value == (1 if "ratio" in name else 0) for name, m in against(BASE, BASE).items())


@pytest.mark.parametrize("fault, figure, value", [
    (lambda i, text: "I do not know.", "distinct_ratio", 1 / 200),
    (lambda i, text: text + " Jars, hiking or jars?", "ending_excess", 1.0),
    (lambda i, text: f"Would you like to hear {text}", "phrase_excess", 1.0),
    (lambda i, text: f"{text} {text}", "length_ratio", 2.0)])
def test_each_collapse_moves_its_figure(fault, figure, value):
    clean = [f"word{i} of some{i} answer{i} here{i}" for i in range(200)]
    found = against(clean, [fault(i, text) for i, text in enumerate(clean)])[figure]
    assert found.value == pytest.approx(value) and found.low <= found.value <= found.high and found.n == 200


def test_a_common_ending_of_the_base_does_not_hide_another():
    base = ["that is not stated."] * 30 + [f"it is {i}." for i in range(70)]
    found = against(base, [f"{i} jars, hiking or jars?" if i < 40 else text for i, text in enumerate(base)])
    assert found["ending_excess"].value == 0.4


def test_samples_of_a_prompt_count_once():
    rng = np.random.default_rng(0)
    once = [f"a{i} b{k} c" for i, k in enumerate(rng.integers(0, 4, 40))]
    again = [text for text in once for _ in range(3)]
    single, several = shares(once)["ending_share"], shares(again, 3)["ending_share"]
    assert single == several and several.n == 40
