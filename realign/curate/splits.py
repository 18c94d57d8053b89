"""Which rows train, which validate, which test: decided by the prompt alone."""

import hashlib
import math
from collections.abc import Mapping

import polars as pl

from realign.errors import UserError


def split_of(key: str, fractions: Mapping[str, float], seed: int) -> str:
    """The split of the prompt `key`: its hash with the seed, against the cumulated fractions.

    Independent of every other row, so a prompt keeps its split when rows come or go, and all rows
    of one prompt share it. Raises UserError when the fractions are not shares of one whole.
    """
    shares = fractions.values()
    if any(share < 0 for share in shares) or not math.isclose(sum(shares), 1):
        raise UserError(f"the fractions {dict(fractions)} do not add up to 1", where="splits",
                        expected="shares of at least 0 that add up to 1",
                        fix="correct the fractions in params.yaml")
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    point, edge = int.from_bytes(digest[:8], "big") / 2**64, 0.0
    used = [name for name, fraction in fractions.items() if fraction > 0]
    for name in used:
        edge += fractions[name]
        if point < edge:
            return name
    return used[-1]


def splits(keys: pl.Series, fractions: Mapping[str, float], seed: int) -> pl.Series:
    """`split_of` of a column of prompt identities, as the column `split`: for rows that come in batches."""
    unique = keys.unique()
    found = pl.Series([split_of(key, fractions, seed) for key in unique], dtype=pl.String)
    return keys.replace_strict(unique, found, return_dtype=pl.String).alias("split")


def with_splits(frame: pl.DataFrame, key: str, fractions: Mapping[str, float], seed: int) -> pl.DataFrame:
    """The rows with `split` set by the column `key`, the prompt's identity.

    Raises UserError when a split that should hold something is empty.
    """
    out = frame.with_columns(splits(frame[key], fractions, seed))
    found = set(out["split"].unique())
    if missing := [name for name, share in fractions.items() if share > 0 and name not in found]:
        raise UserError(f"no row fell into the split `{missing[0]}`", where="splits",
                        expected=f"rows in each of {', '.join(fractions)}, from {out.height} rows",
                        fix="give more prompts, or a larger fraction to that split")
    return out
