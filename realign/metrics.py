"""A measured number, as every stage writes it: value, sample size, 95% interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

Z95 = 1.959963984540054  # two-sided 95% quantile of the normal distribution
REGRESSION = 0.05  # a capability more than this much below what it was, as a share of that (DESIGN §8)


@dataclass(frozen=True)
class Metric:
    """`value` measured on `n` examples, with its 95% interval from `low` to `high`."""

    value: float
    n: int
    low: float
    high: float


def exact(value: float, n: int | None = None) -> Metric:
    """A number that was counted, not estimated: its interval is itself."""
    return Metric(value, int(value) if n is None else n, value, value)


def proportion(successes: int, n: int) -> Metric:
    """Share of successes with Wilson's score interval (Wilson 1927); NaN where n is 0."""
    if n == 0:
        return Metric(math.nan, 0, math.nan, math.nan)
    p, z2 = successes / n, Z95 * Z95
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Metric(p, n, max(0.0, centre - half), min(1.0, centre + half))


def mean(values: Sequence[float]) -> Metric:
    """Arithmetic mean with the normal-theory interval (standard error from the sample deviation)."""
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        return Metric(math.nan, 0, math.nan, math.nan)
    half = Z95 * x.std(ddof=1) / math.sqrt(x.size) if x.size > 1 else math.nan
    m = float(x.mean())
    return Metric(m, int(x.size), m - half, m + half)


def difference(a: Sequence[float], b: Sequence[float]) -> Metric:
    """Mean of `a` minus mean of `b`, two independent samples, with the normal-theory interval; `n` is that of `b`."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    half = Z95 * float(np.sqrt(x.var() / x.size + y.var() / y.size))
    gap = float(x.mean() - y.mean())
    return Metric(gap, int(y.size), gap - half, gap + half)


def proportions(groups: Sequence[str], right: Sequence[float]) -> dict[str, Metric]:
    """By group, in order of name, the share of its rows that are `right` (0 or 1)."""
    names, held = np.asarray(groups), np.asarray(right)
    return {str(name): proportion(int(held[names == name].sum()), int((names == name).sum()))
            for name in sorted(set(groups))}


def mean_of(metrics: Sequence[Metric]) -> Metric:
    """Mean of independent metrics, each counting alike; `n` is the sum of theirs, NaN where there is none.

    The distances to their lower ends add up in squares, and so do those to the upper ends (the method of variance
    estimates recovery: Zou and Donner 2008, Construction of confidence limits about effect measures).
    """
    k = len(metrics)
    if k == 0:
        return Metric(math.nan, 0, math.nan, math.nan)
    value = sum(m.value for m in metrics) / k
    below = sum((m.value - m.low) ** 2 for m in metrics) ** 0.5 / k
    above = sum((m.high - m.value) ** 2 for m in metrics) ** 0.5 / k
    return Metric(value, sum(m.n for m in metrics), value - below, value + above)


def bootstrap(statistic, *columns: Sequence[float], seed: int = 0, draws: int = 1000) -> Metric:
    """`statistic(*columns)` with the percentile bootstrap interval (Efron 1979), rows resampled together.

    One row says nothing about its spread: the interval is NaN, and so is everything where there is none.
    """
    arrays = [np.asarray(c, dtype=np.float64) for c in columns]
    n = arrays[0].size
    if n == 0:
        return Metric(math.nan, 0, math.nan, math.nan)
    if n == 1:
        return Metric(float(statistic(*arrays)), 1, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    picks = (rng.integers(0, n, n) for _ in range(draws))
    samples = np.array([statistic(*(a[i] for a in arrays)) for i in picks])
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return Metric(float(statistic(*arrays)), n, float(low), float(high))


def to_json(metrics: Mapping) -> dict:
    """Nested mapping of Metric to nested plain values, keys sorted, six decimals; NaN and infinity become null."""
    def plain(value):
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, Metric):
            return {k: plain(v) for k, v in asdict(value).items()}
        if isinstance(value, Mapping):
            return {str(k): plain(value[k]) for k in sorted(value, key=str)}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        if isinstance(value, float):
            return round(value, 6) + 0.0 if math.isfinite(value) else None  # + 0.0: no negative zero
        return value
    return plain(metrics)


def flatten(metrics: Mapping, prefix: str = "") -> dict[str, dict]:
    """`{"capability": {"facts": {value…}}}` as `{"capability.facts": {value…}}`."""
    flat = {}
    for key, value in metrics.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and "value" not in value:
            flat |= flatten(value, name + ".")
        else:
            flat[name] = value
    return flat
