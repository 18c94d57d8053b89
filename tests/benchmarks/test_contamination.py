"""What decontamination must find, by kind of edit, and what it must not, on GSM8K; and the page that tells it."""

import random
from pathlib import Path

import pytest

from benchmarks import contamination
from benchmarks.contamination import Measured
from benchmarks.edits import EDITS, NAMES, ORDER, REPLACED, Row, World, edits_of, words_left
from realign.metrics import proportion

GSM8K = Path(__file__).parents[3] / "shared/data/gsm8k"
WORLD = World(["It rained all day."], ["Ann", "Bob", "Eve", "Mia"], ["stone", "river"])
ROW = Row("Ann has five red kites. Ann sells two of them, and Bob finds one more. How many kites has Ann now?",
          "Five less two is three.")


@pytest.fixture(scope="module")
def measured() -> Measured:
    if not GSM8K.exists():
        pytest.skip("GSM8K (shared/data/gsm8k) is not here")
    return contamination.gsm8k(GSM8K)


@pytest.mark.parametrize("kind", EDITS)
def test_every_kind_of_edit_is_found(kind, measured):
    found = measured.recall[kind]
    assert found.n > 500 and found.value >= 0.95


def test_hardly_any_other_row_is_flagged(measured):
    (flagged, total), = measured.alarms.values()
    assert total == 7473 and flagged <= 0.001 * total


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_is_drawn_alike_each_time_and_leaves_the_question(kind):
    texts, = edits_of(kind, [ROW], WORLD, 3)
    assert edits_of(kind, [ROW], WORLD, 3) == [texts]
    assert texts != [ROW.question] or kind == "as it is"


def test_edits_change_what_they_say_and_no_more():
    rng = random.Random(1)
    renamed, = EDITS[NAMES](ROW, WORLD, rng)
    assert "Ann" not in renamed and "Bob" not in renamed and words_left(ROW, renamed) == pytest.approx(17 / 21)
    replaced, = EDITS[REPLACED](ROW, WORLD, rng)
    assert words_left(ROW, replaced) == pytest.approx(19 / 21)
    shuffled, = EDITS[ORDER](ROW, WORLD, rng)
    assert sorted(shuffled.split()) == sorted(ROW.question.split()) and shuffled != ROW.question
    assert edits_of(ORDER, [Row("One sentence only?", "")], WORLD, 1) == []
    assert edits_of("answer alone", [Row("Who?", "Four words of it")], WORLD, 1) == []
    assert edits_of(NAMES, [Row("Ann met Bob", "")], WORLD, 1) == []  # not four fifths of the words are left


def test_the_tables_tell_recall_by_kind_and_false_alarms():
    text = contamination.table([Measured("toy", {"as it is": proportion(9, 10)}, {"rows": (1, 2000)})])
    assert "| as it is | 0.900 (0.596–0.982), n = 10 |" in text and "| upper case | – |" in text
    assert "| toy: rows | 1 | 2,000 |" in text
