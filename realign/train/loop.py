"""The one training loop. An objective brings a loss and its batches; the loop brings everything else.

A batch is a pure function of the step number, so the data position is the step. Losses return sums and the weight
that they are sums over, so accumulated micro-batches add up to exactly the whole batch.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_map

from realign.models import threads
from realign.models.batches import Batch
from realign.train import checkpoint, distributed
from realign.train.checkpoint import Progress
from realign.train.distributed import ALONE, Group
from realign.train.schedule import learning_rate
from realign.train.stopping import StopCondition, not_finite

# (model, batch) to the loss summed over its targets, their number, and named statistics, sums likewise.
Loss = Callable[[nn.Module, Batch], tuple[mx.array, mx.array, dict[str, mx.array]]]


class Batches(Protocol):
    """The data of a run: how many steps, the micro-batches of each, and figures of their own for the history."""

    def __len__(self) -> int: ...
    def micro_batches(self, step: int) -> list[Batch]: ...
    def figures(self) -> dict[str, float]: ...


@dataclass(frozen=True)
class Settings:
    """How to train, whatever the objective. Rates are per step; fractions are of all steps."""

    learning_rate: float
    warmup: float = 0.05
    final: float = 0.1
    clip: float = 1.0
    weight_decay: float = 0.01
    beta2: float = 0.95
    log_every: int = 10
    evaluate_every: int = 0  # steps; 0: only at the end
    checkpoint_every: int = 50
    patience: int = 3  # evaluations without a better one


class Stopped(Exception):
    """A stop condition held; the best weights so far, or those of the last checkpoint where nothing validates,
    have been restored. `progress` is the run until then."""

    def __init__(self, reason: str, progress: Progress):
        super().__init__(reason)
        self.progress = progress


def train(model: nn.Module, loss: Loss, batches: Batches, settings: Settings, *, scratch: Path, run_id: str,
          validate: Callable[[nn.Module], dict[str, float]] | None = None, stop_when: StopCondition = not_finite,
          progress_bar: Callable[[int, int, dict], None] | None = None) -> Progress:
    """Train `model` in place and leave it at its best validation (the last step where nothing validates).

    `validate` returns figures of which `objective` is better when lower. Killed and called again with the same
    `scratch` and `run_id`, it goes on from the last checkpoint to the same weights, bit for bit. `stop_when(history)`
    names the reason to stop, or None; it is asked after every step, and then Stopped is raised. Checkpoints are
    written behind the training, and all of them before this returns; one that cannot be written stops it.

    In a group of processes (`distributed`) each trains on its share of every step's rows; the first alone validates
    and writes checkpoints, and all end with the same weights.
    """
    group, steps = distributed.current(), len(batches)
    distributed.agree(group, run_id)
    optimizer = adamw(model, settings)
    state, best = Progress(), None
    if (found := distributed.restore(group, scratch, run_id)) is not None:
        arrays, state = found
        model.load_weights(tree_flatten(arrays["model"]), strict=False)
        optimizer.state = arrays["optimizer"]
        best = arrays.get("best")
    model.update(group.same(model.trainable_parameters()))
    good = model.trainable_parameters()  # as of the last checkpoint
    value_and_grad = nn.value_and_grad(model, loss)
    model.train()
    batches = distributed.divide(group, batches, state, partial(gradients, model, value_and_grad), scratch)
    validate = validate and group.by_first(validate)
    started = time.perf_counter()
    with checkpoint.Writer(scratch, run_id) as writer:
        while state.step < steps and not _finished(state, settings, validate):
            optimizer.learning_rate = learning_rate(state.step, steps, settings.learning_rate, settings.warmup,
                                                    settings.final)
            mx.random.seed(_seed(f"{run_id} {group.rank}" if group.rank else run_id, state.step))
            figures = update(model, optimizer, value_and_grad, batches.micro_batches(state.step), settings,
                             group)
            figures = group.first(figures | batches.figures())
            writer.check()
            state.step += 1
            if (reason := stop_when([*state.history, {"step": state.step, **figures}])) is not None:
                _put_back(model, good if best is None else best)
                raise Stopped(f"{reason} at step {state.step} of {steps}", state)
            last = state.step == steps
            if state.step % settings.log_every == 0 or last:
                state.history.append({"step": state.step, **figures})
            if progress_bar:
                progress_bar(state.step, steps, figures)
            if validate and (last or settings.evaluate_every and state.step % settings.evaluate_every == 0):
                best = _evaluate(model, validate, state, best)
            if not last and state.step % settings.checkpoint_every == 0:
                if group.rank == 0:
                    writer.save(_arrays(model, optimizer, best), state)
                good = model.trainable_parameters()
    state.extra["seconds"] = state.extra.get("seconds", 0.0) + time.perf_counter() - started
    if best is not None:
        _put_back(model, best)
    model.eval()
    return state


def adamw(model: nn.Module, settings: Settings) -> optim.Optimizer:
    """The optimiser at the start of a run."""
    optimizer = optim.AdamW(settings.learning_rate, betas=[0.9, settings.beta2], eps=1e-8,
                            weight_decay=settings.weight_decay, bias_correction=True)
    optimizer.init(model.trainable_parameters())
    return optimizer


def _seed(run_id: str, step: int) -> int:
    """Seed of a step's random numbers (dropout), so that a resumed run draws what an unbroken one does."""
    return int(hashlib.sha256(f"{run_id} {step}".encode()).hexdigest()[:15], 16)


def gradients(model, value_and_grad, micro_batches: list[Batch]
              ) -> tuple[dict | None, mx.array, dict[str, mx.array]]:
    """Gradients, weight, and the loss with its statistics, each summed over the micro-batches."""
    totals, weight, grads = {}, mx.array(0.0), None
    own = model.trainable_parameters()

    def differentiate(batch: Batch):
        found = value_and_grad(model, batch)
        model.update(own)  # in their place MLX leaves copies, which another thread is yet to compute
        return found

    for (total, count, stats), grad in threads.each(differentiate, micro_batches, model):
        grads = grad if grads is None else tree_map(mx.add, grads, grad)
        weight = weight + count
        for name, value in {"loss": total, **stats}.items():
            totals[name] = totals.get(name, 0.0) + value
        mx.eval(grads, weight, totals)
    return grads, weight, totals


def update(model, optimizer, value_and_grad, micro_batches: list[Batch], settings: Settings,
           group: Group = ALONE) -> dict[str, float]:
    """One update; the figures of the whole batch, each a mean over its targets. `micro_batches` are the rows of
    this process; the gradients and sums are those of all processes of the group."""
    grads, weight, totals = group.total(model, *gradients(model, value_and_grad, micro_batches))
    scale = 1.0 / mx.maximum(weight, 1.0)
    grads, norm = optim.clip_grad_norm(tree_map(lambda g: g * scale, grads), settings.clip)
    optimizer.update(model, grads)
    figures = {name: value * scale for name, value in totals.items()} | {"grad_norm": norm, "targets": weight}
    mx.eval(model.parameters(), optimizer.state, figures)
    return {name: value.item() for name, value in figures.items()}


def _evaluate(model, validate, state: Progress, best: dict | None) -> dict | None:
    """Validate, note the figures, and keep the weights where they are the best so far."""
    model.eval()
    figures = validate(model)
    model.train()
    if not state.history or state.history[-1]["step"] != state.step:
        state.history.append({"step": state.step})
    state.history[-1] |= {f"validation_{k}": v for k, v in figures.items()}
    better = state.best is None or figures["objective"] < state.best
    if better and math.isfinite(figures["objective"]):
        state.best, state.best_step, state.stale = figures["objective"], state.step, 0
        return tree_map(mx.array, model.trainable_parameters())
    state.stale += 1
    return best


def _finished(state: Progress, settings: Settings, validate) -> bool:
    return validate is not None and state.stale >= settings.patience


def _put_back(model, weights: dict) -> None:
    model.load_weights(tree_flatten(weights), strict=False)
    mx.eval(model.parameters())
    model.eval()


def _arrays(model, optimizer, best: dict | None) -> dict:
    """What a checkpoint holds."""
    arrays = {"model": model.trainable_parameters(), "optimizer": optimizer.state}
    return arrays if best is None else arrays | {"best": best}
