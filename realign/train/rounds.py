"""Rounds of training, each from the best before it; the best stays, a worse one is rolled back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from realign.metrics import Metric, mean


@dataclass(frozen=True)
class Round:
    """One round: what it `made` (a stage's own record), and its `worth`, a number for each held-out prompt."""

    made: Any
    worth: Sequence[float]


@dataclass(frozen=True)
class Rounds:
    """All rounds, the first one given, and which is the best."""

    played: list[Round]
    best: int

    @property
    def final(self) -> Round:
        """The best round."""
        return self.played[self.best]


def best_round(first: Round, play: Callable[[int, Round], Round], within: Callable[[Round], bool], rounds: int,
               least_gain: float) -> Rounds:
    """Play up to `rounds` rounds, `play(number, best so far)` each, counted from 1.

    A round is the best so far where its mean worth rises and it stays `within` limits. One that gains less than
    `least_gain` is the last: converged, or worse than the best, which then stays.
    """
    played, best = [first], 0
    for number in range(1, rounds + 1):
        played.append(play(number, played[best]))
        gained = gain(played[-1], played[best]).value
        if gained > 0 and within(played[-1]):
            best = number
        if gained < least_gain:
            break
    return Rounds(played, best)


def gain(new: Round, old: Round) -> Metric:
    """Mean rise of the worth, prompt by prompt."""
    return mean(np.subtract(new.worth, old.worth).tolist())
