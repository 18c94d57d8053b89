"""The subcommands."""

from typing import Annotated

import typer

from realign.release.command import release, verify
from realign.report.command import report
from realign.versions.command import compare, trace

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None,
                  help="Re-align a language model on your own machine and prove that nothing broke.")


@app.command()
def status(
    workflow: Annotated[str, typer.Option(help="The workflow whose gates are shown; without it, the only one "
                                               "there is.")] = "",
    details: Annotated[bool, typer.Option("--details", help="Also every interval and comparison.")] = False,
) -> None:
    """Show what the candidate kept and lost, the gates' verdicts, and what is released.

    A sentence on each comparison comes first, then each gate with the figure that decided it, and the paths of the
    report and of the released model. Exits with 1 where a gate rejects or the candidate is blocked.
    """
    from pathlib import Path

    from realign.cli.status import show

    if not show(Path(), workflow, details):
        raise typer.Exit(1)


@app.command()
def gate(
    workflow: Annotated[str, typer.Argument(help="The name of the workflow.")],
    stage: Annotated[str, typer.Argument(help="The stage whose gate it is, such as rl.")],
    suite: Annotated[bool, typer.Option("--suite", help="Print the whole suite instead, as Great Expectations' "
                                                        "JSON: what it states and what every gate adds.")] = False,
) -> None:
    """Show a gate's verdict as it is stored: every check with figure, interval, n and threshold.

    Exits with 1 where it rejects.
    """
    from pathlib import Path

    from realign.cli import gate as gates

    if suite:
        print(gates.expanded(workflow, stage, Path()), end="")
    elif not gates.show(workflow, stage, Path()):
        raise typer.Exit(1)


app.command()(report)
app.command()(release)
app.command()(compare)
app.command()(trace)
app.command()(verify)


@app.command()
def doctor() -> None:
    """Show what this machine computes with.

    Device and BLAS, and what to install where it has only the slow one.
    """
    from realign.models.backend import describe

    print(describe())


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="With --explain, the section or knob that is meant, such as demo.world.",
                                        show_default=False)] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Show instead what the knobs mean.")] = False,
) -> None:
    """Check params.yaml: every key known, every value of its type and in its range.

    With --explain: of every knob its value, its range, what it means in which unit, and where its default comes
    from. Without a name, the sections.
    """
    from pathlib import Path

    from realign.models import backend

    if name and not explain:
        raise typer.BadParameter("goes with --explain: the whole of params.yaml is checked", param_hint="name")
    backend.start()  # before the stages import MLX
    if explain:
        from realign.cli.explain import show

        show(Path(), name)
    else:
        from realign.check import check

        print(f"params.yaml: {len(check(Path()))} sections, all well")


@app.command()
def deps() -> None:
    """Compare the rooms of code that every stage enters with the deps of its dvc.yaml.

    DVC re-runs a stage when one of them changes. Exits with 1 where they differ.
    """
    from pathlib import Path

    from realign.cli import deps as derived

    faults = [f"{entry.file}: {entry.name}: {fault}" for entry in derived.stages(Path()) for fault in entry.faults]
    print(*faults or ["every stage lists the code that it imports"], sep="\n")
    if faults:
        raise typer.Exit(1)


@app.command()
def launch(
    command: Annotated[list[str], typer.Argument(help="What every process runs, after `--`.")],
    processes: Annotated[int, typer.Option(help="How many, on this machine.")] = 2,
    hostfile: Annotated[str, typer.Option(help="JSON of the machines to run on, by mlx.launch, not this one: "
                                               '[{"ssh": "a", "ips": ["10.0.0.1"]}, ...].')] = "",
    port: Annotated[int, typer.Option(help="With a hostfile, the first port; one a machine.")] = 32323,
    shares: Annotated[str, typer.Option(help="Each process's part of every batch, such as 65.5,34.5. "
                                             "Without them the parts are measured.")] = "",
) -> None:
    """Train in several processes or on several machines: realign launch -- python -m stages WORKFLOW STAGE

    Each trains on a part of every batch, in proportion to its speed, and the model is that of one process but
    for rounding. The first writes everything. One that fails ends the others. On other machines the project
    lies under the same path, with the same revision and data.
    """
    import signal
    import sys
    from pathlib import Path

    from realign.cli import launch as launched

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the processes end too
    env = {"REALIGN_SHARES": shares} if shares else {}
    if hostfile:
        raise typer.Exit(launched.across(command, Path(hostfile), env, port))
    raise typer.Exit(launched.local(command, processes, env))
