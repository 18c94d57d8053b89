"""After the report: the run fails where the release was blocked."""

from realign import paths
from realign.versions.release import confirm


def run(here) -> str:
    return f"version {confirm(paths.decision(here.workflow))['version']} is released"
