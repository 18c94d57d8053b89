"""Numbers as the report shows them: rounded for people, the exact figure kept beside them."""

import math
from collections.abc import Mapping

from markupsafe import Markup, escape

MINUS = "\u2212"
NOTHING = "\u2013"


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


def is_count(metric: Mapping) -> bool:
    """Whether a metric was counted: whole, and its interval is itself."""
    value = metric.get("value")
    return is_number(value) and value == int(value) and value == metric.get("low") == metric.get("high")


def tag(value, text: str | None = None) -> Markup:
    """`<data>` element: the exact figure for machines, the rounded one for people."""
    if not is_number(value):
        return Markup('<span class="none">{}</span>').format("missing" if text is None else text)
    return Markup('<data value="{}">{}</data>').format(repr(value), number(value) if text is None else text)


def figure(metric: Mapping) -> Markup:
    """A metric's value; a counted one as a whole number."""
    value = metric.get("value")
    return tag(value, f"{int(value):,}".replace("-", MINUS)) if is_count(metric) else tag(value)


def interval(metric: Mapping) -> Markup:
    """`low to high`, or "exact" for a counted number, or a dash where no interval is known."""
    low, high = metric.get("low"), metric.get("high")
    if is_number(low) and low == high:
        return Markup('<span class="none">exact</span>')
    if not (is_number(low) and is_number(high)):
        return Markup('<span class="none">{}</span>').format(NOTHING)
    return Markup("{} to {}").format(tag(low), tag(high))


def plain(text) -> str:
    """Text from data made safe to look at: control characters become visible signs; escaping comes later."""
    signs = {c: chr(0x2400 + c) for c in range(32) if c not in (9, 10)} | {127: "\u2421"}
    return str(text).translate(signs)


def clipped(text, limit: int) -> Markup:
    """The first `limit` characters, escaped, and how many were left out."""
    shown = plain(text)
    if len(shown) <= limit:
        return escape(shown)
    return Markup('{}<span class="none">… ({} more characters)</span>').format(
        shown[:limit], f"{len(shown) - limit:,}")
