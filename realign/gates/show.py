"""A verdict as a table that a person reads in a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realign.words import interval, number

COLOURS = {"HIGH": "green", "MEDIUM": "yellow", "REJECT": "red"}


def show(verdict: dict, console: Console) -> None:
    """Prints tier and every check: figure, 95% interval, number of examples, threshold, outcome."""
    title = Text(f"{verdict['workflow']}/{verdict['stage']}: ")
    title.append(verdict["tier"], style=f"bold {COLOURS[verdict['tier']]}")
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name, justify in (("check", "left"), ("observed", "right"), ("95% interval", "left"), ("n", "right"),
                          ("must be", "left"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")
    for check in verdict["checks"]:
        table.add_row(Text(check["metric"]), number(check["observed"]), interval(check), f"{check['n']}",
                      Text(check["threshold"]), outcome(check))
    console.print(table)


def outcome(check: dict) -> Text:
    """`ok`, or how much the failure weighs."""
    if check["passed"]:
        return Text("ok", style="green")
    word, style = {"critical": ("REJECT", "red"), "warning": ("warning", "yellow"),
                   "info": ("note", "blue")}[check["severity"]]
    return Text(word, style=style)
