"""The subcommands."""

from typing import Annotated

import typer

from realign.report.command import report
from realign.versions.command import compare, trace

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
app.command()(trace)


@app.command()
def doctor() -> None:
    """Show what this machine computes with.

    Device and BLAS, and what to install where it has only the slow one.
    """
    from realign.models.backend import describe

    print(describe())


@app.command()
def check() -> None:
    """Check params.yaml: every key known, every value of its type."""
    from pathlib import Path

    from realign.cli.check import check

    print(f"params.yaml: {len(check(Path()))} sections, all well")


@app.command()
def deps(
    write: Annotated[bool, typer.Option("--write", help="Write them into the dvc.yaml files.")] = False,
) -> None:
    """Compare the code that every stage imports with the deps of its dvc.yaml.

    DVC re-runs a stage when one of them changes. Exits with 1 where they differ.
    """
    from pathlib import Path

    from realign.cli import deps as derived

    if write:
        for file in derived.write(Path()):
            print(f"{file}: written")
    faults = [f"{stage.file}: {stage.name}: {fault}" for stage in derived.stages(Path()) for fault in stage.faults]
    print(*faults or ["every stage lists the code that it imports"], sep="\n")
    if faults:
        raise typer.Exit(1)
