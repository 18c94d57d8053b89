"""`realign status`: one row a gate, with the figure that decided it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realign import paths
from realign.errors import UserError
from realign.gates.show import COLOURS
from realign.release.decide import BLOCKED, PASSED, RELEASED
from realign.report.sources import Run, Stage, load
from realign.report.verdicts import Decision, cells, decisions, slack
from realign.versions.load import read_pointer
from realign.words import AGAINST, change, interval, number


def show(root: Path, workflow: str = "", details: bool = False) -> bool:
    """Print in a sentence what the model kept, lost, gained and what is not known, why it is blocked, then
    the gates of `workflow`, the remedy of a failed one, and where report and model lie; with `details` the intervals
    and every comparison too.

    Without a workflow it is the only one there is. False where a gate rejects or the candidate is blocked. Raises
    UserError where no gate has run or a file is broken.
    """
    run = load(root, workflow)
    name = run.workflow.name
    if not any(stage.tier or stage.stale for stage in run.stages):
        raise UserError(f"no gate of {name} has run", where=str(root / paths.accepted(name, "any").parent),
                        fix="dvc repro")
    console = Console(width=None if sys.stdout.isatty() else 120)
    blocked = run.verdict.get("decision") == BLOCKED
    for line in run.verdict.get("summary", []):
        console.print(Text(line, style="red" if "; lost: " in line else ""), soft_wrap=True)
    for line in run.verdict.get("warnings", []) if details else []:
        console.print(Text(line, style="yellow"), soft_wrap=True)
    if blocked:
        console.print(Text(f"blocked: {'; '.join(run.verdict['reasons'])}, "
                           f"to do: {run.verdict['remedy']}"), soft_wrap=True)
    console.print(_table(run, details))
    for name, found in run.verdict.get("comparisons", {}).items() if details else []:
        console.print(_compared(AGAINST.get(name, name), found))
        console.print(Text(found["visible"]), soft_wrap=True)
    for stage in run.stages:
        if stage.stale:
            console.print(Text(f"{stage.name} is out of date ({stage.stale}), to do: `dvc repro`; after a change of "
                               "branch `dvc checkout`"), soft_wrap=True)
        if stage.verdict.get("remedy"):
            line = Text(f"{stage.name} {stage.tier}, to do: {stage.verdict['remedy']}")
            console.print(line, soft_wrap=True)
    for line in _places(root, run):
        console.print(Text(line), soft_wrap=True)
    return not blocked and all(stage.tier != "REJECT" for stage in run.stages)


def deciding(stage: Stage) -> list[Decision]:
    """The demands that a gate's metrics failed; where none did, the one that was met most narrowly."""
    made = decisions(stage)
    failed = [d for d in made if d.failed]
    return failed or sorted(made, key=slack)[:1]


def _table(run: Run, details: bool) -> Table:
    columns = [("stage", "left"), ("tier", "left"), ("deciding figure", "left"), ("observed", "right"),
               *([("95% interval", "left")] if details else []), ("threshold", "left")]
    table = _plain(f"Gates of {run.workflow.name}", columns)
    for stage in run.stages:
        if not stage.tier:
            said = "out of date" if stage.stale else "not run" if stage.reached else "not reached"
            table.add_row(stage.name, Text(said, style="dim"))
            continue
        tier = Text(stage.tier, style=f"bold {COLOURS[stage.tier]}")
        for i, d in enumerate(deciding(stage)):
            ends = [interval({"low": d.low, "high": d.high})] if details else []
            table.add_row("" if i else stage.name, "" if i else tier, Text(d.metric), number(d.observed), *ends,
                          Text(d.wording))
    return table


def _compared(name: str, comparison: Mapping) -> Table:
    """Every capability and slice against one earlier model, with the ends of its change and its size."""
    columns = [("capability", "left"), ("before", "right"), ("after", "right"), ("change", "right"),
               ("95% ends", "left"), ("n", "right"), ("outcome", "left"), ("would decide", "right")]
    table = _plain(f"Against {name}", columns)
    for cell in cells(comparison):
        drop = cell["drop"]
        table.add_row(Text(f"  {cell['slice']}" if cell["slice"] else cell["capability"]), number(cell["a"]),
                      number(cell["b"]), change(drop["value"]), f"{change(drop['high'])} to {change(drop['low'])}",
                      number(drop["n"]), Text(cell["said"]), number(cell["needed"]))
    return table


def _plain(title: str, columns: Sequence[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold")
    return table


def _places(root: Path, run: Run) -> list[str]:
    """Where the report of this run and the released model lie, as far as they exist, and how the candidate stands to
    that one."""
    name, lines = run.workflow.name, []
    report = root / paths.report(name)
    if run.verdict and report.is_file():
        lines.append(f"report: {report}")
    else:  # what lies there is of another run, if anything
        lines.append(f"report of this run: `realign report {name}` writes it")
    pointer = read_pointer(root / paths.released(name))
    if pointer is not None:
        model = root / pointer["model"]["path"]
        gone = "" if model.is_dir() else ", which is not here: `dvc checkout` brings it"
        lines.append(f"released model: {model}{gone}")
    now = pointer["version"] if pointer else None
    if run.verdict.get("decision") == PASSED and now != run.verdict["version"]:
        lines.append(f"this candidate, version {run.verdict['version']}, is not released: `realign release {name}`")
        if now != run.verdict["earlier"].get(RELEASED):
            lines.append(f"version {now} was released after its verdict: `realign release` compares with it")
    return lines
