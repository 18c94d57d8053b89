"""The word n-grams of many texts as 64-bit numbers: equal n-grams give equal numbers.

A word's number mixes its bytes, eight at a time; a run's number is a polynomial of its words modulo 2^64 (Karp and
Rabin 1987), taken from running sums, so that every n costs the same. Different runs may share a number: what is found
by them needs a second look. They mean nothing outside this process.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import polars as pl

from realign.curate.text import bytes_of

_BASE = 0xD1342543DE82EF95  # odd, so that it has an inverse modulo 2^64
_MIXER, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
_MASKS = np.array([2 ** (8 * count) - 1 for count in range(9)], np.uint64)  # of the first bytes of eight


@dataclass(frozen=True)
class Words:
    """The words of texts laid end to end: `text[i]` to `text[i + 1]` are the words of text i; and their numbers."""

    text: np.ndarray
    numbers: np.ndarray

    def ngrams(self, n: int, words: slice = slice(None)) -> np.ndarray:
        """One number for each run of n of these words, also where it passes from one text into the next."""
        first, after, _ = words.indices(self.numbers.size)
        last = max(first, after + 1 - n)
        return (self._sums[first + n:last + n] - self._sums[first:last]) * _powers(last, inverse=True)[first:]

    @cached_property
    def _sums(self) -> np.ndarray:
        return np.append(np.uint64(0), np.cumsum(self.numbers * _powers(self.numbers.size)))

    def replaced(self, texts: np.ndarray, words: "Words") -> "Words":
        """These words, but for the given texts those of `words`."""
        counts = np.diff(self.text)
        others = np.zeros(counts.size, bool)
        others[texts] = True
        stay = self.numbers[np.repeat(~others, counts)]
        counts[texts] = np.diff(words.text)
        new = np.repeat(others, counts)
        numbers = np.empty(new.size, np.uint64)
        numbers[new], numbers[~new] = words.numbers, stay
        return Words(np.append(0, np.cumsum(counts)), numbers)


def words_of(normal: pl.Series) -> Words:
    """The words of normalised texts (single spaces, none at the ends)."""
    data, offsets = bytes_of(normal)
    begin = np.zeros(data.size, bool)
    begin[1:] = data[:-1] == ord(" ")
    begin[offsets[:-1][np.diff(offsets) > 0]] = True
    begins = np.flatnonzero(begin)
    lengths = np.diff(begins, append=data.size)
    lengths -= data[begins + lengths - 1] == ord(" ")
    eights = np.ndarray(data.size + 1, np.uint64, np.append(data, np.zeros(8, np.uint8)), strides=(1,))
    numbers = _mixed(eights[begins] & _MASKS[np.minimum(lengths, 8)])
    long, at = np.flatnonzero(lengths > 8), 8
    while long.size:
        numbers[long] = _mixed(numbers[long] + (eights[begins[long] + at] & _MASKS[np.minimum(lengths[long] - at, 8)]))
        at += 8
        long = long[lengths[long] > at]
    return Words(np.searchsorted(begins, offsets), numbers)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    numbers = (numbers ^ numbers >> _SHIFT) * _MIXER
    return numbers ^ numbers >> _SHIFT


def _powers(count: int, inverse: bool = False) -> np.ndarray:
    """The base to the 0 up to the (count - 1), or those of its inverse, modulo 2^64."""
    return _table(pow(_BASE, -1, 2**64) if inverse else _BASE, max(1, count - 1).bit_length())[:count]


@cache
def _table(base: int, bits: int) -> np.ndarray:
    factors = np.full(2**bits, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)
