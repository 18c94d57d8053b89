"""`realign report`: writes the report from what exists, also after a gate has rejected."""

from pathlib import Path
from typing import Annotated

import typer

from realign import paths
from realign.workflow import find


def write(root: Path, workflow: str, path: Path) -> Path:
    """Writes the report to `path` under `root`, in one step, and returns it."""
    from realign.lake.atomic import atomic_file
    from realign.report.page import render

    text = render(root, workflow)
    with atomic_file(root / path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return path


def report(
    workflow: Annotated[str, typer.Argument(help="The workflow to report on; without it, the only one there is.")] = "",
) -> None:
    """Write runs/<workflow>/report.html from the files that exist.

    The pipeline writes report/<workflow>.html itself at its end. By hand it serves after a gate has rejected,
    where DVC stops before the report.
    """
    name = find(Path(), workflow).name
    print(write(Path(), name, paths.report_by_hand(name)))
