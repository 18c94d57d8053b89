"""Work that is given up after a time."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from realign.errors import UserError


@contextmanager
def within(seconds: float, otherwise: str) -> Iterator[None]:
    """Raise UserError, which says `otherwise`, where the block takes more processor time. Of the process, so that a
    machine under load changes nothing; in its main thread alone, the only one that hears signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_) -> None:
        raise UserError(f"{otherwise}: it ran for {seconds:g} seconds", expected="milliseconds",
                        fix="look for a loop in it, or choose another base")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)  # again, where the block catches it and goes on
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
