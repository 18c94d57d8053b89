"""The word n-grams of many texts as 64-bit numbers: equal n-grams give equal numbers.

The number of a piece of text is a polynomial of its bytes modulo 2^64 (Karp and Rabin 1987), taken from running sums,
so that every n costs the same. Different pieces may share a number: what is found by them needs a second look. They
mean nothing outside this process.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_INVERSE = pow(_BASE, -1, 2**64)
_BYTES = np.random.default_rng(13).integers(1, 2**64, 256, dtype=np.uint64)


@dataclass(frozen=True)
class Words:
    """The words of texts laid end to end: `text[i]` to `text[i + 1]` are the words of text i.

    `begins` and `ends` say where each word lies in the bytes.
    """

    text: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    _sums: np.ndarray
    _scale: np.ndarray

    def ngrams(self, n: int) -> np.ndarray:
        """One number for each run of n words, also where it passes from one text into the next."""
        count = max(0, self.begins.size - n + 1)
        return self._number(self.begins[:count], self.ends[n - 1:n - 1 + count])

    def spans(self, first: np.ndarray, after: np.ndarray) -> np.ndarray:
        """One number for each run of words from `first` up to `after`, which must be larger."""
        return self._number(self.begins[first], self.ends[after - 1])

    def _number(self, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
        return (self._sums[ends] - self._sums[begins]) * self._scale[begins]


def words_of(normal: pl.Series) -> Words:
    """The words of normalised texts (single spaces, none at the ends)."""
    data, offsets = _bytes((normal + " ").zip_with(normal != "", normal))
    ends = np.flatnonzero(data == ord(" "))
    begins = np.concatenate([np.zeros(1, ends.dtype), ends[:-1] + 1])[:ends.size]
    sums = np.zeros(data.size + 1, np.uint64)
    np.cumsum(_BYTES[data] * _powers(_BASE, data.size), out=sums[1:])
    return Words(np.searchsorted(begins, offsets), begins, ends, sums, _powers(_INVERSE, data.size))


def _bytes(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 bytes of texts, one after the other, and where each begins; the last entry is where all end."""
    array = texts.rechunk().to_arrow()
    _, offsets, data = array.buffers()
    offsets = np.frombuffer(offsets, np.int64)[array.offset:array.offset + len(array) + 1]
    data = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
    return data[offsets[0]:offsets[-1]], offsets - offsets[0]


def _powers(base: int, count: int) -> np.ndarray:
    """base^0 to base^(count - 1) modulo 2^64."""
    return _table(base, max(1, count - 1).bit_length())[:count]


@cache
def _table(base: int, bits: int) -> np.ndarray:
    factors = np.full(2**bits, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)
