import hashlib

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate import seen as curate_seen
from realign.curate.seen import Seen


def keys_of(texts) -> np.ndarray:
    return curate_seen.keys_of(pl.Series(list(texts), dtype=pl.String))


def test_a_key_is_128_bits_of_the_texts_hash():
    for text in ("", "a", "é", "x" * 5000):
        assert keys_of([text]).tobytes() == hashlib.blake2b(text.encode(), digest_size=16).digest()
    assert np.unique(keys_of(str(i) for i in range(50_000))).size == 50_000


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=9), max_size=12))
def test_every_key_is_found_with_its_position(batches):
    seen, known = Seen(), {}
    for batch in batches:
        keys = keys_of(str(n) for n in batch)
        assert seen.find(keys).tolist() == [known.get(n, 0) for n in batch]
        new = [n for n in dict.fromkeys(batch) if n not in known]
        positions = np.arange(len(known) + 1, len(known) + len(new) + 1)
        seen.add(keys_of(str(n) for n in new), positions)
        known |= dict(zip(new, positions.tolist(), strict=True))


def test_runs_stay_few():
    seen = Seen()
    for start in range(0, 64_000, 1000):
        seen.add(keys_of(str(i) for i in range(start, start + 1000)), np.arange(start + 1, start + 1001))
    assert len(seen._runs) < 8
    assert seen.find(keys_of(str(i) for i in range(64_000))).tolist() == list(range(1, 64_001))
