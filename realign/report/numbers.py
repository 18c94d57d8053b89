"""Numbers as the report shows them: the words of realign/words.py, the exact figure kept beside them in HTML."""

from collections.abc import Mapping

from markupsafe import Markup, escape

from realign.words import MINUS, NOTHING, is_number, number


def is_count(metric: Mapping) -> bool:
    """Whether a metric was counted: whole, its interval is itself, and it is written as a whole number or is the number
    of what was counted. A sampled figure that came out at 0 or 1 is none."""
    value = metric.get("value")
    return (is_number(value) and value == int(value) and value == metric.get("low") == metric.get("high")
            and (isinstance(value, int) or value == metric.get("n")))


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
    if is_count(metric):
        return Markup('<span class="none">exact</span>')
    if not (is_number(low) and is_number(high)) or low == high:
        return Markup('<span class="none">{}</span>').format(NOTHING)
    return Markup("{} to {}").format(tag(low), tag(high))


def plain(text) -> str:
    """Text from data made safe to look at: control characters become visible signs; escaping comes later."""
    signs = {c: chr(0x2400 + c) for c in range(32) if c not in (9, 10)} | {127: "\u2421"}
    return str(text).translate(signs)


def coded(text) -> Markup:
    """Text in which what stands between backticks is code, as a person types it."""
    parts = plain(text).split("`")
    if len(parts) % 2 == 0:  # one of them has no fellow
        return escape("`".join(parts))
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else escape(part)
                           for i, part in enumerate(parts))


def clipped(text, limit: int) -> Markup:
    """The first `limit` characters, escaped, and how many were left out."""
    shown = plain(text)
    if len(shown) <= limit:
        return escape(shown)
    return Markup('{}<span class="none">… ({} more characters)</span>').format(
        shown[:limit], f"{len(shown) - limit:,}")
