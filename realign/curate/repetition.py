"""How much of a text repeats itself."""

from collections import Counter

import numpy as np
import polars as pl

from realign.curate.ngrams import Words
from realign.curate.text import LINE_END, NO_SPACE, normalise

_REPEATS = 3  # fewer occurrences are no evidence of a loop
_LOOP = 10  # words


def repetition(text: str) -> float:
    """How much of `text` repeats itself, from 0 to 1: the largest of three shares.

    The most common word 3-gram among all 3-grams and the most common line among all lines, each
    once it occurs three times; and the words inside 10-grams that stood before (a loop of a whole
    sentence). After Rae et al. 2021 (Gopher), table A1.
    """
    words = normalise(text).split()
    lines = [normalise(line) for line in text.splitlines() if line.strip()]
    grams = [tuple(words[i:i + 3]) for i in range(len(words) - 2)]
    return max(_top_share(grams), _top_share(lines), _repeated_share(words, _LOOP))


def may_repeat(texts: pl.DataFrame, words: Words, limit: float) -> pl.Series:
    """The texts whose `repetition` could be above `limit`: all that are, and few others.

    `texts` is what `text.texts_of` makes, `words` the words of its normalised texts.
    """
    return pl.Series(_grams_may_repeat(words, limit)) | _lines_may_repeat(texts["folded"], limit)


def _grams_may_repeat(words: Words, limit: float) -> np.ndarray:
    """By the number r of 3-grams that stood before in their text, of w words.

    A 3-gram that occurs c times makes r at least c - 1. The 10-grams that stood before cover at most 10/8 as many words
    as there are 3-grams in them, each of which stood before: r is at least 0.8 of the words covered.
    """
    counts = np.diff(words.text)
    text = np.repeat(np.arange(counts.size), counts)
    grams = words.ngrams(3)
    inside = text[:grams.size] == text[2:]
    bits = np.uint32(32 - int(counts.size).bit_length())  # are left for a 3-gram: half the width sorts twice as fast
    hashes = (grams[inside] >> np.uint64(32)).astype(np.uint32) >> np.uint32(32) - bits
    keys = np.sort(text[:grams.size][inside].astype(np.uint32) << bits | hashes)
    before = keys[1:][keys[1:] == keys[:-1]] >> bits
    r = np.bincount(before.astype(np.int64), minlength=counts.size)
    least = limit * np.minimum(counts - 2, 0.8 * counts) - 1e-6  # a little less, for the rounding of the shares
    return (r >= _REPEATS - 1) & (r + 1 > least)


def _lines_may_repeat(folds: pl.Series, limit: float) -> pl.Series:
    """Texts of which lines that look the same make up more than `limit` of all lines, three at least.

    Lines that are equal once normalised hold equally many of each letter that is in no word for a sign ("plus",
    "minus", "times", "over", "power", "point").
    """
    many = folds.str.count_matches(LINE_END) >= _REPEATS - 1
    lines = pl.DataFrame({"text": many.arg_true(), "line": folds.filter(many)}).lazy().with_columns(
        pl.col("line").str.replace_all(LINE_END, "\n").str.split("\n")).explode("line").filter(
        pl.col("line").str.contains(NO_SPACE)).collect()
    likely = _with_many_alike(lines, "a", limit)  # one letter leaves few texts for all of them
    found = _with_many_alike(lines.filter(pl.col("text").is_in(likely.implode())), "adhcfg", limit)
    return pl.select(pl.int_range(folds.len(), dtype=found.dtype).is_in(found.implode())).to_series()


def _with_many_alike(lines: pl.DataFrame, letters: str, limit: float) -> pl.Series:
    """The texts of which more than `limit` of the lines, three at least, hold equally many of each letter."""
    looks = [pl.col("line").str.count_matches(letter, literal=True).alias(letter) for letter in letters]
    counts = lines.lazy().group_by("text", *looks).len().group_by("text").agg(
        top=pl.col("len").max(), all=pl.col("len").sum())
    return counts.filter((pl.col("top") >= _REPEATS) & (pl.col("top") / pl.col("all") > limit)).collect()["text"]


def _top_share(items: list) -> float:
    count = max(Counter(items).values(), default=0)
    return count / len(items) if count >= _REPEATS else 0.0


def _repeated_share(words: list[str], n: int) -> float:
    before, repeated = set(), set()
    for start in range(len(words) - n + 1):
        gram = tuple(words[start:start + n])
        if gram in before:
            repeated.update(range(start, start + n))
        before.add(gram)
    return len(repeated) / len(words) if words else 0.0
