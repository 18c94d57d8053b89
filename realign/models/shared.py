"""The attention cache of a batch whose rows share prompts: a prompt's keys and values are kept, and read, once.

Several samples of a prompt differ in their responses alone. On CPU sampling spends most of its time on keys and values:
they come from memory for every token, and prompts are the larger part of them (the idea is that of Hydragen: Juravsky
et al. 2024). It takes the attention of `fastmath`; elsewhere every row has all of its own.
"""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import BatchKVCache

from realign.models.fastmath import Shared

STEP = 64  # tokens by which the rows' own part grows; mlx-lm's 256 spread short answers over more memory


class SharedKVCache:
    """Stands where mlx-lm's models expect a BatchKVCache: `owner` (B,) are the prompts of the rows, by number in
    `prompts`, a cache that holds all of every prompt that is to be shared."""

    def __init__(self, prompts: BatchKVCache, owner: Sequence[int]):
        keys, values = prompts.keys_and_values()
        self._settle(keys, values, np.array(prompts.left_padding), np.asarray(owner))
        self.rows = BatchKVCache([0] * len(owner))
        self.rows.step = STEP

    def _settle(self, keys: mx.array, values: mx.array, padding: np.ndarray, owner: np.ndarray) -> None:
        """Keep of these prompts those that have rows; note where their rows are."""
        used, owner = np.unique(owner, return_inverse=True)
        if used.size < padding.size:
            keys, values, padding = keys[mx.array(used)], values[mx.array(used)], padding[used]
        self.keys, self.values, self.padding, self.owner = keys, values, padding, owner
        counts = np.bincount(owner)
        order = np.argsort(owner, kind="stable")
        turn = np.empty_like(order)  # of a row among those of its prompt
        turn[order] = np.arange(order.size) - np.repeat(np.cumsum(counts) - counts, counts)
        place = owner * counts.max() + turn
        seats = np.zeros(counts.size * counts.max(), np.int64)
        seats[place] = np.arange(place.size)
        even = seats.size == place.size and (place == np.arange(place.size)).all()
        self.seats = None if even else mx.array(seats.reshape(counts.size, -1))
        self.place = None if even else mx.array(place)
        hidden = np.arange(keys.shape[2]) < padding[owner][:, None]
        self.shown = mx.array(~hidden[:, None, None])
        self.ahead = mx.array(keys.shape[2] - padding[owner])

    @property
    def offset(self) -> mx.array:
        """Position of every row's next token, (B,)."""
        return self.ahead + self.rows.offset

    @property
    def state(self) -> list:
        return [self.keys, self.values, self.rows.state]

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[Shared, Shared]:
        keys, values = self.rows.update_and_fetch(keys, values)
        return (Shared(self.keys, keys, self.seats, self.place), Shared(self.values, values, self.seats, self.place))

    def make_mask(self, length: int, return_array: bool = False, window_size: int | None = None) -> mx.array:
        """(B, 1, length, prompt and own tokens)."""
        if window_size:
            raise ValueError("a sliding window cannot share prompts")
        own = self.rows.make_mask(length)
        shown = mx.broadcast_to(self.shown, (*self.shown.shape[:2], length, self.shown.shape[3]))
        return mx.concatenate([shown, own], axis=-1)

    def filter(self, keep: mx.array) -> None:
        """Keep these rows."""
        self.rows.filter(keep)
        self._settle(self.keys, self.values, self.padding, self.owner[np.array(keep)])

    def extend(self, other: "SharedKVCache") -> None:
        """Add the rows of another, with their prompts."""
        width = max(self.keys.shape[2], other.keys.shape[2])

        def wide(x: mx.array) -> mx.array:
            return mx.pad(x, [(0, 0), (0, 0), (width - x.shape[2], 0), (0, 0)])

        self.rows.extend(other.rows)
        padding = np.concatenate([c.padding + width - c.keys.shape[2] for c in (self, other)])
        self._settle(mx.concatenate([wide(self.keys), wide(other.keys)]),
                     mx.concatenate([wide(self.values), wide(other.values)]), padding,
                     np.concatenate([self.owner, other.owner + self.padding.size]))
