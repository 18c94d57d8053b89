import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.ngrams import words_of

# Bytes are read by eights.
LONG = ["12345678", "123456781", "12345678a", "1234567812345678", "12345678123456781", "日本日本日本"]
texts = st.lists(st.lists(st.sampled_from(["a", "b", "ab", "é", "日本", *LONG]), max_size=6).map(" ".join), max_size=6)


def series(found: list[str]) -> pl.Series:
    return pl.Series(found, dtype=pl.String)


@settings(deadline=None)
@given(texts, st.integers(1, 5))
def test_ngrams_have_one_number_where_they_are_equal_and_another_where_not(found, n):
    every = " ".join(found).split()
    grams = [" ".join(every[i:i + n]) for i in range(len(every) - n + 1)]
    words = words_of(series(found))
    numbers = words.ngrams(n).tolist()
    assert len(numbers) == len(grams)
    assert words.ngrams(n, slice(1, 4)).tolist() == numbers[1:][:max(0, min(4, len(every)) - n)]
    assert len(set(numbers)) == len(set(grams)) == len(set(zip(numbers, grams, strict=True)))


@settings(deadline=None)
@given(texts)
def test_the_words_of_each_text_are_known(found):
    words = words_of(series(found))
    assert np.diff(words.text).tolist() == [len(text.split()) for text in found]


@settings(deadline=None)
@given(st.lists(st.tuples(texts.map(" ".join), st.none() | texts.map(" ".join)), max_size=8))
def test_words_replaced_are_those_of_the_texts_with_replacements(drawn):
    other = np.array([i for i, (_, new) in enumerate(drawn) if new is not None], int)
    found = words_of(series([old for old, _ in drawn])).replaced(other, words_of(series([drawn[i][1] for i in other])))
    expected = words_of(series([old if new is None else new for old, new in drawn]))
    assert found.text.tolist() == expected.text.tolist() and found.numbers.tolist() == expected.numbers.tolist()


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
