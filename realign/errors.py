"""The one exception that a person is meant to read, and how a program says it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something the user can put right: what is wrong, where, what was expected, what to do next.

    Command-line entry points print the message alone, without a traceback, and exit with 2.
    """

    def __init__(self, what: str, *, where: str = "", expected: str = "", fix: str = ""):
        parts = [f"{where}: {what}" if where else what]
        if expected:
            parts.append(f"  expected: {expected}")
        if fix:
            parts.append(f"  to do: {fix}")
        super().__init__("\n".join(parts))


@contextmanager
def spoken(speaker: str = "") -> Iterator[None]:
    """A UserError inside the block becomes its message on standard error, after the speaker's name, and exit 2."""
    try:
        yield
    except UserError as error:
        print(f"{speaker}: {error}" if speaker else error, file=sys.stderr)
        sys.exit(2)
