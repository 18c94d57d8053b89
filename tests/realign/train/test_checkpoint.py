import threading

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from realign.errors import UserError
from realign.train import checkpoint
from realign.train.checkpoint import Progress, Writer, run_id

ARRAYS = {"model": {"layers": [{"w": mx.array([1.5, 2.0])}, {"w": mx.array([[3.0]])}]},
          "optimizer": {"step": mx.array(7, dtype=mx.uint64), "half": mx.array([0.1], dtype=mx.bfloat16)}}


def save(folder, arrays, progress, run):
    checkpoint.write(folder, checkpoint.snapshot(arrays, progress, run))


def test_what_is_saved_comes_back(tmp_path):
    progress = Progress(7, 0.1 + 0.2, 5, 1, [{"step": 1, "loss": 1 / 3}], {"seconds": 2.5})
    save(tmp_path / "run", ARRAYS, progress, "id")
    arrays, found = checkpoint.restore(tmp_path / "run", "id")
    assert found == progress
    expected = dict(tree_flatten(ARRAYS))
    assert {k: v.dtype for k, v in tree_flatten(arrays)} == {k: v.dtype for k, v in expected.items()}
    assert all(mx.array_equal(v, expected[k]) for k, v in tree_flatten(arrays))


def test_nothing_there():
    from pathlib import Path

    assert checkpoint.restore(Path("/nowhere/run"), "id") is None


def test_another_runs_checkpoint_goes(tmp_path):
    save(tmp_path / "run", ARRAYS, Progress(), "one")
    assert checkpoint.restore(tmp_path / "run", "two") is None
    assert not (tmp_path / "run").exists()


def test_saving_again_replaces(tmp_path):
    for step in (1, 2):
        save(tmp_path / "run", ARRAYS, Progress(step), "id")
    assert checkpoint.restore(tmp_path / "run", "id")[1].step == 2
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("parts", [
    [{"a": 1, "b": 3}], [{"a": 1}, {"b": 2}], [[1, 2]], ["ab"], ["a", "b"], [b"ab"], [b"a", b"b"], []])
def test_run_ids_differ_with_what_they_are_of(parts):
    others = [[{"a": 1, "b": 2}], [{"a": 1, "b": 2}, None], [1, 2], ["abc"], ["b", "a"], [b"abc"], [b"b", b"a"]]
    assert run_id(*parts) not in {run_id(*other) for other in others}


def test_the_order_of_keys_does_not_matter():
    assert run_id({"a": 1, "b": 2}) == run_id({"b": 2, "a": 1})


@pytest.fixture
def held(monkeypatch):
    """Writing waits until the event is set."""
    go, write = threading.Event(), checkpoint.write_bytes

    def waiting(path, content):
        assert go.wait(30)
        write(path, content)

    monkeypatch.setattr(checkpoint, "write_bytes", waiting)
    return go


def test_what_changes_after_a_save_is_not_written(tmp_path, held):
    arrays, progress = {"model": {"w": mx.array([1.0, 2.0])}}, Progress(1, history=[{"step": 1}])
    with Writer(tmp_path / "run", "id") as writer:
        writer.save(arrays, progress)
        assert not (tmp_path / "run").exists()  # training would go on here
        arrays["model"]["w"][0] = 9.0
        arrays["model"]["w"] += 1.0
        progress.step = 2
        progress.history[0]["step"] = 2
        held.set()
    found, then = checkpoint.restore(tmp_path / "run", "id")
    assert found["model"]["w"].tolist() == [1.0, 2.0] and then == Progress(1, history=[{"step": 1}])


def test_saves_follow_one_another_and_the_last_is_waited_for(tmp_path, monkeypatch):
    order, write = [], checkpoint.write

    def noted(folder, taken):
        write(folder, taken)
        order.append(checkpoint.restore(folder, "id")[1].step)

    monkeypatch.setattr(checkpoint, "write", noted)
    with Writer(tmp_path / "run", "id") as writer:
        for step in range(1, 6):
            writer.save(ARRAYS, Progress(step))
    assert order == [1, 2, 3, 4, 5]


def full(path, content):
    with open("/dev/full", "wb") as file:
        file.write(content)


@pytest.mark.parametrize("next_call", ["check", "save", "end"])
def test_an_error_of_writing_is_raised_in_the_thread_that_trains(next_call, tmp_path, monkeypatch):
    save(tmp_path / "run", ARRAYS, Progress(1), "id")
    monkeypatch.setattr(checkpoint, "write_bytes", full)
    reached = []
    stops = pytest.raises(UserError, match="the disk is full; nothing was changed")
    with stops, Writer(tmp_path / "run", "id") as writer:
        writer.save(ARRAYS, Progress(2))
        while next_call == "check":
            writer.check()
        if next_call == "save":
            writer.save(ARRAYS, Progress(3))
        reached.append("end")
    assert reached == ["end"] * (next_call == "end")
    assert checkpoint.restore(tmp_path / "run", "id")[1].step == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_an_error_of_training_waits_for_the_writing(tmp_path, held):
    with pytest.raises(ZeroDivisionError), Writer(tmp_path / "run", "id") as writer:
        writer.save(ARRAYS, Progress(4))
        threading.Timer(0.05, held.set).start()
        raise ZeroDivisionError
    assert checkpoint.restore(tmp_path / "run", "id")[1].step == 4
