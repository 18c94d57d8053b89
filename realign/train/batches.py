"""Which rows go into which step: a pure function of lengths, batch size, epochs and seed.

Every row is used once an epoch, the last short batch included. Rows of like length share a batch, so that little
is padding; the order of batches is random.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from realign.models import lanes

PAD_TO = 8  # batches are padded to a multiple of this many tokens


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


def cut(rows: np.ndarray, micro: int) -> list[np.ndarray]:
    """The rows of a step, in their order, as micro-batches of at most `micro`: one for every lane, or more."""
    size = max(min(micro, lanes.share(len(rows))), 1)
    return [rows[k:k + size] for k in range(0, len(rows), size)]


def by_part(work: Callable[[np.ndarray], Any], rows: np.ndarray, size: int, *shared: Any
            ) -> Iterator[tuple[np.ndarray, Any]]:
    """The rows in parts of at most `size`, each with `work` of it, evaluated, as many at once as there are lanes;
    `shared` as in `lanes.each`."""
    parts = cut(rows, size)
    return zip(parts, lanes.each(work, parts, *shared), strict=True)


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


def pad(rows: Sequence[Sequence[int]], value: int, left: bool = False, over: int = 0) -> np.ndarray:
    """Rows as one int32 matrix, padded to a multiple of PAD_TO, and `over` more, on the right (or left)."""
    width = -(-max(max(map(len, rows)) - over, 1) // PAD_TO) * PAD_TO + over
    padded = np.full((len(rows), width), value, np.int32)
    for i, row in enumerate(rows):
        if left:
            padded[i, width - len(row):] = row
        else:
            padded[i, :len(row)] = row
    return padded
