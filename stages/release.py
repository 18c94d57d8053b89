"""`python -m stages.release WORKFLOW`: the released pointer moves to the workflow's model, or says why not.

A blocked release is a decision, not a failure, so that the report can still tell it; `--confirm`, which runs
after the report, ends with exit 2 where the release is blocked.
"""

import argparse
import sys
from pathlib import Path

from realign import paths
from realign.errors import UserError
from realign.report.words import WORKFLOWS
from realign.versions.release import Candidate, confirm, release

# workflow: the stage whose checkpoint is offered, and the stage whose records are the baseline
OFFERS = {"srf": ("iterate", "sft")}


def candidate(workflow: str) -> Candidate:
    """What `workflow` offers for release, by convention; UserError for a workflow that offers nothing."""
    if workflow not in OFFERS:
        raise UserError(f"unknown workflow {workflow!r}", expected="one of " + ", ".join(OFFERS))
    model, baseline = OFFERS[workflow]
    return Candidate(
        workflow, paths.checkpoint(workflow, model), paths.dataset(workflow, "evaluate", "records"),
        paths.dataset(workflow, baseline, "records"), paths.metrics(workflow, "evaluate"),
        {stage: paths.accepted(workflow, stage).with_suffix(".json") for stage in WORKFLOWS[workflow]})


def run(workflow: str) -> dict:
    """Release or block; returns the decision, which also stands in metrics/<workflow>/release.json."""
    return release(candidate(workflow), Path("released") / workflow, paths.metrics(workflow, "release"))


def main(argv: list[str] | None = None) -> int:
    """Exit 0 with one line that says what became of the release; 2 with one message on a fault."""
    parser = argparse.ArgumentParser(prog="python -m stages.release", description="Release a model.")
    parser.add_argument("workflow")
    parser.add_argument("--confirm", action="store_true", help="only fail where the release was blocked")
    chosen = parser.parse_args(argv)
    try:
        if chosen.confirm:
            confirm(paths.metrics(chosen.workflow, "release"))
            return 0
        said = run(chosen.workflow)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{chosen.workflow}: {said['decision']}, version {said['version']}; released is {said['released']}",
          *said["reasons"], sep="\n  - ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
