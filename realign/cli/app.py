"""The subcommands."""

from typing import Annotated

import typer

from realign.report.command import report
from realign.versions.command import compare

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None,
                  help="Re-align a language model on your own machine and prove that nothing broke.")


@app.command()
def status(
    workflow: Annotated[str, typer.Option(help="The workflow whose gates are shown.")] = "srf",
) -> None:
    """Show the gates' verdicts.

    Each with the figure that decided it, then the paths of the report and of the released model.
    Exits with 1 where a gate rejects or the release is blocked.
    """
    from pathlib import Path

    from realign.cli.status import show

    if not show(Path(), workflow):
        raise typer.Exit(1)


app.command()(report)
app.command()(compare)


@app.command()
def doctor() -> None:
    """Show what this machine computes with.

    Device and BLAS, and what to install where it has only the slow one.
    """
    from realign.models.backend import describe

    print(describe())
