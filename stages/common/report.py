"""After the verdict: report/<workflow>.html."""

from pathlib import Path

from realign.report.command import write


def run(here) -> str:
    return write(Path(), here.workflow).as_posix()
