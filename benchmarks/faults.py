"""The planted faults of tests/trust/, each given to the guard that is meant for it; the table of what was caught.

Run from the root of the repository: python -m benchmarks.faults [--write docs/trust.md].
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.page import write
from tests.trust.faults import FAULTS, caught, said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, default=Path("docs/trust.md"), help="the page that holds the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = table(said(Path(folder)))
    print(found)
    write(found, options.write, "faults", "benchmarks.faults", "Planted faults")


def table(told: Mapping[tuple[str, str], str]) -> str:
    """How many faults were caught, and every one of them, as Markdown."""
    held = [caught(fault, told) for fault in FAULTS]
    lines = [f"{sum(held)} of {len(FAULTS)} planted faults are caught.", "",
             "| what is damaged | the fault | meant for it | caught | |", "|---|---|---|---|---|"]
    for fault, found in zip(FAULTS, held, strict=True):
        why = "" if found else fault.missed or _otherwise(told[fault.kind, fault.name])
        lines.append(f"| {fault.kind} | {fault.name} | {fault.meant} | {'yes' if found else '**no**'} | {why} |")
    return "\n".join(lines)


def _otherwise(answer: str) -> str:
    return f"refused as {answer.splitlines()[0]!r}" if answer else "nothing was said"


if __name__ == "__main__":
    main()
