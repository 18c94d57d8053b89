"""The one verb that trains a model on rows: an objective says what is learned, the knobs say how."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mlx.nn as nn

from realign.errors import UserError
from realign.models.batches import Batch
from realign.models.progress import bar
from realign.train import checkpoint, loop, memory
from realign.train.batches import RowBatches
from realign.train.checkpoint import Progress
from realign.train.loop import Loss
from realign.train.settings import Training

Row = Any  # what an objective collates: an encoded conversation, or a pair of them


@dataclass(frozen=True)
class Objective:
    """What is learned: the loss, how rows become a batch, and what a row weighs: its padded tokens and targets."""

    name: str
    loss: Loss
    collate: Callable[[Sequence[Row]], Batch]
    weigh: Callable[[Row], tuple[int, int]]


def fit(model: nn.Module, objective: Objective, rows: Sequence[Row], p: Training, *, scratch: Path, origin: str,
        validate: Callable[[nn.Module], dict[str, float]] | None = None) -> Progress:
    """Train `model` in place on rows and leave it at its best validation; the run's progress.

    The micro-batch is what fits into memory. `validate` as in `loop.train`. `origin` is the fingerprint of the model;
    with knobs, rows and code it makes the run's id, under which a killed run goes on from its checkpoint in `scratch`.
    Raises UserError where not one row fits into memory, and where the training diverges.
    """
    batches = RowBatches.of(rows, objective.collate, objective.weigh, p.batch_size, p.epochs, p.seed)
    fitted = memory.fit(model, objective.loss, batches.heaviest, p.batch_size)
    print(fitted, file=sys.stderr)
    batches = replace(batches, micro=fitted.micro)
    settings = loop.Settings(p.learning_rate, p.warmup, weight_decay=p.weight_decay, patience=p.patience,
                             evaluate_every=p.evaluate_every, checkpoint_every=p.checkpoint_every)
    run_id = checkpoint.run_id(objective.name, asdict(p), origin, [plain(row) for row in rows])
    try:
        progress = loop.train(model, objective.loss, batches, settings, scratch=scratch, run_id=run_id,
                              validate=validate, progress_bar=bar(objective.name))
    except loop.Stopped as stopped:
        raise _diverged(objective.name, str(stopped), p) from stopped
    if validate is not None and progress.best is None:
        raise _diverged(objective.name, "no evaluation on held-out rows gave a finite number", p)
    return progress


def _diverged(name: str, reason: str, p: Training) -> UserError:
    return UserError(f"training stopped: {reason}", where=name, expected="a loss and gradients that are finite numbers",
                     fix=f"halve learning_rate (it is {p.learning_rate:g}) until it goes through, with a warmup of "
                         "0.05 or more; where it stops at the first step with a small rate, look at the base model")


def plain(row: Row) -> Any:
    """A row as JSON, for the run's id."""
    if isinstance(row, tuple):
        return [plain(part) for part in row]
    return [row.tokens, row.mask] if hasattr(row, "tokens") else row
