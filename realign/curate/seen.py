"""Which texts were kept before, over any number of batches."""

import hashlib
from itertools import pairwise

import numpy as np
import polars as pl

from realign.curate.text import bytes_of

_KEY = "S16"


def keys_of(texts: pl.Series) -> np.ndarray:
    """The identity of each text: 128 bits of its BLAKE2b hash.

    Among a billion different texts two share one with a chance of 10^-21 (the birthday bound), so equal keys are taken
    for equal texts.
    """
    data, offsets = bytes_of(texts)
    data, bounds = data.data, offsets.tolist()
    digests = (hashlib.blake2b(data[a:b], digest_size=16).digest() for a, b in pairwise(bounds))
    return np.frombuffer(b"".join(digests), _KEY)


class Seen:
    """The keys of the rows kept so far, and their positions: 24 bytes a row.

    They lie in sorted runs, each at least twice as long as the next, so that a key is looked up in a few of them.
    """

    def __init__(self) -> None:
        self.rows = 0  # looked at so far, kept or not
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def find(self, keys: np.ndarray) -> np.ndarray:
        """For each key the position (from 1) of the row kept with it; 0 where there is none."""
        found = np.zeros(keys.size, np.int64)
        for known, positions in self._runs:
            places = np.minimum(np.searchsorted(known, keys), known.size - 1)
            found = np.where(known[places] == keys, positions[places], found)
        return found

    def add(self, keys: np.ndarray, positions: np.ndarray) -> None:
        """Remember rows that were kept; none of their keys may have been added before."""
        if keys.size == 0:
            return
        self._runs.append(_sorted(keys, positions))
        while len(self._runs) > 1 and self._runs[-2][0].size < 2 * self._runs[-1][0].size:
            (keys, positions), (later_keys, later) = self._runs[-2:]
            self._runs[-2:] = [_sorted(np.concatenate([keys, later_keys]), np.concatenate([positions, later]))]


def _sorted(keys: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys, kind="stable")  # merges what is sorted already
    return keys[order], positions[order]
