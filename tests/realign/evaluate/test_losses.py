"""Held-out loss against NumPy, and what must not change it."""

import math

import numpy as np
import pytest

from realign.evaluate import losses
from realign.evaluate.losses import drop, per_token, row_losses
from realign.models.batches import batch_of
from realign.models.chat import Encoded


def test_against_numpy(tiny, mirror, sequences):
    model, rows = tiny(0), sequences(45)
    sums, counts = row_losses(model, rows)
    assert counts.tolist() == [sum(r.mask[1:]) for r in rows]
    other = mirror(model)
    for row, total in zip(rows, sums, strict=True):
        logprobs = other.log_softmax(row.tokens)
        expected = -sum(logprobs[i - 1, row.tokens[i]] for i in range(1, len(row.tokens)) if row.mask[i])
        assert total == pytest.approx(expected, rel=1e-4)


def test_batches_order_and_padding_do_not_matter(tiny, sequences, refilled, monkeypatch):
    model, rows = tiny(0), sequences(36)
    sums, counts = row_losses(model, rows)
    turned = row_losses(model, rows[::-1])
    assert np.allclose(turned[0][::-1], sums, rtol=1e-5) and (turned[1][::-1] == counts).all()
    assert np.allclose([row_losses(model, [row])[0][0] for row in rows], sums, rtol=1e-5)
    monkeypatch.setattr(losses, "batch_of", lambda part: refilled(batch_of(part), 9))
    assert np.allclose(row_losses(model, rows)[0], sums, rtol=1e-6)


def test_a_row_without_targets_costs_nothing(tiny, sequences):
    model, rows = tiny(0), sequences(5)
    empty = Encoded(rows[0].tokens, [0] * len(rows[0].tokens))
    sums, counts = row_losses(model, [rows[1], empty, rows[2]])
    assert (sums[1], counts[1]) == (0, 0)
    assert np.allclose(sums[[0, 2]], row_losses(model, rows[1:3])[0], rtol=1e-5)


def test_the_mean_is_by_token_not_by_row():
    found = per_token(np.array([2.0, 9.0]), np.array([1.0, 9.0]))
    assert found.value == pytest.approx(1.1) and found.n == 2


def test_a_drop_is_paired():
    """Rows differ far more than the models do: only a paired interval can tell."""
    rng = np.random.default_rng(0)
    counts, before = rng.integers(5, 20, 60).astype(float), rng.uniform(5, 200, 60)
    found = drop(before, before - 0.1 * counts, counts)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert drop(before, before, counts).value == 0
    assert drop(before, before + counts, counts).value == pytest.approx(-1)


def test_no_rows_give_no_number(tiny):
    assert math.isnan(per_token(*row_losses(tiny(0), [])).value)
