"""`realign release`, which alone moves what is released; `realign verify`, whether that is still what it was."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer


def release(
    workflow: Annotated[str, typer.Argument(help="The workflow whose candidate is meant; without it, the only one "
                                                 "there is.")] = "",
) -> None:
    """Release the candidate that passed its verdict, if it lost nothing on the sealed rows either.

    These rows are asked by this command alone. Every model that is tried on them is a line in
    released/WORKFLOW/openings.jsonl; the more lines, the surer the next model must have kept what it kept.
    """
    from realign.workflow import find

    name = find(Path(), workflow).name
    sys.path.insert(0, str(Path().resolve()))  # stages/ is no part of the installed package
    import_module("stages.__main__").main([name, "release"])


def verify(
    workflow: Annotated[str, typer.Argument(help="The workflow whose released model is meant; without it, the only "
                                                 "one there is.")] = "",
) -> None:
    """Check that the released model, its records, what they were judged by and the verdicts are what was released.

    Every hash is computed anew, and every tier from its checks; what was edited and committed by hand, frozen or run
    alone is named; and the model answers 50 of its recorded rows again. Exits with 1 where something does not match.
    """
    from realign.models import backend
    from realign.release.verify import answered_again
    from realign.release.verify import verify as verified
    from realign.workflow import find

    name = find(Path(), workflow).name
    pointer, faults = verified(name, Path())
    if not faults:
        backend.start()  # before MLX
        count, faults = answered_again(pointer, Path())
    if faults:
        print(*faults, sep="\n")
        raise typer.Exit(1)
    print(f"{name}, version {pointer['version']}: the model ({len(pointer['model']['files'])} files), its records and "
          f"{len(pointer['bound'])} files it was judged by are what was released; {len(pointer['gates'])} tiers follow "
          f"from their checks; {count} recorded rows are answered as before")
