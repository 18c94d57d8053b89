"""A comparison for a person (rich), for a pull request (Markdown) and for a program (JSON)."""

import html
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import groupby
from typing import TYPE_CHECKING

from realign import words
from realign.metrics import Metric, to_json
from realign.verify.reference import written
from realign.versions.compare import KEPT, LOST, NEW, OPEN, Change, Comparison, Example, Shift

if TYPE_CHECKING:
    from rich.console import Group

_SHOWN = 240  # characters of a prompt or answer shown to a person


def as_json(comparison: Comparison, examples: int | None = None) -> dict:
    """Plain dictionaries, numbers rounded to six digits, NaN as null; at most `examples` changed ones a
    capability (`changed_total` counts them all). `lost` and `blocking` name cells."""
    plain = asdict(replace(comparison, changed=()))
    for kind in ("capabilities", "slices"):
        plain[kind] = [asdict(c) | {"name": c.name, "said": label(c)} for c in getattr(comparison, kind)]
    plain["changed"] = [asdict(e) for e in worst(comparison, examples)]
    plain["changed_total"] = len(comparison.changed)
    plain["lost"] = [c.name for c in comparison.lost]
    plain["blocking"] = [c.name for c in comparison.blocking]
    plain["summary"] = summary(comparison)
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


def summary(comparison: Comparison, against: str = "") -> str:
    """One sentence: what was kept, lost, gained and is not known, `against` what (by default A's name)."""
    kept = [_of(comparison, cells, kind) for cells, kind in ((comparison.capabilities, ("capability", "capabilities")),
                                                             (comparison.slices, ("slice", "slices")))]
    parts = [f"kept {' and '.join(part for part in kept if part) or 'nothing'} against {against or comparison.a}"]
    for word, cells in (("lost", comparison.lost), ("gained", [c for c in comparison.cells if c.gained]),
                        ("not known yet", comparison.having(OPEN)), ("new", comparison.having(NEW))):
        if cells:
            parts.append(f"{word}: {names(cells)}")
    return "; ".join(parts)


def _of(comparison: Comparison, cells: Sequence[Change], kind: tuple[str, str]) -> str:
    """"4 of 5 capabilities"; empty where there are none that could be kept."""
    old = [c for c in cells if c.outcome != NEW]
    kept = sum(c.outcome == KEPT for c in old)
    return f"{kept} of {len(old)} {kind[len(old) != 1]}" if old else ""


def names(cells: Sequence[Change]) -> str:
    """The cells by name, those of one capability together: "facts, arithmetic (all, two steps), grounded (absent)"."""
    found = []
    for capability, group in groupby(cells, lambda c: c.capability):
        parts = [c.slice or "all" for c in group]
        found.append(capability if parts == ["all"] else f"{capability} ({', '.join(parts)})")
    return ", ".join(found)


def label(change: Change) -> str:
    """The outcome as a person reads it, with what leaves it open."""
    if change.outcome == OPEN:
        return f"not known, {change.why.removeprefix('open, ')}"
    if change.outcome == LOST and change.b != change.b:
        return f"lost, {change.why}"
    return "kept, gained" if change.gained else change.outcome


def visible(comparison: Comparison) -> str:
    """The smallest drops that the comparison could have seen, and what would decide what it left open."""
    seen = sorted(c.visible for c in comparison.cells if math.isfinite(c.visible))
    if not seen:
        return "nothing could be compared"
    said = f"a drop of {seen[0]:.1%}" + (f" to {seen[-1]:.1%}, by cell," if len(seen) > 1 else "")
    needed = [c.needed for c in comparison.cells if c.needed]
    more = f"; up to {max(needed):,} examples of a cell would decide what is not known" if needed else ""
    return f"{said} would have been called lost 19 times in 20{more}"


def table(comparison: Comparison, examples: int = 5, details: bool = False) -> "Group":
    """What the terminal shows, in 80 columns: outcomes, the worst changed examples; with `details` also what stands
    behind each outcome, and the metrics that moved."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text
    def plain(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
        return _rich(Table(title=title, box=None, pad_edge=False, title_justify="left"), head, rows)

    parts = [plain(_title(comparison), _HEAD, [_row(c) for c in comparison.cells])]
    if details:
        parts.append(plain("\nbehind them", _BEHIND_HEAD, [_behind_row(c) for c in comparison.cells]))
    moved = _moved(comparison) if details else []
    if moved:
        parts.append(plain("\nmetrics that moved", _METRIC_HEAD, [_moved_row(m) for m in moved]))
    for e in worst(comparison, examples):
        head = f"{e.capability} / {e.slice}  {e.example_id}  {e.score_a:g} → {e.score_b:g}"
        parts.append(Text("\n" + head, "bold"))
        parts += [Text(f"  {name:9} {_short(text)}") for name, text in _sides(comparison, e)]
    style = "bold red" if comparison.lost else "bold yellow" if comparison.having(OPEN) else "bold green"
    return Group(*parts, Text("\n" + summary(comparison), style), Text(visible(comparison)))


def markdown(comparison: Comparison, examples: int = 5) -> str:
    """The same as a Markdown comment for a pull request; intervals and long lists are folded."""
    lines = [f"### {_cell(_title(comparison))}", "", f"**{_cell(summary(comparison))}**", "",
             *_pipes(_HEAD, [_row(c) for c in comparison.cells]), "", _cell(visible(comparison))]
    moved, changed = _moved(comparison), worst(comparison, examples)
    lines += _folded("intervals and counts", _pipes(_DETAILED_HEAD, [_detailed_row(c) for c in comparison.cells]))
    if moved:
        lines += _folded(f"{len(moved)} metrics moved", _pipes(_METRIC_HEAD, [_metric_row(m) for m in moved]))
    if changed:
        head = ("example", "score", "prompt", comparison.a, comparison.b, "reference")
        rows = [(f"{e.capability} / {e.slice} {e.example_id}", f"{e.score_a:g} → {e.score_b:g}",
                 *(_short(t) for t in (e.prompt, e.output_a, e.output_b, written(e.reference)))) for e in changed]
        lines += _folded(f"{len(changed)} of {len(comparison.changed)} examples answered worse",
                         _pipes(head, rows))
    return "\n".join(lines) + "\n"


_HEAD = ("capability", "before", "after", "change", "outcome")
_DETAILED_HEAD = (*_HEAD, "95% ends", "examples", "questions", "worse", "better", "why", "visible drop", "would decide")
_BEHIND_HEAD = ("capability", "95% ends", "n", "asked", "−/+", "visible", "decides")
_METRIC_HEAD = ("metric", "before", "after", "change", "intervals")


def _row(change: Change) -> tuple[str, ...]:
    return (f"  {change.slice}" if change.slice else change.capability, _number(change.a), _number(change.b),
            words.change(change.drop.value), label(change))


def _detailed_row(change: Change) -> tuple[str, ...]:
    """With the ends of the change, each one-sided 95%, and what stands behind the outcome."""
    missing = [f"{count} only {side}" for count, side in ((change.only_a, "before"), (change.only_b, "after"))
               if count]
    return (*_row(change), f"{words.change(change.drop.high)} … {words.change(change.drop.low)}",
            f"{change.drop.n}{'' if change.paired else ' unpaired'}" + (f" ({', '.join(missing)})" if missing else ""),
            str(change.units), str(change.worse), str(change.better), change.why, words.change(change.visible),
            f"{change.needed:,} examples" if change.needed else "—")


def _behind_row(change: Change) -> tuple[str, ...]:
    """The ends of the change, examples, questions, how many were answered worse (−) and better (+), the smallest drop
    that would have been seen, and how many examples would decide."""
    name, *_, ends, examples, units, worse, better, _, seen, needed = _detailed_row(change)
    return name, ends, examples, units, f"{worse}/{better}", seen, needed.removesuffix(" examples")


def _moved(comparison: Comparison) -> list[Shift]:
    """The metrics that both sides hold and that differ."""
    return [m for m in comparison.metrics if m.delta != 0 and not math.isnan(m.delta)]


def _metric_row(shift: Shift) -> tuple[str, ...]:
    return (shift.metric, _with_interval(shift.a), _with_interval(shift.b), *_moved_row(shift)[3:])


def _moved_row(shift: Shift) -> tuple[str, ...]:
    counted = all(m.low == m.high for m in (shift.a, shift.b))
    moved = f"{shift.delta:+.4g}".replace("-", words.MINUS)
    return (shift.metric, _number(shift.a.value), _number(shift.b.value), moved,
            "counted" if counted else "apart" if shift.real else "overlap")


def _with_interval(metric: Metric) -> str:
    if metric.low == metric.high:
        return _number(metric.value)
    return f"{_number(metric.value)} ({_number(metric.low)} … {_number(metric.high)})"


def _number(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.4g}".replace("-", words.MINUS)


def _title(comparison: Comparison) -> str:
    a, b = (f"{name} ({rev[:10]})" if rev and not rev.startswith(name) else name
            for name, rev in ((comparison.a, comparison.revision_a), (comparison.b, comparison.revision_b)))
    return f"{a} → {b}"


def _sides(comparison: Comparison, e: Example) -> list[tuple[str, str]]:
    return [("prompt", e.prompt), ("before", e.output_a), ("after", e.output_b), ("reference", written(e.reference))]


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
