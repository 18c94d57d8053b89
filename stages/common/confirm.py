"""After the report: the run fails where the candidate is blocked."""

from realign import paths
from realign.release.decide import confirm
from realign.stage import Stage


def run(here: Stage) -> str:
    version = confirm(paths.verdict(here.workflow))["version"]
    return f"version {version} passed; `realign release {here.workflow}` asks it the sealed rows and releases it"
