"""The relative drop between two means, its interval, and whether it is real."""

import math
from dataclasses import dataclass

from realign.metrics import Z95, Metric


@dataclass(frozen=True)
class Sums:
    """Sums over the examples compared; `cross` (sum of products) is None where examples are not paired."""

    n_a: int
    n_b: int
    a: float
    b: float
    a_squared: float
    b_squared: float
    cross: float | None

    def smoothed(self) -> "Sums":
        """With half an example added at each corner of the unit square: (0,0), (0,1), (1,0), (1,1).

        Agresti and Min 2005 for pairs, Agresti and Caffo 2000 for two samples: without it, an interval from
        few changed examples is too narrow, and from none it has no width.
        """
        cross = None if self.cross is None else self.cross + 0.5
        return Sums(self.n_a + 2, self.n_b + 2, self.a + 1, self.b + 1,
                    self.a_squared + 1, self.b_squared + 1, cross)


def relative_drop(sums: Sums) -> Metric:
    """(mean A − mean B) / mean A for scores in [0, 1], with a 95% interval by Fieller's theorem (1954).

    The interval holds each ratio q = mean B / mean A that a test of mean B − q·mean A = 0 does not reject,
    on smoothed sums; so it excludes 0 exactly when that test finds the means different. NaN where A's mean
    is 0 or a side is empty; a bound is NaN where A's mean is too uncertain to divide by.
    """
    if not sums.n_a or not sums.n_b or sums.a <= 0:
        return Metric(math.nan, min(sums.n_a, sums.n_b), math.nan, math.nan)
    drop = 1 - (sums.b / sums.n_b) / (sums.a / sums.n_a)
    low, high = _fieller(sums.smoothed())
    # smoothing pulls towards no change, so in tiny samples the estimate itself may fall outside
    return Metric(drop, min(sums.n_a, sums.n_b), min(low, drop), max(high, drop))


def _fieller(s: Sums) -> tuple[float, float]:
    a, b = s.a / s.n_a, s.b / s.n_b
    z2 = Z95 * Z95
    var_a = (s.a_squared / s.n_a - a * a) / s.n_a
    var_b = (s.b_squared / s.n_b - b * b) / s.n_b
    cov = 0.0 if s.cross is None else (s.cross / s.n_a - a * b) / s.n_a
    square, middle, rest = a * a - z2 * var_a, a * b - z2 * cov, b * b - z2 * var_b
    if square <= 0:
        return math.nan, math.nan
    root = math.sqrt(max(0.0, middle * middle - square * rest))
    return 1 - (middle + root) / square, 1 - max(0.0, (middle - root) / square)


def mcnemar(worse: int, better: int) -> float:
    """Two-sided p-value that as many examples turn wrong as right (McNemar 1947, exact binomial)."""
    n, k = worse + better, min(worse, better)
    if worse == better:
        return 1.0
    log_half = n * math.log(2)
    ways = (math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(k + 1))
    return 2 * math.fsum(math.exp(w - log_half) for w in ways)
