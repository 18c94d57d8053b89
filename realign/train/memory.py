"""How many rows fit into memory: measured before the run, on its heaviest rows, by the update it will make.

Peak memory is the highest of several moments of an update (all activations alive; all gradients alive; the
optimiser's new state beside the old), each of them linear in the rows of a micro-batch and none below what is
held anyway. So it is convex in the rows: a line through two measurements may be too low beyond them. The
search therefore goes up in steps of at most twice (all at once where there is room many times over), and chooses
only what it has measured. From one row on it
knows what is held as the other point, so it may stay there when two would fit, but never tries what does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_reduce

from realign.errors import UserError
from realign.models import threads
from realign.models.batches import Batch
from realign.train import loop
from realign.train.loop import Loss, Settings

RESERVE = 0.1  # share of what is free that is left to the allocator and to other programs
REPEATS = 3  # the peak on a CPU differs by some percent, with how far ahead work was scheduled
LARGE = 7_000_000_000  # parameters from which layers are always computed twice (DESIGN §7)
SNAPSHOT = 4  # a checkpoint being written, in trained weights: these, two moments, the best so far


@dataclass(frozen=True)
class Fit:
    """`micro` rows a micro-batch; peaks in bytes, `predicted` for the run and `measured` by rows; `limit` in
    bytes; whether the layers are `recomputed` in the backward pass."""

    micro: int
    recomputed: bool
    predicted: int
    limit: int
    measured: dict[int, int]

    def __str__(self) -> str:
        line = (f"memory: {self.micro * threads.count()} rows at once, "
                f"{self.predicted / 2**30:.2f} of {self.limit / 2**30:.2f} GiB")
        return line + (", layers computed twice" if self.recomputed else "")


def fit(model: nn.Module, loss: Loss, heaviest: Callable[[int], list[Batch]], batch_size: int, *,
        limit: int | None = None, validates: bool = True) -> Fit:
    """The largest micro-batch, up to a thread's share of `batch_size` rows, whose peak stays within `limit` (default:
    `room`) where every thread computes one.

    `heaviest(rows)` gives the heaviest micro-batches of so many rows (`RowBatches.heaviest`). Layers are
    recomputed where the model is large or one row does not fit otherwise; `model` is then left so, and in all
    else as it was. The weights of the last checkpoint are counted, and with `validates` the best ones; so are the
    other micro-batches of a step, which wait meanwhile. UserError where no row fits.
    """
    limit = room(model) if limit is None else limit
    kept = _trained(model) * (2 if validates else 1)

    def measure(rows: int) -> int:
        heavy = heaviest(rows)
        waiting = max(-(-batch_size // rows) - threads.count() * len(heavy), 0) * max(map(_bytes, heavy))
        return kept + waiting + _peak(model, loss, heavy, rows < most)

    most = threads.share(batch_size)
    held = kept + mx.get_active_memory() + 2 * _trained(model)  # with the optimiser's two moments
    for recomputed in (False, True):
        if recomputed:
            recompute_layers(model)
        elif parameters(model) > LARGE:
            continue
        rows, predicted, measured = search(measure, most, limit, held)
        if rows:
            return Fit(rows, recomputed, predicted, limit, measured)
    raise UserError(f"one row needs {measured[1] / 2**30:.2f} GiB of memory in training, and "
                    f"{limit / 2**30:.2f} GiB may be used", expected="room for one row of the longest",
                    fix="shorten the window, train adapters (LoRA) on a quantised base, or a smaller one")


def search(measure: Callable[[int], int], most: int, limit: int,
           held: int) -> tuple[int, int, dict[int, int]]:
    """The most rows up to `most` whose peak, convex in the rows and `held` or more for none, is found to be
    within `limit`; that peak; and all measurements. 0 rows where one is too many."""
    peaks = {0: held, 1: measure(1)}
    if most > 1 and 2 * most * peaks[1] <= limit:  # so much room that even a bad guess fits: no need to feel the way
        peaks[most] = measure(most)
    while True:
        fits = max((r for r in peaks if peaks[r] <= limit), default=0)
        over = min((r for r in peaks if r and peaks[r] > limit), default=None)
        if over is None:  # up, at most to twice, by the line through the last two
            below = max((r for r in peaks if r < fits), default=0)
            following = min(2 * fits, most, _reach(peaks, below, fits, limit))
        else:  # between what fits and what does not
            following = min(over - 1, _reach(peaks, fits, over, limit))
        if following <= fits:
            return fits, peaks[fits], {r: peak for r, peak in peaks.items() if r}
        peaks[following] = measure(following)


def _reach(peaks: dict[int, int], below: int, top: int, limit: int) -> int:
    """How many rows stay within `limit` on the line through two measurements."""
    slope = (peaks[top] - peaks[below]) / max(top - below, 1)
    return int(below + (limit - peaks[below]) / slope) if slope > 0 else 2 * top


def _peak(model, loss: Loss, heavy: list[Batch], accumulated: bool) -> int:
    """Peak memory in bytes of one update, of several micro-batches where gradients are `accumulated`; the
    weights are put back."""
    before, mode = model.trainable_parameters(), model.training
    model.train()
    value_and_grad = nn.value_and_grad(model, loss)
    settings = Settings(0.0)
    highest = 0
    updates = [[batch] * threads.count() for batch in heavy * REPEATS]
    if accumulated:
        updates = [[batch for micro_batches in updates for batch in micro_batches]]
    for micro_batches in updates:
        optimizer = loop.adamw(model, settings)
        mx.eval(model.parameters(), optimizer.state)
        mx.clear_cache()
        mx.reset_peak_memory()
        loop.update(model, optimizer, value_and_grad, micro_batches, settings)
        highest = max(highest, mx.get_peak_memory())
        model.update(before)
    model.train(mode)
    return highest


def parameters(model: nn.Module) -> int:
    """How many parameters a model has, quantised ones counted one by one."""
    from mlx_lm.utils import get_total_parameters

    return get_total_parameters(model)


def _trained(model: nn.Module) -> int:
    return _bytes(model.trainable_parameters())


def _bytes(arrays: dict) -> int:
    return tree_reduce(lambda total, array: total + array.nbytes, arrays, 0)


def recompute_layers(model: nn.Module) -> None:
    """Let every transformer layer of the model keep its input alone in training, and compute the rest again
    in the backward pass (gradient checkpointing; Chen et al. 2016, Training Deep Nets with Sublinear Memory
    Cost).

    It concerns these layers and no others of their class, and evaluation and sampling not at all.
    """
    for module in model.modules():
        for layer in getattr(module, "layers", None) or ():
            if not hasattr(type(layer), "recomputed"):
                object.__setattr__(layer, "__class__", _recomputing(type(layer)))


@cache
def _recomputing(plain: type) -> type:
    def call(self, *args, **rest):
        if not self.training:
            return plain.__call__(self, *args, **rest)

        def inner(weights, *args, **rest):
            self.update(weights)
            return plain.__call__(self, *args, **rest)

        return mx.checkpoint(inner)(self.trainable_parameters(), *args, **rest)

    body = {"__call__": call, "__module__": plain.__module__, "recomputed": True}
    return type(plain.__name__, (plain,), body)


def room(model: nn.Module) -> int:
    """Bytes that training `model` may use at its peak, what MLX holds already among them: what is free, but
    for a reserve and, where it is the same memory, a checkpoint that is being written."""
    separate = mx.default_device() == mx.gpu and not mx.metal.is_available()
    return int(available() * (1 - RESERVE)) - (0 if separate else SNAPSHOT * _trained(model))


def available() -> int:
    """Bytes free to MLX on its device, what it holds already among them."""
    limit = mx.get_memory_limit()
    ours = mx.get_active_memory() + mx.get_cache_memory()
    if mx.default_device() == mx.gpu:
        info = mx.device_info()
        if "free_memory" in info:  # CUDA
            return min(limit, info["free_memory"] + ours)
        return min(limit, info.get("max_recommended_working_set_size", limit))  # Metal
    free = free_memory()
    return limit if free is None else min(limit, free + ours)


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that a process may still take on Linux: of the machine, or of its control group where that is
    less; None on other systems."""
    meminfo, group = root / "proc/meminfo", root / "sys/fs/cgroup"
    if not meminfo.exists():
        return None
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    top = (group / "memory.max").read_text().strip() if (group / "memory.max").exists() else "max"
    if top == "max":
        return free
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    cached = int(stat["inactive_file"])  # the cache of files can go
    return min(free, int(top) - int((group / "memory.current").read_text()) + cached)
