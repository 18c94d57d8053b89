"""`python -m stages WORKFLOW STAGE`: the one runner. Starts the backend, then imports and runs one stage."""

import importlib
import importlib.util
import re
import sys
from types import ModuleType

from realign.errors import UserError, spoken
from realign.models import backend
from realign.paths import COMMON
from realign.stage import Stage

NAME = re.compile(r"[a-z][a-z0-9_]*")


def main(arguments: list[str]) -> None:
    """Run the stage that two arguments name; exit 2 with one message where the user can put something right."""
    with spoken(" ".join(arguments)):
        here = _named(arguments)
        print(backend.start(), file=sys.stderr)
        here.run(module_of(here).run)


def _named(arguments: list[str]) -> Stage:
    strange = [repr(name) for name in arguments if not NAME.fullmatch(name)]
    if len(arguments) != 2 or strange:
        raise UserError(f"{strange[0]} is no name" if strange else f"found {len(arguments)} of 2 arguments",
                        expected="python -m stages WORKFLOW STAGE", fix="for example: python -m stages demo world")
    return Stage(*arguments)


def module_of(stage: Stage) -> ModuleType:
    """The module of a stage: the workflow's own, or else the one that all workflows have in common."""
    for workflow in (stage.workflow, COMMON):
        name = f"stages.{workflow}.{stage.name}"
        if importlib.util.find_spec(f"stages.{workflow}") and importlib.util.find_spec(name):
            return importlib.import_module(name)
    raise UserError(f"no stage {stage.name!r} in stages/{stage.workflow} or stages/{COMMON}",
                    expected="a module with a function `run(here)`")


if __name__ == "__main__":
    main(sys.argv[1:])
