"""The one exception that a person is meant to read, and how a program says it."""

import errno
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
    """A UserError inside the block, or a file that may not be written or read, becomes a message on standard error,
    after the speaker's name, and exit 2."""
    try:
        yield
    except (UserError, OSError) as error:
        told = error if isinstance(error, UserError) else _refused(error)
        print(f"{speaker}: {told}" if speaker else told, file=sys.stderr)
        sys.exit(2)


def _refused(error: OSError) -> UserError:
    """What to say where the system refused a file; any other fault is not the user's, and is raised again."""
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        raise error
    return UserError(str(error.strerror).lower(), where=str(error.filename or "a file"),
                     expected="a place that this user may write to", fix="change its owner or mode, and run again")
