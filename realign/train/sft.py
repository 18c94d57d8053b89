"""Supervised fine-tuning: rows of tokens with target masks, and the loss on the targets alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from realign.models import prefix
from realign.models.chat import Encoded
from realign.models.heads import project
from realign.train.batches import cut, heaviest, pad, plan
from realign.train.losses.tokens import token_logprobs
from realign.train.loop import Batch


def batch_of(rows: Sequence[Encoded], pad_token: int, over: int = 0) -> Batch:
    """`tokens` (B, T) and `positions` (N,), the flat places in (B, T-1) whose next token is a target. Padded as `pad`
    does; 1 `over` is least where all rows have one token more than a multiple, since models read all but the last."""
    tokens = pad([r.tokens for r in rows], pad_token, over=over)
    mask = pad([r.mask for r in rows], 0, over=over)
    return {"tokens": mx.array(tokens), "positions": mx.array(np.flatnonzero(mask[:, 1:]).astype(np.uint32))}


def targets(batch: Batch) -> mx.array:
    """The tokens (N,) that are predicted at the batch's `positions`."""
    return batch["tokens"][:, 1:].reshape(-1)[batch["positions"]]


def loss(model: nn.Module, batch: Batch) -> tuple[mx.array, mx.array, dict[str, mx.array]]:
    """Cross-entropy in nats summed over the target tokens, their number, and how many are predicted right.

    Only target positions go through the output matrix and the softmax.
    """
    positions = batch["positions"]
    if positions.size == 0:  # MLX finds no argmax of nothing
        nothing = mx.array(0.0)
        return nothing, nothing, {"accuracy": nothing}
    logits = project(model, prefix.at_targets(model, batch))
    wanted = targets(batch)
    total = -token_logprobs(logits, wanted).sum()
    right = (logits.argmax(-1) == wanted).sum().astype(mx.float32)
    return total, mx.array(float(positions.size)), {"accuracy": right}


@dataclass(frozen=True)
class SftBatches:
    """Rows in the order of `plan`; a step of `batch_size` rows is cut into micro-batches of at most `micro` rows."""

    rows: Sequence[Encoded]
    steps: list[np.ndarray]
    pad_token: int
    micro: int

    @classmethod
    def of(cls, rows: Sequence[Encoded], batch_size: int, epochs: int, seed: int, pad_token: int,
           micro: int | None = None) -> "SftBatches":
        steps = plan([len(r.tokens) for r in rows], batch_size, epochs, seed)
        return cls(rows, steps, pad_token, micro or batch_size)

    def __len__(self) -> int:
        return len(self.steps)

    def figures(self) -> dict[str, float]:
        return {}

    def micro_batches(self, step: int) -> list[Batch]:
        return [self._batch(part) for part in cut(self.steps[step], self.micro)]

    def heaviest(self, count: int) -> list[Batch]:
        """For `memory.fit`: the heaviest micro-batches of at most `count` rows."""
        widths, targets = [len(r.tokens) for r in self.rows], [sum(r.mask[1:]) for r in self.rows]
        return [self._batch(part) for part in heaviest(self.steps, count, widths, targets)]

    def _batch(self, picks: np.ndarray) -> Batch:
        return batch_of([self.rows[i] for i in picks], self.pad_token)
