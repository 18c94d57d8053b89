"""Small pictures as inline SVG: no script, colours from the page's style sheet (light, dark, print).

Strips and dot plots place everything in percent of their width, so they fit a phone without their
text or dots shrinking; line charts have a fixed shape of phone width and stand several in a row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from realign.report.verdicts import Limit
from realign.words import interval, is_number, number, threshold

WIDTH, HEIGHT = 290, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34
POINTS = 400  # a curve is drawn through at most about this many
HOVER = 80  # and carries a tooltip a point up to this many


@dataclass(frozen=True)
class Series:
    """One curve: (x, y) in order of x; y None is a gap."""

    name: str
    points: tuple[tuple[float, float | None], ...]


def svg(ident: str, title: str, description: str, size: str, body: Sequence[Markup]) -> Markup:
    """An inline picture with a title and a description for those who cannot see it."""
    return Markup('<svg role="img" aria-labelledby="{0}-t {0}-d" {1}><title id="{0}-t">{2}</title>'
                  '<desc id="{0}-d">{3}</desc>{4}</svg>').format(
        ident, Markup(size), title, description, Markup("").join(body))


def ticks(low: float, high: float, about: int = 5, whole: bool = False) -> list[float]:
    """Round numbers from `low` to `high`, 1, 2 or 5 times a power of ten (at least 1 where `whole`) apart."""
    rough = max((high - low) / about, 1.0 if whole else 0.0)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def span(values: Sequence[float], margin: float = 0.06) -> tuple[float, float]:
    """The range of `values` with some air; a single value gets a range around it."""
    low, high = min(values), max(values)
    if low == high == 0:
        return -0.06, 1.0
    air = (high - low) * margin or abs(high) * 0.1 or 1.0
    return low - air, high + air


def strip(ident: str, title: str, seen: tuple, must: Limit, should: Limit) -> Markup:
    """A value with its interval on a band that shows where a gate warns and where it blocks."""
    value, low, high = (v if is_number(v) else None for v in seen)
    limits = [e for e in (must.floor, must.ceiling, should.floor, should.ceiling) if e is not None]
    known = [v for v in (value, low, high, *limits) if v is not None]
    if value is None or not limits:
        return Markup("")
    start, end = span(known, 0.25)
    if min(known) >= 0 > start:
        start = 0.0

    def at(x: float) -> str:
        return f"{100 * (x - start) / (end - start):.2f}%"

    body = [Markup('<rect class="fine" x="0" y="6" width="100%" height="12" rx="2"/>')]
    for css, band in (("warn", should), ("bad", must)):
        if band.floor is not None:
            body.append(Markup('<rect class="{}" x="0" y="6" width="{}" height="12"/>').format(
                css, at(band.floor)))
        if band.ceiling is not None:
            body.append(Markup('<rect class="{}" x="{}" y="6" width="{:.2f}%" height="12"/>').format(
                css, at(band.ceiling), 100 * (end - band.ceiling) / (end - start)))
    body += [Markup('<line class="limit" x1="{0}" x2="{0}" y1="3" y2="21"/>').format(at(e)) for e in limits]
    if low is not None and high is not None and low < high:
        body.append(Markup('<line class="whisker" x1="{}" x2="{}" y1="12" y2="12"/>').format(
            at(low), at(high)))
    body.append(Markup('<circle class="dot" cx="{}" cy="12" r="5"/>').format(at(value)))
    ends = interval({"low": low, "high": high})
    told = f"{number(value)}{', interval ' * bool(ends)}{ends}; limits {', '.join(threshold(e) for e in limits)}"
    return svg(ident, title, told, 'class="strip" width="100%" height="24"', body)


def dumbbell(ident: str, title: str, before: dict, after: dict) -> Markup:
    """Before (ring, above) and after (dot, below) of one score, each with its interval, on 0 to 1."""
    def at(x: float) -> str:
        return f"{2 + 96 * min(max(x, 0.0), 1.0):.2f}%"

    body = [Markup('<line class="grid" x1="{0}" x2="{0}" y1="0" y2="40"/>').format(at(x / 4))
            for x in range(5)]
    told = []
    values = [m.get("value") for m in (before, after)]
    if all(is_number(v) for v in values):
        body.append(Markup('<line class="move" x1="{}" x2="{}" y1="14" y2="26"/>').format(*map(at, values)))
    for css, name, metric, y in (("before", "before", before, 11), ("after", "after", after, 23)):
        value, low, high = (metric.get(k) for k in ("value", "low", "high"))
        if not is_number(value):
            continue
        told.append(f"{name} {number(value)}")
        if is_number(low) and is_number(high):
            told[-1] += f" ({ends})" if (ends := interval(metric)) else ""
            body.append(Markup('<line class="whisker {}" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                css, at(low), at(high), y=y))
        body.append(Markup('<circle class="{}" cx="{}" cy="{}" r="5"/>').format(css, at(value), y))
    return svg(ident, title, "; ".join(told), 'class="dumbbell" width="100%" height="40"', body)


def thinned(points: Sequence[tuple]) -> list[tuple]:
    """At most about POINTS points: the lowest and the highest of each stretch, so no spike is lost."""
    if len(points) <= POINTS:
        return list(points)
    size, kept = math.ceil(2 * len(points) / POINTS), []
    for i in range(0, len(points), size):
        part = points[i:i + size]
        known = [p for p in part if p[1] is not None] or part[:1]
        ends = {min(known, key=lambda p: p[1] or 0), max(known, key=lambda p: p[1] or 0)}
        kept += sorted(ends, key=lambda p: p[0])
    return [*kept[:-1], points[-1]]


def line_chart(ident: str, title: str, x_name: str, series: Sequence[Series], limits: Limit) -> Markup:
    """Curves over steps; a gate's limits as dashed lines. Empty where no point has a value."""
    drawn = [Series(s.name, tuple(thinned(s.points))) for s in series]
    xs = [x for s in drawn for x, y in s.points if y is not None]
    ys = [y for s in drawn for x, y in s.points if y is not None]
    if not ys:
        return Markup("")
    edges = [e for e in (limits.floor, limits.ceiling) if e is not None]
    x0, x1 = (min(xs), max(xs)) if min(xs) < max(xs) else span(xs)
    y0, y1 = span([*ys, *edges])

    def at(x: float, y: float) -> tuple[float, float]:
        return (LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM))

    body = _axes(at, (x0, x1), (y0, y1), x_name)
    for edge in edges:
        y = at(x0, edge)[1]
        body.append(Markup('<line class="limit" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>'
                           '<text class="limit" x="{}" y="{ty:.1f}" text-anchor="end">limit {}</text>'
                           ).format(
            LEFT, WIDTH - RIGHT, WIDTH - RIGHT, threshold(edge), y=y, ty=y - 4 if y > TOP + 14 else y + 12))
    for i, s in enumerate(drawn):
        body += _curve(at, s, i % 6 + 1)
    size = f'class="chart" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return svg(ident, title, told(title, x_name, series), size, body)


def told(title: str, x_name: str, series: Sequence[Series]) -> str:
    """A chart in words: where each curve starts and ends, and its extremes."""
    parts = []
    for s in series:
        known = [p for p in s.points if p[1] is not None]
        if known:
            ys = [y for _, y in known]
            parts.append(f"{s.name}: from {number(known[0][1])} at {x_name} {threshold(known[0][0])} to "
                         f"{number(known[-1][1])} at {x_name} {threshold(known[-1][0])}, lowest "
                         f"{number(min(ys))}, highest {number(max(ys))}, {len(known)} points")
    return f"{title}. " + "; ".join(parts)


def _axes(at, xr: tuple[float, float], yr: tuple[float, float], x_name: str) -> list[Markup]:
    body = []
    for y in ticks(*yr):
        py = at(xr[0], y)[1]
        body.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>'
                           '<text x="{}" y="{ty:.1f}" text-anchor="end">{}</text>').format(
            LEFT, WIDTH - RIGHT, LEFT - 6, threshold(y), y=py, ty=py + 4))
    for x in ticks(*xr, about=4, whole=True):
        body.append(Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            at(x, yr[0])[0], HEIGHT - BOTTOM + 16, threshold(x)))
    body.append(Markup('<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>').format(
        WIDTH - RIGHT, HEIGHT - 3, x_name))
    return body


def _curve(at, series: Series, colour: int) -> list[Markup]:
    path, pen = [], "M"
    for x, y in series.points:
        if y is not None:
            path.append("{}{:.1f} {:.1f}".format(pen, *at(x, y)))
        pen = "M" if y is None else "L"
    known = [p for p in series.points if p[1] is not None]
    body = [Markup('<path class="s{}" d="{}"/>').format(colour, "".join(path))]
    marks = known if len(known) <= HOVER else known[-1:]
    mark = Markup('<circle class="s{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}: {} at {}</title></circle>')
    return body + [mark.format(colour, *at(x, y), 3.5 if (x, y) == known[-1] else 1.8, series.name,
                               number(y), threshold(x)) for x, y in marks]
