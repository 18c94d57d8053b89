"""After the verdict: report/<workflow>.html."""

from pathlib import Path

from realign import paths
from realign.report.command import write
from realign.stage import Stage


def run(here: Stage) -> str:
    return write(Path(), here.workflow, paths.report(here.workflow)).as_posix()
