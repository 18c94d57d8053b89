"""`python -m stages WORKFLOW STAGE`: the one runner. Starts the backend, then imports and runs one stage."""

import importlib
import importlib.util
import re
import sys
from types import ModuleType

from realign.errors import UserError, spoken
from realign.models import backend
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
    """The first of a stage's modules that there is; UserError where there is none."""
    for name in stage.modules:
        if importlib.util.find_spec(name.rpartition(".")[0]) and importlib.util.find_spec(name):
            return importlib.import_module(name)
    raise UserError("no such stage", expected=f"a module {' or '.join(stage.modules)} with a function `run(here)`")


if __name__ == "__main__":
    main(sys.argv[1:])
