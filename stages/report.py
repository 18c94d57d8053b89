"""`python -m stages.report WORKFLOW`: report/<workflow>.html, the last stage of every workflow."""

import argparse
import sys

from realign.errors import UserError
from realign.report.command import report


def main(argv: list[str] | None = None) -> int:
    """Writes the report in the current directory; exit 0, or 2 with one message."""
    parser = argparse.ArgumentParser(prog="python -m stages.report", description="Write a workflow's report.")
    parser.add_argument("workflow")
    try:
        report(parser.parse_args(argv).workflow)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
