"""`realign report`: writes the report from what exists, also after a gate has rejected."""

from pathlib import Path
from typing import Annotated

import typer

from realign.workflow import find


def write(root: Path, workflow: str) -> Path:
    """Writes `report/<workflow>.html` under `root`, in one step, and returns its path."""
    from realign.lake.atomic import atomic_file
    from realign.report.page import render

    path = root / "report" / f"{workflow}.html"
    text = render(root, workflow)
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return path


def report(
    workflow: Annotated[str, typer.Argument(help="The workflow to report on; without it, the only one there is.")] = "",
) -> None:
    """Write report/<workflow>.html from the files that exist.

    The pipeline writes it itself at its end. By hand it serves after a gate has rejected,
    where DVC stops before the report.
    """
    print(write(Path(), find(Path(), workflow).name))
