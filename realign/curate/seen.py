"""Which texts were kept before, over any number of batches, in little memory."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import polars as pl

from realign.curate.text import bytes_of

_KEY = "S16"
_RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("position", "<i8")])  # both halves of a key, and its row
_HELD = 2**17  # records in memory, 3 MiB; more go into files
_CHUNK = 2**12  # records of a file that are read together
_ALIKE = 8  # records of one run whose keys may have the same high half: by chance there are never two
_BITS, _PROBES = 16, 3  # of a file's filter, bits a record and looks at them: 0.5% of unknown keys pass


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
    """The keys of the rows kept so far, and their positions: 24 bytes a row in nameless temporary files, and of them
    two bytes a row in memory.

    They lie in sorted runs, each at least twice as long as the next, so that a key is looked up in a few of them: the
    longest in files, the last ones in memory.
    """

    def __init__(self) -> None:
        self.rows = 0  # looked at so far, kept or not
        self._files: list[_File] = []
        self._runs: list[np.ndarray] = []

    def find(self, keys: np.ndarray) -> np.ndarray:
        """For each key the position (from 1) of the row kept with it; 0 where there is none."""
        asked, found = _records(keys, 0), np.zeros(keys.size, np.int64)
        for run in self._runs:
            found += _positions(run, asked)
        for file in self._files:
            file.find(asked, found)
        return found

    def add(self, keys: np.ndarray, positions: np.ndarray) -> None:
        """Remember rows that were kept; none of their keys may have been added before."""
        if keys.size == 0:
            return
        self._runs.append(_sorted(_records(keys, positions)))
        while len(self._runs) > 1 and self._runs[-2].size < 2 * self._runs[-1].size:
            self._runs[-2:] = [_sorted(np.concatenate(self._runs[-2:]))]
        if sum(run.size for run in self._runs) >= _HELD:
            records, self._runs = _sorted(np.concatenate(self._runs)), []
            self._files.append(_File([records], records.size))
            while len(self._files) > 1 and self._files[-2].size < 2 * self._files[-1].size:
                last = self._files[-2:]
                self._files[-2:] = [_File(_merged(*last), sum(file.size for file in last))]


class _File:
    """A sorted run on disk. Which of its chunks may hold a key is told by the first record of each, and whether any
    holds it, as a rule, by a Bloom filter (Bloom 1970) over the low half and half of the high one."""

    def __init__(self, blocks: Iterable[np.ndarray], size: int):
        """The records of `blocks`, `size` in all, in order."""
        self.size = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with this object)
        self._filter = np.zeros(size * _BITS // 8 + 1, np.uint8)
        firsts = []
        for block in blocks:
            self._file.write(block.data)
            firsts.append(block["high"][-self.size % _CHUNK::_CHUNK].copy())  # a view would keep the block
            self.size += block.size
            for places, bit in self._probes(block):
                np.bitwise_or.at(self._filter, places, bit)
        self._file.flush()
        self._firsts = np.concatenate(firsts)

    def find(self, asked: np.ndarray, found: np.ndarray) -> None:
        """Put into `found` the positions of the keys `asked` that are here."""
        left = np.arange(asked.size)
        for places, bit in self._probes(asked):
            left = left[(self._filter[places[left]] & bit[left]) != 0]
        chunks = np.maximum(np.searchsorted(self._firsts, asked["high"][left]) - 1, 0)
        for chunk in np.unique(chunks).tolist():
            these = left[chunks == chunk]
            found[these] += _positions(self.read(chunk * _CHUNK, _CHUNK + _ALIKE), asked[these])

    def read(self, start: int, count: int) -> np.ndarray:
        """So many records from one on, or as many as there are."""
        size = _RECORD.itemsize
        return np.frombuffer(os.pread(self._file.fileno(), count * size, start * size), _RECORD)

    def blocks(self) -> Iterator[np.ndarray]:
        """All records in order."""
        for start in range(0, self.size, _HELD // 2):
            yield self.read(start, _HELD // 2)

    def _probes(self, records: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Where the filter says something of each record: byte and bit, so many times."""
        words = (records["high"] & 0xFFFFFFFF, records["low"] >> 32, records["low"] & 0xFFFFFFFF)
        for word in words[:_PROBES]:
            bits = (word * np.uint64(self._filter.size * 8)) >> 32
            yield bits >> 3, np.uint8(1) << (bits & 7).astype(np.uint8)


def _records(keys: np.ndarray, positions: np.ndarray | int) -> np.ndarray:
    halves = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2)
    made = np.empty(keys.size, _RECORD)
    made["high"], made["low"], made["position"] = halves[:, 0], halves[:, 1], positions
    return made


def _sorted(records: np.ndarray) -> np.ndarray:
    return records[np.argsort(records["high"], kind="stable")]  # merges what is sorted already


def _merged(*files: _File) -> Iterator[np.ndarray]:
    """The records of several files in one order, a block at a time."""
    rests = [file.blocks() for file in files]
    blocks = [next(rest) for rest in rests]
    while rests:
        last = min(block["high"][-1] for block in blocks)  # up to there nothing is missing
        cuts = [np.searchsorted(block["high"], last, side="right") for block in blocks]
        yield _sorted(np.concatenate([block[:cut] for block, cut in zip(blocks, cuts, strict=True)]))
        blocks = [block[cut:] if cut < block.size else next(rest, block[:0])
                  for block, cut, rest in zip(blocks, cuts, rests, strict=True)]
        rests = [rest for rest, block in zip(rests, blocks, strict=True) if block.size]
        blocks = [block for block in blocks if block.size]


def _positions(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The positions of the keys asked in a sorted run; 0 for those that are not there."""
    found, high = np.zeros(asked.size, np.int64), np.ascontiguousarray(known["high"])
    left, places = np.arange(asked.size), np.searchsorted(high, asked["high"])
    while left.size:  # once, but where keys share a high half
        left = left[places[left] < known.size]
        left = left[high[places[left]] == asked["high"][left]]
        same = known["low"][places[left]] == asked["low"][left]
        found[left[same]] = known["position"][places[left[same]]]
        left = left[~same]
        places[left] += 1
    return found
