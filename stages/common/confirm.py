"""After the report: the run fails where the release was blocked."""

from realign import paths
from realign.stage import Stage
from realign.versions.release import confirm


def run(here: Stage) -> str:
    return f"version {confirm(paths.decision(here.workflow))['version']} is released"
