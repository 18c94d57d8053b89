"""Work side by side on the cores of a CPU.

MLX computes what is in one stream one operation after the other, on one core; a BLAS with several threads speeds up
its matrix products alone, which are a third of a training step. So on CPU the BLAS keeps to one thread and a step's
rows are cut into as many micro-batches as there are cores, each in a stream of its own. On a GPU there is one thread.

The number of threads decides which rows are summed first, so the same bytes need the same number of them, on however
many cores: OMP_NUM_THREADS.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import mlx.core as mx

Item, Result = TypeVar("Item"), TypeVar("Result")

_count = 1


def use(count: int) -> None:
    """So many threads from now on; called by the backend."""
    global _count
    _count = count
    if count > 1:  # what is left to compute when a thread begins must be such that it may do so
        mx.set_default_stream(_stream())


def count() -> int:
    """How many things are computed at once."""
    return _count


def share(rows: int) -> int:
    """The most of so many rows that one thread gets."""
    return -(-rows // _count)


def each(work: Callable[[Item], Result], items: Sequence[Item], *shared: Any) -> Iterator[Result]:
    """`work` of every item, in their order, evaluated; as many at once as there are threads.

    `work` says in this thread what is to be computed, and the threads compute it. So whatever several items
    use (models, arrays) must be named in `shared`: two threads may read an array, but neither compute the same one nor
    use the same stream.
    """
    if _count == 1:
        for item in items:
            result = work(item)
            mx.eval(result)
            yield result
        return
    _settle((shared, items))
    for start in range(0, len(items), _count):
        pending = []
        for item, stream, thread in zip(items[start:start + _count], _streams(_count), _workers(_count), strict=False):
            with mx.stream(stream):
                result = work(item)
            _settle(mx.random.state)  # of which the next item goes on
            pending.append((result, thread.submit(mx.eval, result)))
        for result, evaluated in pending:
            evaluated.result()
            yield result


def _settle(arrays: Any) -> None:
    """Compute the arrays that are not, and then note of each that it is: reading it must change nothing."""
    mx.eval(arrays)
    mx.eval(arrays)


@cache
def _streams(count: int) -> list[mx.Stream]:
    return [_stream() for _ in range(count)]


def _stream() -> mx.Stream:
    """One whose work any thread may have done."""
    return mx.new_thread_unsafe_stream(mx.default_device())


@cache
def _workers(count: int) -> list[ThreadPoolExecutor]:
    return [ThreadPoolExecutor(1, thread_name_prefix=f"compute-{i + 1}") for i in range(count)]
