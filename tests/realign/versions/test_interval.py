import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.versions.interval import Sums, mcnemar, relative_drop


def sums(a, b, paired=True) -> Sums:
    a, b = np.asarray(a, float), np.asarray(b, float)
    cross = (a * b).sum() if paired else None
    return Sums(len(a), len(b), a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), cross)


def test_worked_example():
    # 100 examples, 80 right in A; B loses 12 of them and gains 4: drop (0.80 − 0.72) / 0.80
    a = [1] * 80 + [0] * 20
    b = [1] * 68 + [0] * 12 + [1] * 4 + [0] * 16
    drop = relative_drop(sums(a, b))
    assert drop.value == pytest.approx(0.1) and drop.n == 100
    # by hand, on the smoothed sums n=102, A=81, B=73, AB=68.5, the bounds solve
    # (b − q·a)² = z²·(var b − 2q·cov + q²·var a) / n
    for bound in (drop.low, drop.high):
        q, n, mean_a, mean_b = 1 - bound, 102, 81 / 102, 73 / 102
        covariance = 68.5 / n - mean_a * mean_b
        variance = mean_b * (1 - mean_b) - 2 * q * covariance + q * q * mean_a * (1 - mean_a)
        assert (mean_b - q * mean_a) ** 2 == pytest.approx(1.959964**2 * variance / n, rel=1e-5)


@pytest.mark.parametrize("n", [60, 300])
@pytest.mark.parametrize(("right", "lost", "gained"),
                         [(0.95, 0.06, 0.0), (0.9, 0.1, 0.3), (0.5, 0.2, 0.2), (0.99, 0.05, 0.5)])
@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_covers_the_truth(n, right, lost, gained, paired):
    rng, hits, repeats = np.random.default_rng(1), 0, 600
    truth = 1 - (right * (1 - lost) + (1 - right) * gained) / right
    for _ in range(repeats):
        a = rng.random(n) < right
        before = a if paired else rng.random(n) < right  # unpaired: B answers other examples
        b = np.where(before, rng.random(n) >= lost, rng.random(n) < gained)
        drop = relative_drop(sums(a, b, paired))
        hits += drop.low <= truth <= drop.high
    assert hits / repeats >= 0.92  # 0.95 less three standard errors of 600 draws


def test_graded_scores_are_covered_too():
    rng, hits = np.random.default_rng(2), 0
    def draw(n):
        quality = rng.beta(3, 2, n)
        return quality, np.clip(0.9 * quality + rng.normal(0, 0.1, n), 0, 1)
    a, b = draw(2_000_000)
    truth = 1 - b.mean() / a.mean()
    for _ in range(500):
        drop = relative_drop(sums(*draw(400)))
        hits += drop.low <= truth <= drop.high
    assert hits / 500 >= 0.92


def test_the_interval_is_not_needlessly_wide():
    rng, hits = np.random.default_rng(3), 0
    for _ in range(600):
        a = rng.random(300) < 0.7
        b = np.where(a, rng.random(300) >= 0.2, rng.random(300) < 0.2)
        drop = relative_drop(sums(a, b))
        hits += drop.low <= 1 - (0.7 * 0.8 + 0.3 * 0.2) / 0.7 <= drop.high
    assert hits / 600 <= 0.98


def test_pairing_narrows_the_interval():
    a = np.r_[np.ones(150), np.zeros(50)]
    b = np.r_[np.ones(145), np.zeros(55)]
    paired, apart = relative_drop(sums(a, b)), relative_drop(sums(a, b, paired=False))
    assert paired.value == apart.value
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_no_change_still_has_a_width_that_shrinks_with_n():
    widths = [relative_drop(sums(np.ones(n), np.ones(n))) for n in (20, 200)]
    assert all(w.value == 0 and w.low < 0 < w.high for w in widths)
    assert widths[1].high < widths[0].high / 5


def test_what_cannot_be_divided_has_no_value():
    for drop in (relative_drop(sums([0, 0], [1, 1])), relative_drop(sums([], []))):
        assert math.isnan(drop.value) and math.isnan(drop.low) and math.isnan(drop.high)


SCORE = st.integers(0, 100).map(lambda percent: percent / 100)


@given(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=60))
def test_the_interval_holds_its_estimate(pairs):
    a, b = zip(*pairs, strict=True)
    drop = relative_drop(sums(a, b))
    assert math.isnan(drop.low) or drop.low <= drop.value <= drop.high


@pytest.mark.parametrize(("worse", "better", "p"), [
    (0, 0, 1.0), (3, 3, 1.0), (5, 0, 2 / 32), (0, 5, 2 / 32), (6, 2, 2 * (1 + 8 + 28) / 256)])
def test_mcnemar_by_hand(worse, better, p):
    assert mcnemar(worse, better) == pytest.approx(p)


def test_mcnemar_of_many_changes_is_finite():
    assert mcnemar(20_000, 19_000) == pytest.approx(4.2e-7, rel=0.1)
