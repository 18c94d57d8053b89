"""A verdict as a table that a person reads in a terminal."""

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realign.words import interval, number

COLOURS = {"HIGH": "green", "MEDIUM": "yellow", "REJECT": "red"}


def tell(verdict: dict) -> None:
    """Prints the verdict's table to standard output, and what to do, if anything, to standard error."""
    show(verdict, Console(width=None if sys.stdout.isatty() else 110))
    sys.stdout.flush()
    if verdict["remedy"]:
        print(f"{verdict['workflow']}/{verdict['stage']} {verdict['tier']}; to do: {verdict['remedy']}",
              file=sys.stderr)


def show(verdict: dict, console: Console) -> None:
    """Prints tier and checks: figure, 95% interval, number of examples, threshold, outcome.

    Checks of the evidence alone (numbers there and possible, enough examples) are counted where they passed.
    """
    title = Text(f"{verdict['workflow']}/{verdict['stage']}: ")
    title.append(verdict["tier"], style=f"bold {COLOURS[verdict['tier']]}")
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name, justify in (("check", "left"), ("observed", "right"), ("95% interval", "left"), ("n", "right"),
                          ("must be", "left"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")
    told = [check for check in verdict["checks"] if not (check["passed"] and check.get("evidence"))]
    for check in told:
        table.add_row(Text(check["metric"]), number(check["observed"]), interval(check), f"{check['n']}",
                      Text(check["threshold"]), outcome(check))
    console.print(table)
    if quiet := len(verdict["checks"]) - len(told):
        console.print(f"and {quiet} checks of the evidence passed: figures there, possible, on enough examples",
                      highlight=False)


def outcome(check: dict) -> Text:
    """`ok`, or how much the failure weighs."""
    if check["passed"]:
        return Text("ok", style="green")
    word, style = {"critical": ("REJECT", "red"), "warning": ("warning", "yellow"),
                   "info": ("note", "blue")}[check["severity"]]
    return Text(word, style=style)
