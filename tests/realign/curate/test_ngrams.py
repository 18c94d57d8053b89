import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.ngrams import words_of

texts = st.lists(st.lists(st.sampled_from(["a", "b", "ab", "é", "日本"]), max_size=6).map(" ".join), max_size=6)


def series(found: list[str]) -> pl.Series:
    return pl.Series(found, dtype=pl.String)


@settings(deadline=None)
@given(texts, st.integers(1, 5))
def test_ngrams_have_one_number_where_they_are_equal_and_another_where_not(found, n):
    every = " ".join(found).split()
    grams = [" ".join(every[i:i + n]) for i in range(len(every) - n + 1)]
    numbers = words_of(series(found)).ngrams(n).tolist()
    assert len(numbers) == len(grams)
    assert len(set(numbers)) == len(set(grams)) == len(set(zip(numbers, grams, strict=True)))


@settings(deadline=None)
@given(texts)
def test_the_words_of_each_text_are_known(found):
    words = words_of(series(found))
    assert np.diff(words.text).tolist() == [len(text.split()) for text in found]


def test_a_number_depends_on_the_words_alone():
    one, two = words_of(series(["x", "a b c"])), words_of(series(["b c a", "b c d", "", "a b"]))
    assert one.ngrams(3)[1] == two.ngrams(3)[2]
    assert words_of(series(["?"] * 300)[7:9]).ngrams(1)[0] == words_of(series(["?"])).ngrams(1)[0]


def test_many_different_ngrams_have_different_numbers():
    words = words_of(series([" ".join(str(i) for i in range(200_000))]))
    assert np.unique(words.ngrams(1)).size == np.unique(words.ngrams(13)).size + 12 == 200_000


def test_no_text_has_no_words():
    words = words_of(series([]))
    assert words.text.tolist() == [0] and words.ngrams(1).size == 0
