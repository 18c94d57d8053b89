import math

import pytest

from realign.train.schedule import learning_rate


def rate(step, steps=100, peak=2.0, warmup=0.1, final=0.1):
    return learning_rate(step, steps, peak, warmup, final)


@pytest.mark.parametrize("step, expected", [
    (0, 0.2), (4, 1.0), (9, 2.0),  # a tenth of 100 steps: up by 0.2 a step
    (10, 2.0), (55, 2.0 * 0.55), (40, 2.0 * (0.1 + 0.9 * 0.75)), (70, 2.0 * (0.1 + 0.9 * 0.25)), (100, 0.2)])
def test_worked_numbers(step, expected):
    assert rate(step) == pytest.approx(expected, rel=1e-12)


def test_up_then_down():
    rates = [rate(s) for s in range(100)]
    assert rates[:10] == sorted(rates[:10]) and rates[9:] == sorted(rates[9:], reverse=True)
    assert min(rates) > 0 and max(rates) == 2.0


@pytest.mark.parametrize("steps, warmup", [(1, 0.05), (1, 1.0), (2, 0.5), (3, 0.0), (5, 1.0)])
def test_short_runs_have_a_rate_at_every_step(steps, warmup):
    assert all(0 < rate(s, steps, warmup=warmup) <= 2.0 and math.isfinite(rate(s, steps, warmup=warmup))
               for s in range(steps))
