"""Every row and every token is accounted for, and what a ledger says is what batches hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.errors import UserError
from realign.models.batches import batch_of
from realign.models.chat import Encoded
from realign.objectives import sft
from realign.train.batches import RowBatches
from realign.train.ledger import NAMES, settle

ROWS = [
    Encoded([1, 2, 3, 4], [0, 0, 1, 1]),  # fits
    Encoded([1, 2, 3, 4, 5, 6], [0, 1, 0, 0, 1, 1]),  # one target within four tokens, two beyond
    Encoded([1, 2, 3, 4, 5], [0, 0, 0, 0, 1]),  # its target lies beyond
    Encoded([1, 2, 3], [0, 0, 0]),
    Encoded([1], [1]),  # a first token is nobody's next
    Encoded([1, 2, 3, 4, 5, 6, 7], [0] * 7),  # long, but it would be no good if it were short
    Encoded([], []),
]


def test_a_worked_example_of_truncation():
    kept, ledger = settle(ROWS, 4, "truncate")
    assert kept == [ROWS[0], Encoded([1, 2, 3, 4], [0, 1, 0, 0])]
    assert ledger.dropped() == [(2, "no_target_in_window"), *((i, "no_target") for i in (3, 4, 5, 6))]
    assert {k: v for k, v in ledger.figures().items() if v} == {
        "rows.in": 7, "rows.trained": 1, "rows.truncated": 1, "rows.dropped.no_target": 4,
        "rows.dropped.no_target_in_window": 1,
        "tokens.in": 26, "tokens.target": 3, "tokens.masked": 5, "tokens.truncated": 2, "tokens.dropped.no_target": 11,
        "tokens.dropped.no_target_in_window": 5,
        "targets.in": 6, "targets.trained": 3, "targets.truncated": 2, "targets.dropped.no_target_in_window": 1,
    }


def test_a_worked_example_of_dropping():
    kept, ledger = settle(ROWS, 4, "drop")
    assert kept == [ROWS[0]]
    assert ledger.dropped()[:2] == [(1, "too_long"), (2, "too_long")]
    figures = ledger.figures()
    assert (figures["rows.dropped.too_long"], figures["tokens.dropped.too_long"]) == (2, 11)
    assert (figures["targets.dropped.too_long"], figures["rows.truncated"]) == (4, 0)


row = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 1)), max_size=12).map(
    lambda pairs: Encoded([t for t, _ in pairs], [m for _, m in pairs]))


@given(st.lists(row, max_size=12), st.integers(1, 10), st.sampled_from(["truncate", "drop"]))
def test_everything_adds_up_and_nothing_kept_is_long_or_silent(rows, window, on_long):
    rows = [*rows, Encoded([1, 2], [0, 1])] if window > 1 else rows
    try:
        kept, ledger = settle(rows, window, on_long)
    except UserError:
        assert not any(len(r.tokens) <= window and any(r.mask[1:]) for r in rows)
        return
    assert all(len(r.tokens) <= window and any(r.mask[1:]) for r in kept)
    figures = ledger.figures()
    assert set(figures) == set(NAMES)
    for what, parts in {"rows": ["trained"], "tokens": ["target", "masked"], "targets": ["trained"]}.items():
        lost = sum(v for k, v in figures.items() if k.startswith((f"{what}.truncated", f"{what}.dropped.")))
        assert figures[f"{what}.in"] == sum(figures[f"{what}.{p}"] for p in parts) + lost
    assert (figures["rows.in"], figures["tokens.in"]) == (len(rows), sum(len(r.tokens) for r in rows))
    assert len(kept) + len(ledger.dropped()) == len(rows)


@given(st.lists(row, max_size=12), st.integers(2, 10), st.integers(1, 5), st.integers(0, 99))
def test_every_epoch_trains_exactly_the_targets_of_the_ledger(rows, window, size, seed):
    kept, ledger = settle([*rows, Encoded([1, 2], [0, 1])], window, "truncate")
    batches = RowBatches.of(kept, batch_of, sft.weigh, size, 2, seed, micro=2)
    epoch = len(batches) // 2
    for first in (0, epoch):
        held = [batch for step in range(first, first + epoch) for batch in batches.micro_batches(step)]
        assert sum(b["positions"].size for b in held) == ledger.figures()["targets.trained"]
        assert sum(b["tokens"].shape[0] for b in held) == len(kept)
        assert all(b["positions"].size >= b["tokens"].shape[0] for b in held)  # each row has a target


def test_nothing_left_is_an_error_that_counts_the_reasons():
    with pytest.raises(UserError, match=r"none of the 7 rows.*\n.*\n.*4 no_target, 3 too_long"):
        settle(ROWS, 3, "drop")
    with pytest.raises(UserError, match="none of the 0 rows"):
        settle([], 3, "truncate")


def test_another_wish_for_long_rows_is_an_error():
    with pytest.raises(UserError, match="on_long is 'split'"):
        settle(ROWS, 4, "split")
