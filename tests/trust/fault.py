"""A planted fault: one thing damaged in a copy of a clean state, and who must refuse it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What is damaged (`kind`, `name`), the gate, command or reader that must refuse it (`meant`), what that must say
    in part (`says`), and how the damage is done (`plant`, which each kind calls with what it damages).

    `missed` says why nothing refuses it today; such a fault is counted as not caught.
    """

    kind: str
    name: str
    meant: str
    says: str
    plant: Callable[..., Any]
    missed: str = ""
