"""What a text says once its form is undone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.verify.form import normal, unwrapped

LIST = "A) flute\nB) harp\nC) cello\n"


@pytest.mark.parametrize(("text", "said"), [
    ('{"answer": "Turku", "rejected": "Oslo"}', "Turku"), ('```json\n{"Answer": 7}\n```', "7"),
    ('{"capital": "Oslo"}', "Oslo"), ("<answer> Oslo </answer> in Norway", " Oslo "), (f"{LIST}Correct: C", "cello"),
    (f"{LIST}The answer is (b).", "harp"), ("1. flute\n2. harp\nAnswer: 2", "harp")])
def test_what_a_form_holds_is_the_answer(text, said):
    assert unwrapped(text, of_number=False) == said


@pytest.mark.parametrize("text", ["Oslo", "", "{", '{"a": "Oslo", "b": "Turku"}', LIST, "The answer is b.",
                                  '{"answer": [1]}'])
def test_anything_else_stays_as_it_is(text):
    assert unwrapped(text, of_number=False) == text


def test_a_number_that_was_asked_for_chooses_no_option():
    steps = "1. Add 10 and 3.\n2. Halve it.\nAnswer: 2"
    assert unwrapped(steps, of_number=True) == steps


@pytest.mark.parametrize(("text", "said"), [
    ("It isn’t **Oslo**.", "It is not Oslo."), ("Bogotá", "Bogota"), ("2½ km", "2 1⁄2 km"), ("10⁶", "10^6"),
    ("$\\boxed{13}$", "$ {13}$"), ("Ms. N. Whitcombe", "Ms N Whitcombe"),
    ("It is C. It is Mt. Fuji.", "It is C. It is Mt. Fuji."),
    ("approx. 7", "approx 7"), ("I've", "I have"), ("~~Oslo~~ Turku", "  Turku")])
def test_a_text_in_plain_letters(text, said):
    assert normal(text) == said


@given(st.text())
def test_no_text_breaks_it(text):
    assert isinstance(unwrapped(text, of_number=False), str) and isinstance(normal(text), str)
