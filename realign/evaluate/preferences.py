"""Metrics of reward models and of preferences between two models."""

import math
from collections.abc import Sequence

import numpy as np

from realign.metrics import Z95, Metric, bootstrap, mean, proportion


def ranking_accuracy(chosen: Sequence[float], rejected: Sequence[float]) -> Metric:
    """Share of pairs whose chosen side has the higher reward; a tie is not ranked right."""
    right = np.asarray(chosen) > np.asarray(rejected)
    return proportion(int(right.sum()), right.size)


def win_rate(new: Sequence, old: Sequence) -> Metric:
    """Share of prompts on which the new answer scores higher; ties count half.

    Scores of prompts, or of prompts × samples, sample against sample. Samples of one prompt are not independent:
    their mean counts once, so that `n` is the number of prompts and the interval that of as many clusters. The
    interval is Wald's with half a prompt more in each of the four outcomes (Agresti and Min 2005, Simple improved
    confidence intervals for comparing matched proportions): without them a few losses among ties look certain, and
    all ties exact.
    """
    lead = np.sign(np.subtract(new, old, dtype=np.float64))
    n = len(lead)
    if n == 0:
        return mean([])
    won = lead.reshape(n, -1).mean(axis=1)  # from -1, all lost, to 1
    total, more = won.sum(), n + 2
    half = Z95 * np.sqrt((won**2).sum() + 1 - total**2 / more) / more
    low, high = (float(np.clip((1 + total / more + end) / 2, 0, 1)) for end in (-half, half))
    return Metric(float((1 + total / n) / 2), n, low, high)


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive lies above a negative, ties half (Mann–Whitney U over its maximum); NaN where a side
    is empty."""
    n, m = len(positive), len(negative)
    if n == 0 or m == 0:
        return math.nan
    above = ranks(np.concatenate([positive, negative]))[:n]
    return float((above.sum() - n * (n + 1) / 2) / (n * m))


def consistency(paraphrase_distances: Sequence[float], quality_distances: Sequence[float], seed: int = 0) -> Metric:
    """AUROC of |reward difference| telling responses of different quality from paraphrases of one response.

    1: paraphrases always lie closer; 0.5: no better than chance. The interval resamples both groups.
    """
    far, near = np.asarray(quality_distances, float), np.asarray(paraphrase_distances, float)
    if far.size == 0 or near.size == 0:
        return Metric(math.nan, 0, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    draws = [auroc(rng.choice(far, far.size), rng.choice(near, near.size)) for _ in range(500)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Metric(auroc(far, near), int(min(far.size, near.size)), float(low), float(high))


def rank_correlation(x: Sequence[float], y: Sequence[float], seed: int = 0, both_orders: bool = False) -> Metric:
    """Spearman's rank correlation, which is Pearson's of the ranks; 0 where one side does not vary.

    With `both_orders` every (x, y) counts as (−x, −y), too: for differences whose sign is a matter of order.
    """
    def rho(a, b):
        if both_orders:
            a, b = np.concatenate([a, -a]), np.concatenate([b, -b])
        return float(np.corrcoef(ranks(a), ranks(b))[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0

    return bootstrap(rho, x, y, seed=seed, draws=500)


def length_bias(rewards: Sequence[float], lengths: Sequence[float], qualities: Sequence[float]) -> Metric:
    """Partial correlation of reward and length given quality: the correlation of what a linear fit on quality leaves
    of each; 0 where nothing is left of one."""
    def partial(r, n, q):
        design = np.column_stack([q, np.ones_like(q)])
        left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (r, n)]
        # What a perfect fit leaves is rounding, not a residual.
        if any(rest.std() <= 1e-9 * np.abs(v).max() for rest, v in zip(left, (r, n), strict=True)):
            return 0.0
        return float((left[0] * left[1]).mean() / (left[0].std() * left[1].std()))

    return bootstrap(partial, rewards, lengths, qualities, draws=500)
