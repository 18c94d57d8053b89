"""The word n-grams of many texts as 64-bit numbers: equal n-grams give equal numbers.

A word's number is a polynomial of its bytes modulo 2^64, a run's number one of its words (Karp and Rabin 1987), taken
from running sums, so that every n costs the same. Different runs may share a number: what is found by them needs a
second look. They mean nothing outside this process.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from realign.curate.text import bytes_of

_BYTE_BASE, _WORD_BASE = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95  # odd, so that they have inverses modulo 2^64


@dataclass(frozen=True)
class Words:
    """The words of texts laid end to end: `text[i]` to `text[i + 1]` are the words of text i; and running sums of them.
    """

    text: np.ndarray
    _sums: np.ndarray

    def ngrams(self, n: int) -> np.ndarray:
        """One number for each run of n words, also where it passes from one text into the next."""
        count = max(0, self._sums.size - n)
        return (self._sums[n:] - self._sums[:count]) * _powers(_WORD_BASE, count, inverse=True)


def words_of(normal: pl.Series) -> Words:
    """The words of normalised texts (single spaces, none at the ends)."""
    data, offsets = bytes_of((normal + " ").zip_with(normal != "", normal))
    ends = np.flatnonzero(data == ord(" "))
    begins = np.append(0, ends[:-1] + 1)[:ends.size]
    terms = np.multiply(data, _powers(_BYTE_BASE, data.size), dtype=np.uint64)
    numbers = np.diff(np.cumsum(terms, out=terms)[ends], prepend=np.uint64(0))  # of each word and the space after it
    numbers *= _powers(_BYTE_BASE, data.size, inverse=True)[begins]
    numbers ^= numbers >> np.uint64(32)
    sums = np.zeros(ends.size + 1, np.uint64)
    np.cumsum(numbers * _powers(_WORD_BASE, ends.size), out=sums[1:])
    return Words(np.searchsorted(begins, offsets), sums)


def _powers(base: int, count: int, inverse: bool = False) -> np.ndarray:
    """base^0 to base^(count - 1), or those of its inverse, modulo 2^64."""
    return _table(pow(base, -1, 2**64) if inverse else base, max(1, count - 1).bit_length())[:count]


@cache
def _table(base: int, bits: int) -> np.ndarray:
    factors = np.full(2**bits, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)
