"""`python -m realign.gates WORKFLOW STAGE`: exit 0 accepted, 1 REJECT, 2 nothing to judge."""

import sys
from pathlib import Path

from realign.errors import UserError, spoken
from realign.gates.run import run_gate
from realign.gates.show import tell


def main(arguments: list[str], root: Path = Path()) -> int:
    """Judges one stage of the project at `root`, prints its verdict, returns the exit status."""
    with spoken():
        if len(arguments) != 2:
            raise UserError(f"{len(arguments)} arguments", where="python -m realign.gates", expected="WORKFLOW STAGE",
                            fix="python -m realign.gates WORKFLOW STAGE")
        verdict = run_gate(*arguments, root)
    tell(verdict, whole=False)
    return 1 if verdict["tier"] == "REJECT" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
