"""The benchmark of the row checks, small: every kind of fault is in its rows, and every row is accounted for."""

import numpy as np
import polars as pl
import pytest

from benchmarks import curate
from realign.curate import contamination
from realign.curate.checks import check
from realign.curate.text import PAIR_TEXTS
from realign.lake.schemas import PAIRS
from realign.lake.table import frame


@pytest.mark.parametrize("words", [12, 60])
def test_the_rows_hold_some_of_each_fault(words):
    rng = np.random.default_rng(0)
    asked = curate.texts(40, 15, rng)
    rows = pl.concat(curate.pairs(1_500, words, asked, rng))
    assert rows.height == 1_500 and rows.schema == frame([], PAIRS).schema
    kept, rejected = check(rows, PAIR_TEXTS, index=contamination.index(asked, map(str, range(40))))
    found = dict(rejected["reason"].value_counts().iter_rows())
    assert found.keys() == {"personal_data", "repetition", "contaminated", "duplicate"}
    assert all(2 <= count <= 40 for count in found.values()) and kept.height > 1_350


@pytest.mark.parametrize("write", [False, True])
def test_a_run_tells_rows_time_and_memory(write):
    found = curate.run(300, 12, write)
    assert found.rows == 300 and 270 < found.kept < 300
    assert found.seconds > 0 and found.processor > 0 and found.memory > 50
