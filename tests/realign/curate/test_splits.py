import hashlib
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.splits import split_of, splits, with_splits
from realign.errors import UserError

FRACTIONS = {"train": 0.7, "validation": 0.2, "test": 0.1}


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1), st.integers(0, 9))
def test_a_prompt_has_one_split_whatever_stands_around_it(keys, seed):
    alone = [split_of(key, FRACTIONS, seed) for key in keys]
    rows = [f"filler {i}" for i in range(100)] + keys
    among = with_splits(pl.DataFrame({"key": rows}), "key", FRACTIONS, seed)
    assert among["split"][100:].to_list() == alone
    assert among["key"].to_list() == rows
    assert splits(pl.Series(keys), FRACTIONS, seed).to_list() == alone


def test_the_fractions_are_met():
    found = Counter(split_of(f"prompt {i}", FRACTIONS, 0) for i in range(20_000))
    for name, share in FRACTIONS.items():
        assert found[name] / 20_000 == pytest.approx(share, abs=0.012)  # about 4 standard errors


def test_the_definition():
    for key in "abcdefghij":
        point = int(hashlib.sha256(f"3:{key}".encode()).hexdigest()[:16], 16) / 16**16
        expected = "train" if point < 0.7 else "validation" if point < 0.9 else "test"
        assert split_of(key, FRACTIONS, 3) == expected


def test_a_split_without_a_share_gets_nothing():
    assert split_of("a", {"train": 1.0}, 0) == "train"
    assert split_of("a", {"none": 0.0, "train": 1.0, "never": 0.0}, 0) == "train"


def test_seeds_differ():
    one, two = ([split_of(str(i), FRACTIONS, seed) for i in range(200)] for seed in (1, 2))
    assert one != two


def test_more_training_moves_no_prompt_out_of_training():
    small, large = {"train": 0.5, "test": 0.5}, {"train": 0.8, "test": 0.2}
    keys = [str(i) for i in range(500)]
    was = {key for key in keys if split_of(key, small, 0) == "train"}
    assert was < {key for key in keys if split_of(key, large, 0) == "train"}


@pytest.mark.parametrize("fractions", [{}, {"train": 0.5}, {"train": 1.5, "test": -0.5}])
def test_fractions_must_add_up(fractions):
    with pytest.raises(UserError, match="do not add up"):
        split_of("a", fractions, 0)


def test_an_empty_split_is_an_error():
    with pytest.raises(UserError, match="no row fell into the split"):
        with_splits(pl.DataFrame({"key": ["a"]}), "key", FRACTIONS, 0)


def test_only_the_split_is_set():
    rows = pl.DataFrame({"split": [""] * 50, "key": [str(i) for i in range(50)]})
    out = with_splits(rows, "key", FRACTIONS, 0)
    assert out.columns == rows.columns and out.drop("split").equals(rows.drop("split"))
    assert rows["split"].unique().to_list() == [""]
    assert splits(rows["key"][:0], FRACTIONS, 0).to_list() == []
