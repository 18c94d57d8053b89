"""Intervals against worked numbers and simulated data; what a metrics file holds."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.files import read_json
from realign.metrics import Metric, bootstrap, exact, flatten, mean, mean_of, proportion, to_json


def close(metric: Metric, value: float, low: float, high: float, digits: int = 4) -> bool:
    return np.allclose([metric.value, metric.low, metric.high], [value, low, high], atol=0.5 * 10**-digits)


# Wilson's intervals as published: Newcombe 1998, table I (81/263, 15/148, 0/20, 1/29), rounded there to four digits;
# 29/29 follows by symmetry.
@pytest.mark.parametrize(("successes", "n", "low", "high"), [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
    (28, 29, 0.8282, 0.9939), (20, 20, 0.8389, 1.0)])
def test_wilson_as_published(successes, n, low, high):
    found = proportion(successes, n)
    assert close(found, successes / n, low, high) and found.n == n


def test_wilson_solves_its_equation():
    """Both ends p satisfy |share − p| = z √(p (1 − p) / n), which is how Wilson defines them."""
    for successes, n in ((3, 10), (50, 80), (199, 200)):
        found = proportion(successes, n)
        for p in (found.low, found.high):
            assert math.isclose(abs(successes / n - p), 1.959963984540054 * math.sqrt(p * (1 - p) / n), rel_tol=1e-9)


@given(st.integers(1, 10**6), st.data())
def test_a_proportion_lies_in_its_interval(n, data):
    successes = data.draw(st.integers(0, n))
    found = proportion(successes, n)
    assert 0 <= found.low <= found.value + 1e-12 and found.value - 1e-12 <= found.high <= 1
    mirrored = proportion(n - successes, n)
    assert math.isclose(found.low, 1 - mirrored.high, abs_tol=1e-9)


def test_mean_worked_example():
    # 2, 4, 4, 4, 5, 5, 7, 9: mean 5, sum of squares 32, deviation √(32/7), half-width 1.96 √(32/7/8)
    assert close(mean([2, 4, 4, 4, 5, 5, 7, 9]), 5, 5 - 1.4816, 5 + 1.4816)


def test_no_examples_give_no_number_and_one_gives_no_interval():
    for found in (proportion(0, 0), mean([]), bootstrap(np.mean, [])):
        assert found.n == 0 and all(map(math.isnan, (found.value, found.low, found.high)))
    for found in (mean([3.0]), bootstrap(np.mean, [3.0])):
        assert (found.value, found.n) == (3.0, 1) and math.isnan(found.low) and math.isnan(found.high)


def test_a_mean_of_metrics_by_hand():
    """Below they reach 3 and 4, above 6 and 8: together 5 and 10, halved."""
    found = mean_of([Metric(10, 7, 10 - 3, 10 + 6), Metric(20, 5, 20 - 4, 20 + 8)])
    assert close(found, 15, 15 - 2.5, 15 + 5) and found.n == 12
    assert mean_of([Metric(10, 7, 7, 16)]) == Metric(10, 7, 7, 16)
    nothing = mean_of([])
    assert nothing.n == 0 and math.isnan(nothing.value) and math.isnan(nothing.low)


def test_a_mean_of_metrics_covers_the_truth():
    """Three shares of few examples, far from one half, so that their intervals are lopsided: the truth is 0.8."""
    rng = np.random.default_rng(3)
    drawn = [mean_of([proportion(int(rng.binomial(n, p)), n) for n, p in ((20, 0.9), (30, 0.95), (25, 0.55))])
             for _ in range(400)]
    assert 0.93 <= np.mean([m.low <= 0.8 <= m.high for m in drawn]) <= 0.99


def test_a_missing_value_shows():
    assert math.isnan(mean([1.0, math.nan]).value)


def test_exact_is_its_own_interval():
    assert exact(12) == Metric(12, 12, 12, 12)
    assert exact(0.5, 8) == Metric(0.5, 8, 0.5, 0.5)


@pytest.mark.parametrize("interval", [mean, lambda x: bootstrap(np.mean, x, draws=200),
                                      lambda x: proportion(int(x.sum()), x.size)])
def test_intervals_cover_the_truth_about_95_times_in_100(interval):
    rng = np.random.default_rng(5)
    found = [interval((rng.random(120) < 0.3).astype(float)) for _ in range(300)]
    covered = sum(m.low <= 0.3 <= m.high for m in found) / len(found)
    assert 0.90 <= covered <= 0.985  # 95% within four standard errors of 300 draws


def test_the_bootstrap_keeps_rows_together():
    """The ratio of sums of paired columns is constant only where rows are resampled as rows."""
    x = np.random.default_rng(0).random(50)
    found = bootstrap(lambda a, b: a.sum() / b.sum(), 3 * x, x)
    assert math.isclose(found.low, 3) and math.isclose(found.high, 3)
    assert found == bootstrap(lambda a, b: a.sum() / b.sum(), 3 * x, x)
    assert bootstrap(np.mean, x, seed=1).low != bootstrap(np.mean, x, seed=2).low


def test_json_is_rounded_sorted_and_free_of_nan():
    written = to_json({"b": Metric(1 / 3, 3, math.nan, math.inf), "a": {"z": proportion(0, 0), 2: exact(4)},
                       "curve": [{"step": 1, "loss": math.nan}, {"step": 2, "loss": np.float32(0.5)}], "tiny": -1e-9})
    assert json.dumps(written, allow_nan=False) == json.dumps({
        "a": {"2": {"value": 4, "n": 4, "low": 4, "high": 4}, "z": {"value": None, "n": 0, "low": None, "high": None}},
        "b": {"value": 0.333333, "n": 3, "low": None, "high": None},
        "curve": [{"loss": None, "step": 1}, {"loss": 0.5, "step": 2}], "tiny": 0.0})
    assert math.copysign(1, written["tiny"]) == 1


def test_numpy_numbers_become_plain_ones():
    written = to_json({"a": Metric(np.float32(0.5), np.int64(3), np.float64(0.25), np.float32(1))})
    assert json.loads(json.dumps(written)) == {"a": {"value": 0.5, "n": 3, "low": 0.25, "high": 1.0}}


def test_flatten_names_by_dots(tmp_path):
    nested = {"capability": {"facts": {"value": 1, "n": 2}, "deep": {"er": {"value": 3}}}, "kl": exact(1)}
    assert flatten(nested) == {"capability.facts": {"value": 1, "n": 2}, "capability.deep.er": {"value": 3},
                               "kl": exact(1)}
    path = tmp_path / "m.json"
    path.write_text(json.dumps(to_json({"a": exact(2)})))
    assert flatten(read_json(path)) == {"a": {"value": 2, "n": 2, "low": 2, "high": 2}}
