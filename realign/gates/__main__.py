"""`python -m realign.gates WORKFLOW STAGE`: exit 0 accepted, 1 REJECT, 2 nothing to judge."""

import argparse
import sys
from pathlib import Path

from realign.errors import UserError
from realign.gates.run import run_gate


def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    """Runs one gate in the project at `root`, prints its table, returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m realign.gates", description="Judge one stage's metrics.")
    parser.add_argument("workflow")
    parser.add_argument("stage")
    args = parser.parse_args(argv)
    try:
        verdict = run_gate(args.workflow, args.stage, root)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    _print(verdict)
    return 1 if verdict["tier"] == "REJECT" else 0


def _print(verdict: dict) -> None:
    from rich.console import Console

    from realign.gates.show import show

    show(verdict, Console(width=None if sys.stdout.isatty() else 110))
    sys.stdout.flush()
    if verdict["remedy"]:
        print(f"{verdict['workflow']}/{verdict['stage']} {verdict['tier']}; to do: {verdict['remedy']}",
              file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
