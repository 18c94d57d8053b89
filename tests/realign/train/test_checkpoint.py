import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from realign.train import checkpoint
from realign.train.checkpoint import Progress, fingerprint

ARRAYS = {"model": {"layers": [{"w": mx.array([1.5, 2.0])}, {"w": mx.array([[3.0]])}]},
          "optimizer": {"step": mx.array(7, dtype=mx.uint64), "half": mx.array([0.1], dtype=mx.bfloat16)}}


def test_what_is_saved_comes_back(tmp_path):
    progress = Progress(7, 0.1 + 0.2, 5, 1, [{"step": 1, "loss": 1 / 3}], {"seconds": 2.5})
    checkpoint.save(tmp_path / "run", ARRAYS, progress, "mark")
    arrays, found = checkpoint.restore(tmp_path / "run", "mark")
    assert found == progress
    expected = dict(tree_flatten(ARRAYS))
    assert {k: v.dtype for k, v in tree_flatten(arrays)} == {k: v.dtype for k, v in expected.items()}
    assert all(mx.array_equal(v, expected[k]) for k, v in tree_flatten(arrays))


def test_nothing_there():
    from pathlib import Path

    assert checkpoint.restore(Path("/nowhere/run"), "mark") is None


def test_another_runs_checkpoint_goes(tmp_path):
    checkpoint.save(tmp_path / "run", ARRAYS, Progress(), "one")
    assert checkpoint.restore(tmp_path / "run", "two") is None
    assert not (tmp_path / "run").exists()


def test_saving_again_replaces(tmp_path):
    for step in (1, 2):
        checkpoint.save(tmp_path / "run", ARRAYS, Progress(step), "mark")
    assert checkpoint.restore(tmp_path / "run", "mark")[1].step == 2
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("parts", [
    [{"a": 1, "b": 3}], [{"a": 1}, {"b": 2}], [[1, 2]], ["ab"], ["a", "b"], [b"ab"], [b"a", b"b"], []])
def test_fingerprints_differ_with_what_they_are_of(parts):
    others = [[{"a": 1, "b": 2}], [{"a": 1, "b": 2}, None], [1, 2], ["abc"], ["b", "a"], [b"abc"], [b"b", b"a"]]
    assert fingerprint(*parts) not in {fingerprint(*other) for other in others}


def test_the_order_of_keys_does_not_matter():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
