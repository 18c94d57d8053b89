"""Which rows go into which step: a pure function of lengths, batch size, epochs and seed.

Every row is used once an epoch, the last short batch included. Rows of like length share a batch, so that little
is padding; the order of batches is random.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from realign.models.batches import Batch, cut


def plan(lengths: Sequence[int], batch_size: int, epochs: int, seed: int) -> list[np.ndarray]:
    """Row numbers of every step, epoch after epoch."""
    steps = []
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        # Sorting shuffled rows by length leaves rows of equal length in random company.
        shuffled = rng.permutation(len(lengths))
        ordered = shuffled[np.argsort(np.asarray(lengths)[shuffled], kind="stable")]
        batches = [ordered[i:i + batch_size] for i in range(0, len(ordered), batch_size)]
        steps += [batches[i] for i in rng.permutation(len(batches))]
    return steps


def heaviest(steps: Sequence[np.ndarray], count: int, widths: Sequence[int],
             targets: Sequence[int]) -> list[np.ndarray]:
    """Of the steps, cut to `count` rows, those of the most padded tokens, the most targets and the most pairs of
    tokens that attend to each other; one that is several of these only once. `widths` and `targets` are tokens
    a row."""
    parts = [part for rows in steps for part in cut(rows, count)]
    order, sizes = np.concatenate(parts), np.array([len(part) for part in parts])
    starts = np.cumsum(sizes) - sizes
    width = np.maximum.reduceat(np.asarray(widths)[order], starts)
    learnt = np.add.reduceat(np.asarray(targets)[order], starts)
    tokens, pairs = sizes * width, sizes * width**2
    picks = dict.fromkeys(int(np.lexsort(by)[-1]) for by in
                          [(learnt, pairs, tokens), (pairs, tokens, learnt), (learnt, tokens, pairs)])
    return [parts[k] for k in picks]


@dataclass(frozen=True)
class RowBatches:
    """Rows in the order of `plan`, a step cut into micro-batches of at most `micro` rows, each made by `collate`.

    `weights` are (padded tokens, targets) of every row.
    """

    rows: Sequence[Any]
    collate: Callable[[Sequence[Any]], Batch]
    weights: Sequence[tuple[int, int]]
    steps: list[np.ndarray]
    micro: int

    @classmethod
    def of(cls, rows: Sequence[Any], collate: Callable[[Sequence[Any]], Batch],
           weigh: Callable[[Any], tuple[int, int]], batch_size: int, epochs: int, seed: int,
           micro: int | None = None) -> "RowBatches":
        """The batches of a run over `rows`, `weigh` telling the (tokens, targets) of each."""
        weights = [weigh(row) for row in rows]
        steps = plan([tokens for tokens, _ in weights], batch_size, epochs, seed)
        return cls(rows, collate, weights, steps, micro or batch_size)

    def __len__(self) -> int:
        return len(self.steps)

    def figures(self) -> dict[str, float]:
        """Figures of their own for the history: none."""
        return {}

    def micro_batches(self, step: int) -> list[Batch]:
        """The batches of a step."""
        return [self._batch(part) for part in cut(self.steps[step], self.micro)]

    def heaviest(self, count: int) -> list[Batch]:
        """For `memory.fit`: the heaviest micro-batches of at most `count` rows."""
        widths, targets = zip(*self.weights, strict=True)
        return [self._batch(part) for part in heaviest(self.steps, count, widths, targets)]

    def _batch(self, picks: np.ndarray) -> Batch:
        return self.collate([self.rows[i] for i in picks])
