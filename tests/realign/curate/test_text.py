import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.text import normalise, pair_texts


@pytest.mark.parametrize(("text", "normal"), [
    ("  Hello,\n\tWORLD!! ", "hello world"),
    ("Ｆｕｌｌ－ｗｉｄｔｈ ﬁne", "full width fine"),
    ("`code` **bold** | cell |", "code bold cell"),
    ("it's well-known", "it s well known"),
    ("हिन्दी!", "हिन्दी"),
    ("3 + 4", "3 plus 4"),
    ("(3+4)*2", "3 plus 4 times 2"),
    ("12 − 5 = 7", "12 minus 5 7"),
    ("at -4.5 °C", "at minus 4 point 5 °c"),
    ("- 4 apples", "4 apples"),
    ("costs $5", "costs $5"),
    ("👍", "👍"),
    ("?!", "?!"),
    ("", ""),
])
def test_worked_examples(text, normal):
    assert normalise(text) == normal


@pytest.mark.parametrize(("a", "b"), [("12 * 5", "12 / 5"), ("12 - 5", "12 + 5"), ("3.14", "314"),
                                      ("-5", "5"), ("👍", "👎"), ("ही", "हि")])
def test_different_things_stay_different(a, b):
    assert normalise(f"What is {a}?") != normalise(f"What is {b}?")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_white_space_is_single_and_never_at_the_ends(text):
    assert normalise(text) == " ".join(normalise(text).split())


@settings(deadline=None)
@given(st.lists(st.text("abcxyz", min_size=1), min_size=1, max_size=6), st.sampled_from([" ", ", ", " -- "]))
def test_case_and_punctuation_between_words_do_not_count(words, between):
    assert normalise(between.join(words).upper() + "!") == " ".join(words)


def test_the_texts_of_a_pair():
    row = {"messages": [{"role": "user", "content": "q"}], "chosen": "a", "rejected": "b"}
    assert pair_texts(row) == ["q", "a", "b"]
