import hashlib

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realign.curate import seen as curate_seen
from realign.curate.seen import Seen


def keys_of(texts) -> np.ndarray:
    return curate_seen.keys_of(pl.Series(list(texts), dtype=pl.String))


def test_a_key_is_128_bits_of_the_texts_hash():
    for text in ("", "a", "é", "x" * 5000):
        assert keys_of([text]).tobytes() == hashlib.blake2b(text.encode(), digest_size=16).digest()
    assert np.unique(keys_of(str(i) for i in range(50_000))).size == 50_000


@pytest.fixture(params=["in memory", "in files"])
def held(request, monkeypatch):
    """So few records are held in memory, and read from a file together."""
    if request.param == "in files":
        monkeypatch.setattr(curate_seen, "_HELD", 8)
        monkeypatch.setattr(curate_seen, "_CHUNK", 3)


def alike(n: int) -> bytes:
    """A key that shares its high half with six others, next to those that share another."""
    return (n // 7).to_bytes(8, "big") + n.to_bytes(8, "big")


@pytest.mark.parametrize("key", [lambda n: keys_of([str(n)]).tobytes(), alike], ids=["of texts", "alike"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(0, 30), max_size=9), max_size=12))
def test_every_key_is_found_with_its_position(held, key, batches):
    def made(numbers) -> np.ndarray:
        return np.frombuffer(b"".join(map(key, numbers)), "S16")

    seen, known = Seen(), {}
    for batch in batches:
        assert seen.find(made(batch)).tolist() == [known.get(n, 0) for n in batch]
        new = [n for n in dict.fromkeys(batch) if n not in known]
        positions = np.arange(len(known) + 1, len(known) + len(new) + 1)
        seen.add(made(new), positions)
        known |= dict(zip(new, positions.tolist(), strict=True))


def test_runs_stay_few():
    seen = Seen()
    for start in range(0, 64_000, 1000):
        seen.add(keys_of(str(i) for i in range(start, start + 1000)), np.arange(start + 1, start + 1001))
    assert len(seen._runs) < 8
    assert seen.find(keys_of(str(i) for i in range(64_000))).tolist() == list(range(1, 64_001))


def test_what_is_in_files_takes_little_memory_and_is_all_found(monkeypatch):
    monkeypatch.setattr(curate_seen, "_HELD", 1000)
    seen, keys = Seen(), keys_of(str(i) for i in range(40_000))
    for start in range(0, 40_000, 700):
        batch = keys[start:start + 700]
        assert not seen.find(batch).any()
        seen.add(batch, np.arange(start + 1, start + 1 + batch.size))
    assert len(seen._files) < 8 and sum(run.size for run in seen._runs) < 1000
    assert sum(file._filter.nbytes + file._firsts.nbytes for file in seen._files) < 3 * 40_000
    assert seen.find(keys).tolist() == list(range(1, 40_001))
    for file in seen._files:
        high = np.concatenate(list(file.blocks()))["high"]
        assert high.size == file.size and (high[1:] >= high[:-1]).all()
