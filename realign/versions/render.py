"""A comparison for a person (rich), for a pull request (Markdown) and for a program (JSON)."""

import html
import math
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from realign.metrics import Metric, to_json
from realign.versions.compare import Change, Comparison, Example, Shift

if TYPE_CHECKING:
    from rich.console import Group

_SHOWN = 240  # characters of a prompt or answer shown to a person


def as_json(comparison: Comparison, examples: int | None = None) -> dict:
    """Plain dictionaries, numbers rounded to six digits, NaN as null; at most `examples` changed ones a
    capability (`changed_total` counts them all)."""
    plain = asdict(comparison)
    plain["changed"] = [asdict(e) for e in worst(comparison, examples)]
    plain["changed_total"] = len(comparison.changed)
    plain["regressions"] = [c.capability for c in comparison.regressions]
    return _rounded(plain)


def _rounded(value):
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return to_json({"": value})[""]


def worst(comparison: Comparison, examples: int | None) -> list[Example]:
    """The first `examples` changed examples of each capability, worst first (None: all of them)."""
    by_capability = sorted(comparison.changed, key=lambda e: e.capability)  # a stable sort keeps worst first
    return [e for _, group in groupby(by_capability, lambda e: e.capability) for e in list(group)[:examples]]


def summary(comparison: Comparison) -> str:
    """One line: the verdict of the comparison."""
    names = [c.capability for c in comparison.regressions]
    if names:
        return f"REGRESSION in {', '.join(names)}: {comparison.b} is more than 5% below {comparison.a}"
    return f"no regression: no capability of {comparison.b} is more than 5% below {comparison.a}"


def label(change: Change) -> str:
    """What a change is called: regression, down, up or same, and whether real or noise."""
    if math.isnan(change.drop.value):
        return "REGRESSION, not measured" if change.regression else "nothing to compare"
    word = ("REGRESSION" if change.regression else "down" if change.drop.value > 0
            else "up" if change.drop.value < 0 else "same")
    if word == "same":
        return word
    return f"{word}, {'real' if change.real else 'may be noise'}"


def table(comparison: Comparison, examples: int = 5) -> "Group":
    """What the terminal shows: capabilities, metrics that moved, the worst changed examples."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text
    parts = [_rich(Table(title=_title(comparison)), _CAPABILITY_HEAD,
                   [_capability_row(c) for c in comparison.capabilities])]
    slices = _slices_that_fell(comparison)
    if slices:
        parts.append(_rich(Table(title="slices more than 5% down"), ("slice", *_CAPABILITY_HEAD[1:]), slices))
    moved = _moved(comparison)
    if moved:
        parts.append(_rich(Table(title="metrics that moved"), _METRIC_HEAD, [_metric_row(m) for m in moved]))
    for e in worst(comparison, examples):
        head = f"{e.capability} / {e.slice}  {e.example_id}  {e.score_a:g} → {e.score_b:g}"
        parts.append(Text("\n" + head, "bold"))
        parts += [Text(f"  {name:9} {_short(text)}") for name, text in _sides(comparison, e)]
    regressed = bool(comparison.regressions)
    return Group(*parts, Text("\n" + summary(comparison), "bold red" if regressed else "bold green"))


def markdown(comparison: Comparison, examples: int = 5) -> str:
    """The same as a Markdown comment for a pull request; long lists are folded."""
    lines = [f"### {_cell(_title(comparison))}", "", f"**{_cell(summary(comparison))}**", "",
             *_pipes(_CAPABILITY_HEAD, [_capability_row(c) for c in comparison.capabilities])]
    slices, moved, changed = _slices_that_fell(comparison), _moved(comparison), worst(comparison, examples)
    if slices:
        lines += _folded(f"{len(slices)} slices more than 5% down",
                         _pipes(("slice", *_CAPABILITY_HEAD[1:]), slices))
    if moved:
        lines += _folded(f"{len(moved)} metrics moved", _pipes(_METRIC_HEAD, [_metric_row(m) for m in moved]))
    if changed:
        head = ("example", "score", "prompt", comparison.a, comparison.b, "reference")
        rows = [(f"{e.capability} / {e.slice} {e.example_id}", f"{e.score_a:g} → {e.score_b:g}",
                 *(_short(t) for t in (e.prompt, e.output_a, e.output_b, e.reference))) for e in changed]
        lines += _folded(f"{len(changed)} of {len(comparison.changed)} examples answered worse",
                         _pipes(head, rows))
    return "\n".join(lines) + "\n"


_CAPABILITY_HEAD = ("capability", "before", "after", "drop", "95% interval", "examples", "worse", "better",
                    "verdict")
_METRIC_HEAD = ("metric", "before", "after", "change", "intervals")


def _capability_row(change: Change, name: str = "") -> tuple[str, ...]:
    n = f"{change.drop.n}{'' if change.paired else ' unpaired'}"
    missing = [f"{count} only {side}" for count, side in ((change.only_a, "before"), (change.only_b, "after"))
               if count]
    return (name or change.capability, _number(change.a), _number(change.b), _percent(change.drop.value),
            f"{_percent(change.drop.low)} … {_percent(change.drop.high)}",
            n + (f" ({', '.join(missing)})" if missing else ""),
            str(change.worse), str(change.better), label(change))


def _slices_that_fell(comparison: Comparison) -> list[tuple[str, ...]]:
    return [_capability_row(s, f"{s.capability} / {s.slice}") for s in comparison.slices if s.regression]


def _moved(comparison: Comparison) -> list[Shift]:
    return [m for m in comparison.metrics if m.delta != 0]  # NaN, where one side lacks it, is not 0 either


def _metric_row(shift: Shift) -> tuple[str, ...]:
    return (shift.metric, _with_interval(shift.a), _with_interval(shift.b),
            "—" if math.isnan(shift.delta) else f"{shift.delta:+.4g}", "apart" if shift.real else "overlap")


def _with_interval(metric: Metric | None) -> str:
    if metric is None:
        return "—"
    if metric.low == metric.high:
        return _number(metric.value)
    return f"{_number(metric.value)} ({_number(metric.low)} … {_number(metric.high)})"


def _number(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.4g}"


def _percent(value: float) -> str:
    return "—" if math.isnan(value) else f"{100 * value:+.1f}%"


def _title(comparison: Comparison) -> str:
    a, b = (f"{name} ({rev[:10]})" if rev and not rev.startswith(name) else name
            for name, rev in ((comparison.a, comparison.revision_a), (comparison.b, comparison.revision_b)))
    return f"{a} → {b}"


def _sides(comparison: Comparison, e: Example) -> list[tuple[str, str]]:
    return [("prompt", e.prompt), ("before", e.output_a), ("after", e.output_b), ("reference", e.reference)]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else flat[:_SHOWN - 1] + "…"


def _rich(table, head: tuple[str, ...], rows: list[tuple[str, ...]]):
    from rich.text import Text
    for number, name in enumerate(head):
        table.add_column(name, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: square brackets in data are not markup
    return table


def _pipes(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return ["| " + " | ".join(_cell(c) for c in row) + " |" for row in (head,)] + \
        ["|" + "---|" * len(head)] + ["| " + " | ".join(_cell(c) for c in row) + " |" for row in rows]


def _cell(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, no table bars, no emphasis, links or mentions."""
    escaped = "".join(f"\\{c}" if c in "\\`*_[]|~#" else c for c in html.escape(text, quote=False))
    return escaped.replace("@", "@\u200b")


def _folded(title: str, lines: list[str]) -> list[str]:
    return ["", f"<details><summary>{html.escape(title)}</summary>", "", *lines, "", "</details>"]
