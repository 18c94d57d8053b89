"""The relative drop between two means: its one-sided ends, and how likely the data are if little was lost or nothing
was gained.

A unit is what is asked: one example, or all phrasings of one fact together. Fieller's interval needs many units that
differ; where few do, the exact binomial law of those that do stands beside it, and the more careful of the two counts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import NormalDist

from realign.metrics import Metric

CONFIDENCE = 0.95  # of each end alone
ALPHA = 1 - CONFIDENCE
FEW = 25  # units that differ, below which the exact law is asked too (the customary limit of McNemar's exact test)
_STEPS = 30  # halvings of [0, 1]: to nine digits


@dataclass(frozen=True)
class Sums:
    """Sums over the units compared; `cross` (sum of products) is None where they are not paired.

    A unit's value is its score, 0 to 1, or for a unit of several examples the sum of theirs over the mean number of
    examples a unit: so the mean over units is the mean over examples. `worse` and `better` count the units that fell
    and rose, `lost` and `won` sum by how much; all 0 where units are not paired.
    """

    n_a: int
    n_b: int
    a: float
    b: float
    a_squared: float
    b_squared: float
    cross: float | None
    worse: int = 0
    better: int = 0
    lost: float = 0.0
    won: float = 0.0

    @classmethod
    def of(cls, units: Sequence[str], a: Sequence[float], b: Sequence[float]) -> "Sums":
        """Of paired scores, example by example, each with the name of its unit."""
        totals: dict[str, list[float]] = {}
        for unit, before, after in zip(units, a, b, strict=True):
            total = totals.setdefault(unit, [0.0, 0.0])
            total[0] += before
            total[1] += after
        one = len(units) / len(totals)  # examples a unit, on average
        pairs = [(x / one, y / one) for x, y in totals.values()]
        return cls(len(pairs), len(pairs), sum(x for x, _ in pairs), sum(y for _, y in pairs),
                   sum(x * x for x, _ in pairs), sum(y * y for _, y in pairs), sum(x * y for x, y in pairs),
                   sum(y < x for x, y in pairs), sum(y > x for x, y in pairs),
                   sum(max(x - y, 0.0) for x, y in pairs), sum(max(y - x, 0.0) for x, y in pairs))

    def smoothed(self) -> "Sums":
        """With half an example added at each corner of the unit square: (0,0), (0,1), (1,0), (1,1).

        Agresti and Min 2005 for pairs, Agresti and Caffo 2000 for two samples: without it, an interval from
        few changed examples is too narrow, and from none it has no width.
        """
        cross = None if self.cross is None else self.cross + 0.5
        return Sums(self.n_a + 2, self.n_b + 2, self.a + 1, self.b + 1,
                    self.a_squared + 1, self.b_squared + 1, cross)

    @property
    def few(self) -> bool:
        """Whether so few units differ that the exact law must be asked."""
        return self.cross is not None and self.worse + self.better < FEW

    @property
    def moments(self) -> tuple[float, float, float, float, float]:
        """Both means, their variances and their covariance."""
        a, b = self.a / self.n_a, self.b / self.n_b
        cov = 0.0 if self.cross is None else (self.cross / self.n_a - a * b) / self.n_a
        return (a, b, max(0.0, self.a_squared / self.n_a - a * a) / self.n_a,
                max(0.0, self.b_squared / self.n_b - b * b) / self.n_b, cov)


@cache
def quantile(alpha: float) -> float:
    """The standard normal's value that is exceeded with chance `alpha`."""
    return NormalDist().inv_cdf(1 - alpha)


def relative_drop(sums: Sums, alpha: float = ALPHA) -> Metric:
    """(mean A − mean B) / mean A, and its ends, each one-sided with error `alpha`: by Fieller's theorem (1954), on
    smoothed sums.

    An end holds each ratio q = mean B / mean A that a test of mean B − q·mean A = 0 does not reject. Where few units
    differ, it goes at least as far as the exact one. NaN where A's mean is 0 or a side is empty; an end is NaN where
    A's mean is too uncertain to divide by. `n` counts units.
    """
    if not sums.n_a or not sums.n_b or sums.a <= 0:
        return Metric(math.nan, min(sums.n_a, sums.n_b), math.nan, math.nan)
    drop = 1 - (sums.b / sums.n_b) / (sums.a / sums.n_a)
    low, high = _fieller(sums.smoothed(), alpha)
    if sums.few:
        least, most = _exact(sums, alpha)
        low, high = min(low, least), max(high, most)
    # smoothing pulls towards no change, so in tiny samples the estimate itself may fall outside
    return Metric(drop, min(sums.n_a, sums.n_b), min(low, drop), max(high, drop))


def _fieller(s: Sums, alpha: float) -> tuple[float, float]:
    a, b, var_a, var_b, cov = s.moments
    z2 = quantile(alpha) ** 2
    square, middle, rest = a * a - z2 * var_a, a * b - z2 * cov, b * b - z2 * var_b
    if square <= 0:
        return math.nan, math.nan
    root = math.sqrt(max(0.0, middle * middle - square * rest))
    return 1 - (middle + root) / square, 1 - max(0.0, (middle - root) / square)


def _exact(s: Sums, alpha: float) -> tuple[float, float]:
    """The ends from the share of units that fell, what the others won taken off."""
    size = s.lost / s.worse if s.worse else 1.0
    return tuple((share * size - s.won / s.n_a) / (s.a / s.n_a) for share in _shares(s.worse, s.n_a, alpha))


@lru_cache(maxsize=1024)
def _shares(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Both ends, one-sided, of a share of which `k` of `n` were seen (Clopper and Pearson 1934)."""
    least = _share(lambda p: 1 - at_most(k - 1, n, p) > alpha) if k else 0.0
    return least, _share(lambda p: at_most(k, n, p) <= alpha)


def _share(beyond) -> float:
    """The share from which on `beyond` holds, by halving."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high


def p_lost(sums: Sums, margin: float) -> float:
    """How likely data that speak this much for a loss are where the drop is only `margin`: one-sided p-value.

    By Fieller's statistic; where few units differ, at least that of the exact binomial law of those that fell.
    NaN where there is nothing to divide by.
    """
    if not sums.n_a or not sums.n_b or sums.a <= 0:
        return math.nan
    p = _p(sums.smoothed(), 1 - margin)
    if sums.few and sums.worse:
        size = sums.lost / sums.worse
        share = (margin * sums.a + sums.won) / (size * sums.n_a)
        p = max(p, 1 - at_most(sums.worse - 1, sums.n_a, min(1.0, share)))
    return p


def p_gained(sums: Sums) -> float:
    """How likely data that speak this much for a gain are where nothing was gained: one-sided p-value.

    By Fieller's statistic; where few units differ, at least that of McNemar's exact test. NaN where a side is empty.
    """
    if not sums.n_a or not sums.n_b:
        return math.nan
    p = 1 - _p(sums.smoothed(), 1.0)
    return max(p, mcnemar(sums.worse, sums.better)) if sums.few else p


def _p(s: Sums, ratio: float) -> float:
    """Of the test that mean B is at least `ratio` times mean A."""
    a, b, var_a, var_b, cov = s.moments
    variance = var_b - 2 * ratio * cov + ratio * ratio * var_a
    return 1 - NormalDist().cdf((ratio * a - b) / math.sqrt(variance)) if variance > 0 else float(b >= ratio * a)


def mcnemar(worse: int, better: int) -> float:
    """One-sided p-value that no more units turn right than wrong (McNemar 1947, exact binomial)."""
    return at_most(worse, worse + better, 0.5)


def at_most(k: int, n: int, p: float) -> float:
    """Chance of at most `k` successes in `n` trials of chance `p`."""
    if k >= n or p <= 0:
        return 1.0
    if k < 0 or p >= 1:
        return 0.0
    log_p, log_q = math.log(p), math.log1p(-p)
    return min(1.0, math.fsum(math.exp(way + i * log_p + (n - i) * log_q) for i, way in enumerate(_ways(k, n))))


@lru_cache(maxsize=1024)
def _ways(k: int, n: int) -> tuple[float, ...]:
    """Logarithms of the numbers of ways to choose 0 to `k` of `n`."""
    return tuple(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(k + 1))


def holm(p_values: list[float], level: float = ALPHA) -> list[bool]:
    """Which hypotheses a family of tests rejects, with at most `level` chance of any false one (Holm 1979).

    NaN is a test that could not be made; it counts in the family and is not rejected.
    """
    order = sorted(range(len(p_values)), key=lambda i: (math.isnan(p_values[i]), p_values[i]))
    rejected = [False] * len(p_values)
    for passed, i in enumerate(order):
        if not p_values[i] <= level / (len(p_values) - passed):
            break
        rejected[i] = True
    return rejected
