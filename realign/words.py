"""Numbers and names as a person reads them: plain text, for terminals and as what the report wraps in HTML."""

import math
from collections.abc import Mapping, Sequence

MINUS = "\u2212"
NOTHING = "\u2013"

# What a model is compared with, as a decision names it -> in a sentence. The order is the one in which they are shown.
AGAINST = {
    "baseline": "the base model",
    "start": "the model that later stages started from",
    "released": "the model released before",
    "best": "the best model ever released",
}


def is_number(value) -> bool:
    """Whether `value` is a finite number (a bool is not)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value, more: int = 0) -> str:
    """`value` rounded for reading: four decimals below 1, fewer above, more where tiny; a dash for none.

    `more` adds decimals.
    """
    if not is_number(value):
        return NOTHING
    if isinstance(value, int):
        return f"{value:,.0f}".replace("-", MINUS)
    size = abs(value)
    if 0 < size < 1e-5:
        return f"{value:.{1 + more}e}".replace("-", MINUS)
    steps = ((1000, 0), (100, 1), (10, 2), (1, 3), (1e-3, 4), (1e-5, 6), (0, 4))
    decimals = next(places for least, places in steps if size >= least)
    return f"{value:,.{decimals + more}f}".replace("-", MINUS)


def threshold(value: float) -> str:
    """A threshold as it was written, without trailing zeros."""
    text = f"{value:,.0f}" if abs(value) >= 1000 and value == int(value) else f"{value:g}"
    return text.replace("-", MINUS)


def beside(value: float, limit: float) -> str:
    """`value` with as many decimals as it takes to stand on the right side of `limit`."""
    def side(x: float) -> int:
        return (x > limit) - (x < limit)

    texts = [number(value, more) for more in range(13)]
    back = [float(text.replace(MINUS, "-").replace(",", "")) for text in texts]
    return next((t for t, x in zip(texts, back, strict=True) if side(x) == side(value)), texts[-1])


def interval(metric: Mapping) -> str:
    """`low to high` of a metric or a check; empty where nothing was estimated (no ends, or both the same)."""
    low, high = metric.get("low"), metric.get("high")
    if not (is_number(low) and is_number(high)) or low == high:
        return ""
    return f"{number(low)} to {number(high)}"


def change(drop) -> str:
    """A relative drop as a change of score, with the sign that a person expects; a dash for none."""
    return f"{round(-100 * drop, 1) + 0.0:+.1f}%".replace("-", MINUS) if is_number(drop) else NOTHING


def listed(names: Sequence[str]) -> str:
    """The names as "a, b and c"; empty for none."""
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + list(names[-1:]))
