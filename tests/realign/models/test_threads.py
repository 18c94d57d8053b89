"""Several things computed at once: the same results as one after the other, in their order."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.models import threads
from realign.models.batches import batch_of, cut
from realign.models.chat import Encoded
from realign.objectives import sft
from realign.train import loop
from realign.train.batches import RowBatches

COUNTS = (1, 2, 3)


@pytest.fixture(params=COUNTS)
def count(request):
    """So many threads during the test."""
    threads.use(request.param)
    yield request.param
    threads.use(1)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return [Encoded(rng.integers(1, 48, k).tolist(), [0] + [1] * (k - 1)) for k in rng.integers(3, 20, 16)]


def test_every_result_comes_in_the_order_of_its_item(count):
    items = [mx.array([float(i)]) for i in range(7)]
    assert [r.item() for r in threads.each(lambda x: x * x, items)] == [float(i * i) for i in range(7)]
    assert list(threads.each(lambda x: x, [])) == []


def test_as_many_streams_as_threads(count):
    streams = []

    def seen(item: int) -> mx.array:
        streams.append(str(mx.default_stream(mx.default_device())))
        return mx.array(item)

    list(threads.each(seen, list(range(6))))
    assert len(set(streams)) == count
    assert streams == streams[:count] * (6 // count)


def test_results_are_evaluated_before_they_are_handed_out(count):
    # What is not evaluated would be computed later, in the stream of whoever asks for it.
    results = list(threads.each(lambda x: (x + 1) @ mx.ones((4, 4)), [mx.ones((4, 4)) * i for i in range(3)]))
    before = mx.get_active_memory()
    assert [np.array(r).tolist() for r in results] == [[[4.0 * (i + 1)] * 4] * 4 for i in range(3)]
    assert mx.get_active_memory() == before


def test_a_step_is_cut_for_every_thread(count):
    parts = cut(np.arange(16), 16)
    assert len(parts) == count and max(map(len, parts)) == threads.share(16)
    assert np.concatenate(parts).tolist() == list(range(16))
    assert max(map(len, cut(np.arange(16), 2))) == 2  # memory's limit is kept
    assert [len(part) for part in cut(np.arange(2), 16)] == [threads.share(2)] * min(count, 2)
    assert cut(np.arange(0), 16) == []


def test_the_gradients_are_those_of_one_thread_to_1e_5(count, rows, tiny):
    model = tiny(0)
    value_and_grad = nn.value_and_grad(model, sft.loss)
    batches = RowBatches(rows, batch_of, list(map(sft.weigh, rows)), [np.arange(16)], 16)
    grads, weight, totals = loop.gradients(model, value_and_grad, batches.micro_batches(0))
    (total, alone, _), expected = value_and_grad(model, batch_of(rows))
    assert weight.item() == alone.item()
    assert totals["loss"].item() == pytest.approx(total.item(), rel=1e-5)
    for (name, got), (_, want) in zip(tree_flatten(grads), tree_flatten(expected), strict=True):
        assert np.abs(np.array(got - want)).max() <= 1e-5 * max(np.abs(np.array(want)).max(), 1.0), name


def test_no_thread_meets_weights_that_another_is_yet_to_compute(count, rows, tiny):
    # MLX leaves the copies of a differentiated batch in the model; to read them while they are computed can crash.
    model = tiny(0)
    own, met = [w for _, w in tree_flatten(model.trainable_parameters())], []

    def differentiate(model, batch):
        met.append([w for _, w in tree_flatten(model.trainable_parameters())])
        return nn.value_and_grad(model, sft.loss)(model, batch)

    batches = RowBatches(rows, batch_of, list(map(sft.weigh, rows)), [np.arange(16)], 4)
    loop.gradients(model, differentiate, batches.micro_batches(0))
    met.append([w for _, w in tree_flatten(model.trainable_parameters())])
    assert len(met) == 5
    assert all(weight is mine for weights in met for weight, mine in zip(weights, own, strict=True))


def test_the_same_number_of_threads_gives_the_same_bytes(count, rows, tiny, tmp_path):
    def trained(folder: str) -> bytes:
        model = tiny(0)
        batches = RowBatches.of(rows, batch_of, sft.weigh, 4, 2, 0)
        loop.train(model, sft.loss, batches, loop.Settings(1e-2), scratch=tmp_path / folder, run_id="")
        return b"".join(np.array(w).tobytes() for _, w in sorted(tree_flatten(model.parameters())))

    assert trained("first") == trained("second")
