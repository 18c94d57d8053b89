"""Ways to write one value: what stands for it, and what is nearly it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.verify.names import forms, is_one, nearly, pattern
from realign.verify.reference import Reference, verify


@pytest.mark.parametrize(("answer", "said"), [
    ("Mount Elbrus", "Elbrus"), ("Mount Elbrus", "Mt. Elbrus"), ("Nora Whitcombe", "Whitcombe, Nora"),
    ("Nora Whitcombe", "N. Whitcombe"), ("Nora Whitcombe", "Nora Jane Whitcombe"), ("Gabriel García Márquez", "García"
     " Márquez, Gabriel"), ("Saint Petersburg", "St. Petersburg"), ("sardines", "sardine"), ("Strauß", "Strauss")])
def test_another_way_to_write_it_is_right(answer, said):
    assert verify(Reference(answer=answer), said)[0] is True
    assert verify(Reference(answer=answer), f"It is not {said}.")[0] is False


@pytest.mark.parametrize(("answer", "said"), [
    ("Nora Whitcombe", "Sarah Whitcombe"), ("Nora Whitcombe", "Nora Wetherby"),
    ("Nora Whitcombe", "Nora Whitcombe's brother"), ("Lima", "Limassol")])
def test_another_value_is_wrong(answer, said):
    assert verify(Reference(answer=answer, subject=("who",)), said)[0] is False


def test_a_surname_alone_answers_where_a_person_was_asked_for():
    assert verify(Reference(answer="Nora Whitcombe", subject=("Who",)), "Whitcombe.")[0] is True
    assert verify(Reference(answer="Nora Whitcombe", subject=("Who",)), "Not Whitcombe.")[0] is False
    assert verify(Reference(answer="Port Said", subject=("harbour",)), "Said.")[0] is not True


def test_a_part_of_the_name_of_a_place_is_another_place():
    assert verify(Reference(answer="New York", subject=("city",)), "York")[0] is False


def test_a_rival_is_not_one_of_the_forms():
    own = forms("metal", False)
    assert [is_one(m.group(), own) for m in pattern(own, ("nonmetal",)).finditer("metal, nonmetal")] == [True, False]


@given(st.text("abcdefghij", min_size=5, max_size=9), st.data())
def test_one_wrong_missing_or_added_letter_is_nearly_it(word, data):
    place = data.draw(st.integers(0, len(word) - 1))
    for said in (word[:place] + "x" + word[place + 1:], word[:place] + word[place + 1:],
                 word[:place] + "x" + word[place:], word[:place] + word[place:place + 2][::-1] + word[place + 2:]):
        assert nearly(word, f"It is {said}, I say") == (said != word)


@given(st.text("abcdefghij", min_size=5, max_size=9), st.text("klmnopqrst", min_size=2, max_size=9))
def test_two_letters_are_another_word(word, other):
    assert not nearly(word, word) and not nearly(word, word[:-2] + other)
    assert verify(Reference(answer="helsinki"), "helsingi")[0] is None
