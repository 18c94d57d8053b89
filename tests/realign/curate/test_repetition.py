import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.checks import Limits, check
from realign.curate.ngrams import words_of
from realign.curate.repetition import may_repeat, repetition
from realign.curate.text import texts_of

CLEAN = "The Baltic is a shallow sea in the north of Europe."


def test_repetition_by_hand():
    assert repetition(CLEAN) == 0
    assert repetition("a b c a b c") == 0  # twice is no evidence
    assert repetition("a b c a b c a b c") == pytest.approx(3 / 7)
    assert repetition("no " * 6) == 1
    assert repetition("yes\nno\nyes\nmaybe\nyes\n") == pytest.approx(3 / 5)
    sentence = " ".join(f"w{i}" for i in range(15))
    assert repetition(f"{sentence}. {sentence}") == pytest.approx(15 / 30)
    assert repetition(f"{sentence} {' '.join(f'v{i}' for i in range(15))}") == 0
    assert repetition("") == 0


def test_a_list_of_facts_is_no_repetition():
    text = " ".join(f"The capital of Land{i} is City{i}." for i in range(5))
    kept, rejected = check(pl.DataFrame({"text": [text]}), pl.concat_list("text"), Limits())
    assert (kept.height, rejected.height) == (1, 0)


LINES = st.lists(st.sampled_from(["yes", "no", "a b c", "1 + 2", "1 plus 2", "?", ""]), max_size=8)
LOOPS = st.tuples(st.lists(st.sampled_from("abcdefghijk"), max_size=16), st.integers(1, 4), st.lists(
    st.sampled_from("lmnopqrstuvwxyz"), max_size=30)).map(lambda drawn: " ".join(drawn[0] * drawn[1] + drawn[2]))


@settings(deadline=None, max_examples=100)
@given(st.lists(LOOPS | LINES.map("\n".join) | LINES.map("\x1d".join) | st.text("ab \n", max_size=40), max_size=6),
       st.floats(0, 1))
def test_no_text_that_repeats_itself_is_overlooked(texts, limit):
    found = texts_of(pl.DataFrame({"text": texts}, {"text": pl.String}), pl.concat_list("text"))
    marked = may_repeat(found, words_of(found["normal"]), limit)
    assert [t for t, m in zip(texts, marked, strict=True) if repetition(t) > limit and not m] == []


def test_few_texts_are_looked_at_in_vain():
    texts = [" ".join(random.Random(i).choices([f"w{j}" for j in range(97)], k=150)) for i in range(50)]
    found = texts_of(pl.DataFrame({"text": texts}), pl.concat_list("text"))
    assert not may_repeat(found, words_of(found["normal"]), 0.4).any()
