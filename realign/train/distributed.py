"""Data-parallel training: every process takes a share of each step's rows, and their sums are added up.

The loop's losses return sums and weights, so unequal shares, even empty ones, need no weighting of their own:
the sums of all processes divided by all their weights are those of one process that takes the whole batch.
Decisions, such as stopping, follow the first process's figures, so all take them together, on unlike machines
too.

The processes find each other by MLX_RANK and MLX_HOSTFILE, which `realign launch` and `mlx.launch` set.
"""

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from realign.errors import UserError
from realign.lake.atomic import RANK
from realign.train import checkpoint
from realign.train.checkpoint import Progress

SHARES = "REALIGN_SHARES"  # shares in place of measured ones: a number for each process, commas between
MESSAGE = 2048  # bytes that the small messages of a step fit into
CHUNK = 32 << 20  # bytes of the large ones
MEASURED_STEPS = 3  # after one to warm up


@dataclass(frozen=True)
class Group:
    """The processes of a run and which of them this is. Alone, every method returns what it was given.

    What one process calls, all must call, in the same order. UserError where another process was lost.
    """

    rank: int
    size: int

    def gather(self, value: Any) -> list:
        """The JSON values of all processes, by rank."""
        if self.size == 1:
            return [value]
        text = json.dumps(value, default=float).encode()
        head = np.zeros((1, MESSAGE), np.uint8)
        head[0, :8] = np.frombuffer(len(text).to_bytes(8, "big"), np.uint8)
        head[0, 8:8 + len(text)] = np.frombuffer(text, np.uint8)[:MESSAGE - 8]
        heads = np.array(_done(mx.distributed.all_gather(mx.array(head))))
        lengths = [int.from_bytes(h[:8].tobytes(), "big") for h in heads]
        bodies = heads[:, 8:]
        if max(lengths) > MESSAGE - 8:
            body = np.zeros((1, max(lengths)), np.uint8)
            body[0, :len(text)] = np.frombuffer(text, np.uint8)
            bodies = np.array(_done(mx.distributed.all_gather(mx.array(body))))
        return [json.loads(body[:n].tobytes()) for body, n in zip(bodies, lengths, strict=True)]

    def first(self, value: Any) -> Any:
        """The JSON value of the first process."""
        return value if self.size == 1 else self.gather(value if self.rank == 0 else None)[0]

    def by_first(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` as the first process alone computes it; the others wait for its JSON value."""
        if self.size == 1:
            return function
        return lambda *args: self.first(function(*args) if self.rank == 0 else None)

    def same(self, arrays: dict | None) -> dict:
        """The first process's tree of arrays, byte for byte; what others give is not looked at."""
        if self.size == 1:
            return arrays
        mine = dict(tree_flatten(arrays)) if self.rank == 0 else {}
        told = self.first([[name, a.shape, str(a.dtype).split(".")[-1]] for name, a in mine.items()])
        found = []
        for together in _chunks([(name, shape, getattr(mx, dtype)) for name, shape, dtype in told]):
            # Bytes of all processes but the first are zero, so the sum is the first's.
            parts = [mine.get(name, mx.zeros(shape, kind)).reshape(-1).view(mx.uint8)
                     for name, shape, kind in together]
            added = _done(mx.distributed.all_sum(mx.concatenate(parts)))
            ends = np.cumsum([part.size for part in parts])[:-1].tolist()
            found += [(name, part.view(kind).reshape(shape)) for (name, shape, kind), part in
                      zip(together, mx.split(added, ends), strict=True)]
        return tree_unflatten(found)

    def total(self, model: nn.Module, grads: dict | None, weight: mx.array, sums: dict[str, mx.array]):
        """`(grads, weight, sums)` added up over the processes; one without rows has no gradients, no sums."""
        if self.size == 1:
            return grads, weight, sums
        parts = self.gather({"weight": weight.item(), "sums": {name: s.item() for name, s in sums.items()}})
        names = sorted({name for part in parts for name in part["sums"]})
        added = {name: mx.array(sum(part["sums"].get(name, 0.0) for part in parts)) for name in names}
        if grads is None:
            grads = tree_map(mx.zeros_like, model.trainable_parameters())
        # Small arrays travel together, so the leaves need one order in all processes. `average_gradients`
        # divides by the number of processes, and that is taken back.
        ordered = tree_unflatten(sorted(tree_flatten(grads)))
        grads = tree_map(lambda g: g * self.size, _done(nn.average_gradients(ordered)))
        return grads, mx.array(sum(part["weight"] for part in parts)), added


ALONE = Group(0, 1)


@cache
def current() -> Group:
    """The processes that were launched with this one; this one alone where MLX_RANK is not set."""
    if RANK not in os.environ:
        return ALONE
    found = mx.distributed.init(strict=True)
    return Group(found.rank(), found.size())


def agree(group: Group, run_id: str) -> None:
    """UserError where a process has another run id: other data, parameters or code."""
    ids = group.gather(run_id)
    if len(set(ids)) > 1:
        others = [rank for rank, found in enumerate(ids) if found != ids[0]]
        raise UserError("the processes would not train the same",
                        where=f"processes {others} against process 0",
                        expected="the same data, parameters and code on every machine",
                        fix="check out the same revision everywhere, and `dvc pull`")


def restore(group: Group, scratch: Path, run_id: str) -> tuple[dict, Progress] | None:
    """The first process's checkpoint, in all of them; other machines need none of their own."""
    found = checkpoint.restore(scratch, run_id) if group.rank == 0 else None
    progress = group.first(found and asdict(found[1])) if group.size > 1 else None
    if group.size == 1 or progress is None:
        return found
    return group.same(found and found[0]), Progress(**progress)


def counts(total: int, shares: Sequence[float]) -> list[int]:
    """`total` rows in proportion to `shares`: the largest remainder (Hamilton's method), ties to the first."""
    whole = sum(map(Fraction, shares))
    quotas = [total * Fraction(share) / whole for share in shares]
    given = [math.floor(q) for q in quotas]
    order = sorted(range(len(shares)), key=lambda i: given[i] - quotas[i])
    for i in order[:total - sum(given)]:
        given[i] += 1
    return given


def split(rows: Sequence, shares: Sequence[float], rank: int) -> Sequence:
    """This rank's rows of a step: a slice, in their order. The slices of all ranks make up the whole."""
    given = counts(len(rows), shares)
    start = sum(given[:rank])
    return rows[start:start + given[rank]]


@dataclass(frozen=True)
class Part:
    """One process's rows of every step of `whole`."""

    whole: Any  # Batches with the row numbers of every step

    def __len__(self) -> int:
        return len(self.whole)

    def micro_batches(self, step: int) -> list:
        return self.whole.micro_batches(step) if len(self.whole.steps[step]) else []

    def figures(self) -> dict[str, float]:
        return self.whole.figures()


def divide(group: Group, batches: Any, state: Progress, work: Callable[[list], Any], scratch: Path):
    """`batches` with this process's rows alone; those that make their rows on the way, rollouts, `join` the group and
    see to it themselves. Shares are those of `state`, where a run goes on; those of the environment; or measured with
    `work`, which computes a step's micro-batches. They are noted in `state` and beside `scratch`. UserError where
    the batches can do neither."""
    if group.size == 1:
        return batches
    joins = hasattr(batches, "join")
    if not (joins or is_dataclass(batches) and hasattr(batches, "steps")):
        raise UserError(f"{type(batches).__name__} cannot be divided between processes",
                        expected="batches whose rows are known before the run, or rollouts",
                        fix="run this stage in one process")
    if len(state.extra.get("shares", ())) != group.size:
        shares = _given(group) or measure(group, batches, work)
        state.extra["shares"] = shares
        _note(group, shares, scratch)
    shares = state.extra["shares"]
    if joins:
        batches.join(group, shares)
        return batches
    return Part(replace(batches, steps=[split(rows, shares, group.rank) for rows in batches.steps]))


def measure(group: Group, batches: Any, work: Callable[[list], Any]) -> list[float]:
    """Shares in proportion to the rows a second that each process computes, of the same steps at once; of rollouts,
    which `join`, the heaviest rows."""
    rates, heaviest = [], batches.heaviest(batches.micro) if hasattr(batches, "join") else None
    for step in range(min(MEASURED_STEPS + 1, len(batches))):
        micro_batches = heaviest or batches.micro_batches(step)
        began = time.perf_counter()
        work(micro_batches)
        rates.append(sum(len(batch["tokens"]) for batch in micro_batches) / (time.perf_counter() - began))
    return proportions(group.gather(statistics.median(rates[1:] or rates)))


def proportions(rates: Iterable[float]) -> list[float]:
    """Rates as shares of their sum, four decimals: 1.95 and 1.03 examples a second are 65.44% and 34.56%."""
    rates = list(rates)
    return [round(rate / sum(rates), 4) for rate in rates]


def _given(group: Group) -> list[float] | None:
    text = group.first(os.environ.get(SHARES, ""))
    if not text:
        return None
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != group.size or not all(0 <= s < math.inf for s in shares) or not sum(shares):
        raise UserError(f"found {text!r}", where=f"shares ({SHARES})",
                        expected=f"{group.size} numbers from 0 with commas between, such as 65.5,34.5")
    return proportions(shares)


def _note(group: Group, shares: list[float], scratch: Path) -> None:
    """A line in the run log, and one for the person who waits."""
    if group.rank:
        return
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with open(scratch.parent / "shares.jsonl", "a", encoding="utf-8") as log:
        log.write(json.dumps({"measured": not os.environ.get(SHARES), "shares": shares}) + "\n")
    parts = ", ".join(f"{share:.1%}" for share in shares)
    print(f"{group.size} processes: {parts} of the rows", file=sys.stderr)


def _chunks(arrays: Sequence[tuple[str, list[int], mx.Dtype]]) -> Iterable[list]:
    """Arrays in groups that are worth one message each, in their order."""
    chunk, size = [], 0
    for array in arrays:
        chunk.append(array)
        size += math.prod(array[1]) * array[2].size
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _done(arrays: Any) -> Any:
    """Evaluate what was communicated."""
    try:
        mx.eval(arrays)
    except RuntimeError as error:
        if "connection to a peer was lost" not in str(error):
            raise
        raise UserError("another process of this run has ended",
                        fix="see what it said; started again, the run goes on from its checkpoint") from error
    return arrays
