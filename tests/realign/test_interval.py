import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.interval import Sums, at_most, holm, mcnemar, p_gained, p_lost, relative_drop


def sums(a, b, paired=True) -> Sums:
    a, b = np.asarray(a, float), np.asarray(b, float)
    if not paired:
        return Sums(len(a), len(b), a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), None)
    return Sums(len(a), len(b), a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), (a * b).sum(), int((b < a).sum()),
                int((b > a).sum()), float(np.maximum(a - b, 0).sum()), float(np.maximum(b - a, 0).sum()))


def test_worked_example():
    # 200 examples, 160 right in A; B loses 24 of them and gains 8: drop (0.80 − 0.72) / 0.80
    a = [1] * 160 + [0] * 40
    b = [1] * 136 + [0] * 24 + [1] * 8 + [0] * 32
    drop = relative_drop(sums(a, b))
    assert drop.value == pytest.approx(0.1) and drop.n == 200
    # by hand, on the smoothed sums n=202, A=161, B=145, AB=136.5, the ends solve
    # (b − q·a)² = z²·(var b − 2q·cov + q²·var a) / n, z one-sided
    for bound in (drop.low, drop.high):
        q, n, mean_a, mean_b = 1 - bound, 202, 161 / 202, 145 / 202
        covariance = 136.5 / n - mean_a * mean_b
        variance = mean_b * (1 - mean_b) - 2 * q * covariance + q * q * mean_a * (1 - mean_a)
        assert (mean_b - q * mean_a) ** 2 == pytest.approx(1.644854**2 * variance / n, rel=1e-5)


@pytest.mark.parametrize("n", [60, 300])
@pytest.mark.parametrize(("right", "lost", "gained"),
                         [(0.95, 0.06, 0.0), (0.9, 0.1, 0.3), (0.5, 0.2, 0.2), (0.99, 0.05, 0.5)])
@pytest.mark.parametrize("paired", [True, False])
def test_each_end_alone_covers_the_truth(n, right, lost, gained, paired):
    rng, hits, repeats = np.random.default_rng(1), [0, 0], 600
    truth = 1 - (right * (1 - lost) + (1 - right) * gained) / right
    for _ in range(repeats):
        a = rng.random(n) < right
        before = a if paired else rng.random(n) < right  # unpaired: B answers other examples
        b = np.where(before, rng.random(n) >= lost, rng.random(n) < gained)
        drop = relative_drop(sums(a, b, paired))
        hits = [hits[0] + (drop.low <= truth), hits[1] + (truth <= drop.high)]
    assert min(hits) / repeats >= 0.92  # 0.95 less three standard errors of 600 draws


def test_graded_scores_are_covered_too():
    rng, hits = np.random.default_rng(2), 0
    def draw(n):
        quality = rng.beta(3, 2, n)
        return quality, np.clip(0.9 * quality + rng.normal(0, 0.1, n), 0, 1)
    a, b = draw(2_000_000)
    truth = 1 - b.mean() / a.mean()
    for _ in range(500):
        drop = relative_drop(sums(*draw(400)))
        hits += truth <= drop.high
    assert hits / 500 >= 0.92


def test_the_interval_is_not_needlessly_wide():
    rng, hits = np.random.default_rng(3), 0
    for _ in range(600):
        a = rng.random(300) < 0.7
        b = np.where(a, rng.random(300) >= 0.2, rng.random(300) < 0.2)
        drop = relative_drop(sums(a, b))
        hits += drop.low <= 1 - (0.7 * 0.8 + 0.3 * 0.2) / 0.7 <= drop.high
    assert hits / 600 <= 0.95  # 0.90 and four standard errors


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
    (0, 0, 1.0), (3, 3, 42 / 64), (0, 5, 1 / 32), (5, 0, 1.0), (2, 6, (1 + 8 + 28) / 256)])
def test_mcnemar_by_hand(worse, better, p):
    assert mcnemar(worse, better) == pytest.approx(p)


def test_binomial_tails_are_scipys():
    from scipy.stats import beta, binom
    for k, n, p in ((0, 60, 0.05), (3, 10, 0.5), (24, 2400, 0.02), (19_000, 39_000, 0.5)):
        assert at_most(k, n, p) == pytest.approx(binom.cdf(k, n, p), rel=1e-6)
    # nothing right before was wrong after but 4 of 200: Clopper and Pearson's upper end
    drop = relative_drop(sums([1] * 200, [0] * 4 + [1] * 196))
    assert drop.high == pytest.approx(beta.ppf(0.95, 5, 196)) and drop.low <= beta.ppf(0.05, 4, 197)


def test_sixty_without_a_loss_are_the_least_that_show_it():
    assert relative_drop(sums([1] * 60, [1] * 60)).high <= 0.05 < relative_drop(sums([1] * 58, [1] * 58)).high


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=3, max_size=300), st.integers(0, 40))
def test_the_lower_end_and_the_test_say_the_same(pairs, fallen):
    a, b = zip(*pairs, *[(True, False)] * fallen, strict=True)
    found = sums(a, b)
    drop, p = relative_drop(found), p_lost(found, 0.05)
    if not math.isnan(drop.low) and abs(p - 0.05) > 1e-6 and drop.low < drop.value:
        assert (drop.low > 0.05) == (p < 0.05)


def test_a_gain_is_tested_by_mcnemar_where_few_differ_and_a_loss_is_none():
    found = sums([0] * 6 + [1] * 94, [1] * 6 + [1] * 94)
    assert p_gained(found) == pytest.approx(1 / 64)
    assert p_gained(sums([1] * 100, [0] * 6 + [1] * 94)) > 0.9
    assert p_lost(found, 0.05) > 0.9


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]  # 0.0125, 0.0167, then 0.03 > 0.025
    assert holm([]) == [] and holm([math.nan, 0.02]) == [False, True] and holm([math.nan, 0.03]) == [False, False]


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_rejects_no_more_than_each_alone_and_no_less_than_bonferroni(p_values):
    found = holm(p_values)
    assert all(p <= 0.05 for p, rejected in zip(p_values, found, strict=True) if rejected)
    assert all(rejected for p, rejected in zip(p_values, found, strict=True) if p < 0.0499 / len(p_values))
