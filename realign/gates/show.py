"""A verdict as a table that a person reads in a terminal."""

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realign.words import interval, number

COLOURS = {"HIGH": "green", "MEDIUM": "yellow", "REJECT": "red"}


def tell(verdict: dict, whole: bool = True) -> None:
    """Prints the verdict to standard output, `whole` or in brief, and what to do, if anything, to standard error."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    if whole:
        show(verdict, console)
    else:
        brief(verdict, console)
    sys.stdout.flush()
    if verdict["remedy"]:
        print(f"{verdict['workflow']}/{verdict['stage']} {verdict['tier']}; to do: {verdict['remedy']}",
              file=sys.stderr)


def brief(verdict: dict, console: Console) -> None:
    """Prints the tier in a line, and below it the checks that failed."""
    passed = sum(check["passed"] for check in verdict["checks"])
    said = f"({passed} {'check' if passed == 1 else 'checks'} passed; all of them: realign gate"
    console.print(_title(verdict), f"{said} {verdict['workflow']} {verdict['stage']})", highlight=False, soft_wrap=True)
    if failed := [check for check in verdict["checks"] if not check["passed"]]:
        console.print(_table("", failed))


def show(verdict: dict, console: Console) -> None:
    """Prints tier and checks: figure, 95% interval, number of examples, threshold, outcome.

    Checks of the evidence alone (numbers there and possible, enough examples) are counted where they passed.
    """
    told = [check for check in verdict["checks"] if not (check["passed"] and check.get("evidence"))]
    console.print(_table(_title(verdict), told))
    if quiet := len(verdict["checks"]) - len(told):
        console.print(f"and {quiet} checks of the evidence passed: figures there, possible, on enough examples",
                      highlight=False)


def _title(verdict: dict) -> Text:
    title = Text(f"{verdict['workflow']}/{verdict['stage']}: ")
    return title.append(verdict["tier"], style=f"bold {COLOURS[verdict['tier']]}")


def _table(title: Text | str, checks: list[dict]) -> Table:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name, justify in (("check", "left"), ("observed", "right"), ("95% interval", "left"), ("n", "right"),
                          ("must be", "left"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")
    for check in checks:
        table.add_row(Text(check["metric"]), number(check["observed"]), interval(check), f"{check['n']}",
                      Text(check["threshold"]), outcome(check))
    return table


def outcome(check: dict) -> Text:
    """`ok`, or how much the failure weighs."""
    if check["passed"]:
        return Text("ok", style="green")
    word, style = {"critical": ("REJECT", "red"), "warning": ("warning", "yellow"),
                   "info": ("note", "blue")}[check["severity"]]
    return Text(word, style=style)
