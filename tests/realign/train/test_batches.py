"""Every row once an epoch, in an order that is a function of the seed; steps come as micro-batches of their rows."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realign.models.batches import batch_of
from realign.models.chat import Encoded
from realign.objectives import reward, sft
from realign.train.batches import RowBatches, plan

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=50)


@given(lengths, st.integers(1, 12), st.integers(0, 3), st.integers(0, 2**32))
def test_every_row_once_an_epoch_the_tail_included(lengths, size, epochs, seed):
    steps = plan(lengths, size, epochs, seed)
    a_round = -(-len(lengths) // size)
    assert len(steps) == epochs * a_round
    for epoch in range(epochs):
        batches = steps[epoch * a_round:(epoch + 1) * a_round]
        assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
        assert sorted(len(b) for b in batches)[1:] == [size] * (a_round - 1)


@given(lengths, st.integers(1, 12), st.integers(0, 2**32))
def test_the_order_is_a_function_of_the_seed(lengths, size, seed):
    assert all((a == b).all() for a, b in zip(plan(lengths, size, 2, seed), plan(lengths, size, 2, seed), strict=True))


def test_more_epochs_begin_as_fewer_do():
    short, long = plan([5] * 30, 4, 1, 3), plan([5] * 30, 4, 2, 3)
    assert all((a == b).all() for a, b in zip(short, long, strict=False))


def test_epochs_and_seeds_differ():
    first, second = np.split(np.concatenate(plan([7] * 40, 8, 2, 0)), 2)
    other = np.concatenate(plan([7] * 40, 8, 1, 1))
    assert (first != second).any() and (first != other).any()


@given(lengths, st.integers(1, 12), st.integers(0, 100))
def test_rows_of_like_length_share_a_batch(lengths, size, seed):
    spans = sorted((min(lengths[i] for i in b), max(lengths[i] for i in b)) for b in plan(lengths, size, 1, seed))
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_batches_do_not_come_by_length():
    firsts = [b[0] for b in plan(range(1, 101), 10, 1, 0)]
    assert firsts != sorted(firsts) and firsts != sorted(firsts, reverse=True)


def test_micro_batches_are_the_batch():
    rows = [Encoded([i + 1] * (1 + i % 7), [1] * (1 + i % 7)) for i in range(23)]
    batches = RowBatches.of(rows, batch_of, sft.weigh, 8, 2, 0, micro=3)
    assert len(batches) == 6
    for step in range(len(batches)):
        sizes = [b["tokens"].shape[0] for b in batches.micro_batches(step)]
        assert sum(sizes) == len(batches.steps[step]) and max(sizes) <= 3
        firsts = [t for b in batches.micro_batches(step) for t in np.array(b["tokens"])[:, 0].tolist()]
        assert firsts == [rows[i].tokens[0] for i in batches.steps[step]]


def test_pairs_lie_in_two_halves_and_are_read_at_their_last_token():
    pairs = [(Encoded([i, 50], [0, 1]), Encoded([i, 60, 61], [0, 1, 1]), i / 16) for i in range(1, 8)]
    batches = RowBatches.of(pairs, reward.collate, reward.weigh, 3, 1, 0)
    seen = []
    for step in range(len(batches)):
        batch, = batches.micro_batches(step)
        tokens, last = np.array(batch["tokens"]), np.array(batch["last"])
        half = len(tokens) // 2
        assert (tokens[:half, 0] == tokens[half:, 0]).all()
        assert (tokens[np.arange(2 * half), last] == [50] * half + [61] * half).all()
        assert batch["doubts"].tolist() == [i / 16 for i in tokens[:half, 0].tolist()]
        seen += tokens[:half, 0].tolist()
    assert sorted(seen) == list(range(1, 8))
