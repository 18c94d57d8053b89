"""Made-up names, which no table knows."""

from functools import cache
from random import Random

START = ("Zar", "Vel", "Qua", "Tro", "Mub", "Lix", "Ghen", "Pol", "Dra", "Ske", "Bri", "Fon", "Yal", "Wex", "Hul",
         "Nim", "Jor", "Kes", "Ob", "Ru")
MIDDLE = ("bo", "da", "li", "mu", "no", "qui", "ra", "si", "to", "vu", "ze", "xa")
END = ("nia", "thor", "land", "mere", "via", "dux", "ple", "gorn", "stan", "wick", "ria", "nox", "lux", "dell")


@cache
def names(evaluation: bool) -> tuple[str, ...]:
    """All made-up names; every fifth one is for evaluation only."""
    found = [s + m + e for s in START for m in MIDDLE for e in END]
    return tuple(n for i, n in enumerate(found) if (i % 5 == 0) == evaluation)


def name(rng: Random, evaluation: bool) -> str:
    """One made-up name."""
    return rng.choice(names(evaluation))
