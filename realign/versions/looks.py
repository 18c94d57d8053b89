"""How many examples a verdict asks: of what it cannot tell yet more are drawn, at fixed looks, until it can tell or no
rows are left.

Whoever looks again errs again, so the looks at one capability share the error of one (Lan and DeMets 1983): up to the
share t of the examples that could be asked, α ln(1 + (e − 1) t) of it, their function after Pocock's bounds. Each look
may err by what it adds, whatever the others found, which is more careful than need be.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

from realign.interval import ALPHA

MOST = 2400  # examples of a capability


@dataclass(frozen=True)
class Plan:
    """The looks at one capability: at `first` examples, and `reserve` more could be asked."""

    first: int
    reserve: int

    @property
    def looks(self) -> tuple[int, ...]:
        """Examples at each look: twice as many each time, MOST or all there are at the last."""
        last = max(self.first, min(MOST, self.first + self.reserve))
        found = [self.first]
        while found[-1] < last:
            found.append(min(2 * found[-1], last))
        return tuple(found)

    def alpha(self, n: int) -> float:
        """The error that the look at `n` examples may make. Over all looks it is ALPHA."""
        before = self.looks[:bisect_left(self.looks, n)]
        last = max(self.looks[-1], n)
        return _spent(n / last) - (_spent(before[-1] / last) if before else 0.0)

    def more(self, asked: int) -> int:
        """Examples to draw after a look at `asked`; 0 where none are left to draw."""
        return next((look - asked for look in self.looks if look > asked), 0)


def _spent(share: float) -> float:
    return ALPHA * math.log1p((math.e - 1) * share)
