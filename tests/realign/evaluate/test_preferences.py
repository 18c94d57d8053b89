"""Preference metrics against brute force, planted rewards and simulated coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from realign.evaluate.preferences import (
    auroc,
    consistency,
    length_bias,
    rank_correlation,
    ranking_accuracy,
    ranks,
    win_rate,
)

few = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)  # small integers, so that there are ties


@given(few, few)
def test_auroc_counts_pairs_with_ties_half(positive, negative):
    brute = np.mean([(p > n) + 0.5 * (p == n) for p in positive for n in negative])
    assert math.isclose(auroc(positive, negative), brute, abs_tol=1e-12)
    assert math.isclose(auroc(negative, positive), 1 - brute, abs_tol=1e-12)


def test_auroc_of_nothing_is_no_number():
    assert math.isnan(auroc([], [1.0])) and math.isnan(auroc([1.0], []))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30))
def test_win_rate_and_ranking_accuracy_by_hand(pairs):
    new, old = zip(*pairs, strict=True)
    assert math.isclose(win_rate(new, old).value, np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]))
    assert math.isclose(ranking_accuracy(new, old).value, np.mean([a > b for a, b in pairs]))
    assert win_rate(new, old).n == ranking_accuracy(new, old).n == len(pairs)


def test_a_model_against_itself_is_even_and_ranks_nothing():
    found = win_rate([1, 2, 3], [1, 2, 3])
    assert found.value == 0.5 and found.low == pytest.approx(1 - found.high) and 0 <= found.low < 0.5
    assert ranking_accuracy([1, 2], [1, 2]).value == 0


def test_win_rate_interval_covers_the_truth():
    """Wins 40%, ties 30%: the true rate is 0.55."""
    rng, covered = np.random.default_rng(2), 0
    for _ in range(400):
        found = win_rate(rng.choice([1, 0, -1], 150, p=[0.4, 0.3, 0.3]), np.zeros(150))
        covered += found.low <= 0.55 <= found.high
    assert 0.91 <= covered / 400 <= 0.985


@pytest.mark.parametrize("differ", [0.01, 0.03])
def test_where_few_differ_an_even_model_seldom_looks_fallen(differ):
    """A one-sided 2.5%; Wald's own interval takes 4 losses among 396 ties for certain."""
    rng = np.random.default_rng(5)
    fallen = [win_rate(rng.choice([1, 0, -1], 400, p=[differ / 2, 1 - differ, differ / 2]), np.zeros(400)).high < 0.5
              for _ in range(1000)]
    assert np.mean(fallen) <= 0.035
    assert win_rate([-1] * 4 + [0] * 396, [0] * 400).high > 0.5 > win_rate([-1] * 6 + [0] * 394, [0] * 400).high


@given(st.integers(1, 50), st.integers(1, 50))
def test_a_win_rate_lies_in_its_interval_and_that_in_the_possible(wins, losses):
    for outcomes in ([1] * wins, [-1] * losses, [1] * wins + [-1] * losses):
        found = win_rate(outcomes, [0] * len(outcomes))
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_win_rate_of_several_samples_counts_prompts():
    new, old = [[1, 0, 3], [2, 2, 2]], [[0, 1, 3], [1, 1, 2]]  # (win, loss, tie) and (win, win, tie)
    found = win_rate(new, old)
    assert found.n == 2 and found.value == pytest.approx((0.5 + 2.5 / 3) / 2)
    assert win_rate([[1], [2]], [[0], [3]]) == win_rate([1, 2], [0, 3])


def test_samples_that_say_the_same_make_no_interval_narrower():
    once = np.random.default_rng(0).integers(0, 3, (60, 1))
    again = np.repeat(once, 8, axis=1)
    found, single = win_rate(again, np.ones_like(again)), win_rate(once, np.ones_like(once))
    assert (found.n, found.value) == (60, single.value)
    assert found.low == pytest.approx(single.low) and found.high == pytest.approx(single.high)


def test_a_score_that_is_missing_is_no_tie():
    assert math.isnan(win_rate([math.nan, 1], [0, 0]).value)


def planted(length_weight: float, quality_weight: float, seed: int = 0):
    """Rewards, lengths and qualities, where better answers are also longer."""
    rng = np.random.default_rng(seed)
    quality = rng.choice([0.0, 0.6, 0.8, 1.0], 400)
    length = 40 + 60 * quality + rng.normal(0, 15, 400)
    return length_weight * length + quality_weight * quality + rng.normal(0, 1e-3, 400), length, quality


def test_a_reward_that_is_length_is_found():
    assert length_bias(*planted(0.01, 0.0)).value > 0.99
    assert length_bias(*planted(-0.01, 5.0)).value < -0.99


def test_a_reward_of_quality_alone_is_acquitted_though_length_goes_with_quality():
    found = []
    for seed in range(8):
        reward, length, quality = planted(0.0, 3.0, seed)
        assert np.corrcoef(reward, length)[0, 1] > 0.6
        found.append(length_bias(reward, length, quality))
    assert abs(np.mean([m.value for m in found])) < 0.05
    assert sum(m.low <= 0 <= m.high for m in found) >= 6


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_length_bias_has_no_unit_and_sees_no_bias_in_rounding(scale):
    _, length, quality = planted(0.0, 1.0)
    assert length_bias(scale * (quality + 0.1), length, quality).value == 0.0
    assert length_bias(np.full(400, scale), length, quality).value == 0.0
    assert length_bias(scale * length, length, quality).value == pytest.approx(1)


def test_length_bias_is_the_textbook_partial_correlation():
    reward, length, quality = planted(0.004, 1.0, seed=3)
    reward = reward + np.random.default_rng(1).normal(0, 0.2, 400)
    rn, rq, nq = (np.corrcoef(a, b)[0, 1] for a, b in ((reward, length), (reward, quality), (length, quality)))
    expected = (rn - rq * nq) / math.sqrt((1 - rq**2) * (1 - nq**2))
    assert length_bias(reward, length, quality).value == pytest.approx(expected, abs=1e-9)


def test_consistency_tells_a_steady_reward_from_a_fickle_one():
    rng = np.random.default_rng(0)
    far = np.abs(rng.normal(2, 0.5, 200))
    steady = consistency(np.abs(rng.normal(0, 0.1, 150)), far)
    assert steady.value > 0.99 and steady.n == 150
    assert consistency(far[:100], far[100:]).value == pytest.approx(0.5, abs=0.1)
    turned = consistency(far, np.abs(rng.normal(0, 0.1, 150)))  # paraphrases further apart than qualities
    assert turned.value < 0.01


def test_consistency_interval_covers_the_truth():
    """Distances from two exponentials with scales 1 and 3: the chance that the far one is larger is 3/4."""
    rng = np.random.default_rng(4)
    found = [consistency(rng.exponential(1, 60), rng.exponential(3, 60)) for _ in range(40)]
    assert np.mean([m.low <= 0.75 <= m.high for m in found]) >= 0.85
    assert 0.1 < np.mean([m.high - m.low for m in found]) < 0.25  # standard error about 0.045


def test_consistency_of_nothing_is_no_number():
    for found in (consistency([], [1.0]), consistency([1.0], [])):
        assert found.n == 0 and math.isnan(found.value) and math.isnan(found.low)


def test_rank_correlation_sees_order_alone():
    x = np.random.default_rng(0).random(60)
    assert rank_correlation(x, np.exp(9 * x)).value == pytest.approx(1)
    assert rank_correlation(x, -x**3).value == pytest.approx(-1)
    # Kendall's textbook example: differences of ranks 0, 1, 1, 1, 1 give 1 − 6·4/(5·24) = 0.8
    assert rank_correlation([1, 2, 3, 4, 5], [1, 3, 2, 5, 4]).value == pytest.approx(0.8)
    assert rank_correlation([1, 1, 1], [1, 2, 3]).value == 0


@given(few)
def test_ranks_are_those_of_scipy(values):
    assert ranks(values).tolist() == rankdata(values).tolist()


def test_rank_correlation_with_ties_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, 80), rng.integers(0, 3, 80)
    assert rank_correlation(x, x + y).value == pytest.approx(spearmanr(x, x + y).statistic, abs=1e-12)


def test_rank_correlation_interval_covers_none():
    rng = np.random.default_rng(6)
    found = [rank_correlation(rng.random(40), rng.random(40)) for _ in range(20)]
    assert np.mean([m.low <= 0 <= m.high for m in found]) >= 0.8
    assert 0.5 < np.mean([m.high - m.low for m in found]) < 0.75  # standard error 1/√39
