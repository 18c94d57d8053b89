"""The loop on a model of one number, and on tiny language models where that matters."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.errors import UserError
from realign.models.batches import batch_of
from realign.models.chat import Encoded
from realign.objectives import sft
from realign.train import checkpoint, loop
from realign.train.batches import RowBatches
from realign.train.loop import Settings, Stopped, train


class Point(nn.Module):
    """A number that training moves towards the batch's target."""

    def __init__(self):
        super().__init__()
        self.at = mx.array([0.0])


def distance(model, batch):
    return mx.square(model.at - batch["target"]).sum(), mx.array(1.0), {}


@dataclass
class Targets:
    """One target a step; notes which steps were asked for."""

    values: list[float]
    asked: list[int] = field(default_factory=list)

    def __len__(self):
        return len(self.values)

    def figures(self):
        return {"target": self.values[self.asked[-1]]}

    def micro_batches(self, step):
        self.asked.append(step)
        return [{"target": mx.array(self.values[step])}]


SETTINGS = Settings(0.1, warmup=0.0, final=1.0, weight_decay=0.0, log_every=1, checkpoint_every=4)


def run(tmp_path, targets, settings=SETTINGS, run_id="a", **rest):
    model = Point()
    return model, train(model, distance, targets, settings, scratch=tmp_path / "run", run_id=run_id, **rest)


class Watch:
    """Validation by the distance to `goal`; notes where the model was."""

    def __init__(self, goal):
        self.goal, self.seen = goal, []

    def __call__(self, model):
        assert not model.training
        self.seen.append(model.at.item())
        return {"objective": abs(model.at.item() - self.goal)}


def test_it_learns_and_notes_every_step(tmp_path):
    model, state = run(tmp_path, Targets([1.0] * 60))
    assert model.at.item() == pytest.approx(1.0, abs=0.1) and not model.training
    assert [h["step"] for h in state.history] == list(range(1, 61))
    first = state.history[0]
    assert (first["loss"], first["grad_norm"], first["targets"], first["target"]) == (1.0, 2.0, 1.0, 1.0)


def test_the_history_is_thinned_but_keeps_the_last_step(tmp_path):
    _, state = run(tmp_path, Targets([1.0] * 10), Settings(0.1, log_every=4))
    assert [h["step"] for h in state.history] == [4, 8, 10]


def test_the_best_checkpoint_by_validation_is_left(tmp_path):
    watch = Watch(0.3)  # passed on the way to 1
    settings = Settings(0.1, warmup=0.0, final=1.0, weight_decay=0.0, evaluate_every=1, patience=100)
    model, state = run(tmp_path, Targets([1.0] * 20), settings, validate=watch)
    best = int(np.argmin([abs(at - 0.3) for at in watch.seen]))
    assert model.at.item() == watch.seen[best] and state.best_step == best + 1 < 20
    assert len(watch.seen) == 20


def test_it_stops_when_patience_is_spent(tmp_path):
    watch = Watch(0.3)
    settings = Settings(0.1, warmup=0.0, final=1.0, weight_decay=0.0, evaluate_every=2, patience=3)
    _, state = run(tmp_path, Targets([1.0] * 100), settings, validate=watch)
    assert state.step == state.best_step + 6 < 100


def test_without_validation_the_last_step_is_left(tmp_path):
    model, state = run(tmp_path, Targets([1.0] * 7))
    assert state.best is None and state.step == 7 and model.at.item() == pytest.approx(0.6, abs=0.15)


def test_a_validation_that_is_not_a_number_is_never_the_best(tmp_path):
    answers = iter([math.nan, 2.0, math.nan, 1.0, math.nan])
    settings = Settings(0.1, evaluate_every=1, patience=5)
    _, state = run(tmp_path, Targets([1.0] * 5), settings, validate=lambda m: {"objective": next(answers)})
    assert (state.best, state.best_step) == (1.0, 4)


def test_a_loss_that_is_not_a_number_stops_and_restores_the_best(tmp_path):
    watch = Watch(1.0)
    settings = Settings(0.1, warmup=0.0, evaluate_every=2, patience=9)
    model = Point()
    with pytest.raises(Stopped, match="loss nan, limit: a finite number at step 8 of 20") as caught:
        train(model, distance, Targets([1.0] * 7 + [math.nan] * 13), settings, scratch=tmp_path / "run", run_id="a",
              validate=watch)
    assert model.at.item() == watch.seen[-1] and len(watch.seen) == 3
    assert caught.value.progress.step == 8 and not model.training


@pytest.mark.parametrize("fault, kept", [(2, 0), (6, 4), (9, 8)])
def test_without_validation_it_returns_to_the_last_checkpoint(fault, kept, tmp_path):
    good, _ = run(tmp_path / "short", Targets([1.0] * kept)) if kept else (Point(), None)
    model = Point()
    targets = Targets([1.0] * (fault - 1) + [math.inf] * 9)
    with pytest.raises(Stopped):
        train(model, distance, targets, SETTINGS, scratch=tmp_path / "run", run_id="a")
    assert model.at.item() == good.at.item()


def test_a_stop_condition_of_ones_own(tmp_path):
    with pytest.raises(Stopped, match="too near at step"):
        run(tmp_path, Targets([1.0] * 60), stop_when=lambda h: "too near" if h[-1]["loss"] < 0.25 else None)


def test_a_stop_condition_sees_the_history_and_the_present_step_after_a_resume_too(tmp_path):
    def watched(seen, **rest):
        def stop_when(history):
            seen.append([record["step"] for record in history])
        run(tmp_path, Targets([1.0] * 8), Settings(0.1, log_every=3, checkpoint_every=4), stop_when=stop_when, **rest)

    with pytest.raises(Killed):
        watched([], progress_bar=dying(7))
    resumed = []
    watched(resumed)
    assert resumed == [[3, 5], [3, 6], [3, 6, 7], [3, 6, 8]]


class Killed(Exception):
    pass


def dying(at):
    def show(step, steps, figures):
        if step == at:
            raise Killed
    return show


def test_it_goes_on_from_its_checkpoint(tmp_path):
    whole, unbroken = run(tmp_path / "whole", Targets([1.0] * 12))
    with pytest.raises(Killed):
        run(tmp_path, Targets([1.0] * 12), progress_bar=dying(7))
    targets = Targets([1.0] * 12)
    model, state = run(tmp_path, targets)
    assert targets.asked == list(range(4, 12))
    assert model.at.item() == whole.at.item() and state.history == unbroken.history


def test_the_checkpoint_of_another_run_is_not_resumed(tmp_path):
    whole, _ = run(tmp_path / "whole", Targets([1.0] * 12), run_id="b")
    with pytest.raises(Killed):
        run(tmp_path, Targets([-5.0] * 12), run_id="a", progress_bar=dying(7))
    targets = Targets([1.0] * 12)
    model, _ = run(tmp_path, targets, run_id="b")
    assert targets.asked == list(range(12)) and model.at.item() == whole.at.item()


def test_a_full_disk_is_one_message_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    whole, _ = run(tmp_path / "whole", Targets([1.0] * 12))
    with pytest.raises(Killed):
        run(tmp_path, Targets([1.0] * 12), progress_bar=dying(5))
    with monkeypatch.context() as patch:
        write = checkpoint.write_bytes
        patch.setattr(checkpoint, "write_bytes", lambda path, content: write(Path("/dev/full"), content))
        with pytest.raises(UserError, match="the disk is full; nothing was changed"):
            run(tmp_path, Targets([1.0] * 12))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    targets = Targets([1.0] * 12)
    model, _ = run(tmp_path, targets)
    assert targets.asked[0] == 4 and model.at.item() == whole.at.item()


def test_a_finished_run_leaves_a_checkpoint_to_return_to(tmp_path):
    first, _ = run(tmp_path, Targets([1.0] * 10))
    targets = Targets([1.0] * 10)
    again, _ = run(tmp_path, targets)
    assert targets.asked == [8, 9] and again.at.item() == first.at.item()


def test_random_numbers_are_a_function_of_run_and_step(tmp_path):
    def noisy(model, batch):
        return (model.at * mx.random.normal((1,))).sum(), mx.array(1.0), {}

    def trained(run_id, before):
        mx.random.seed(before)
        model = Point()
        train(model, noisy, Targets([0.0] * 6), SETTINGS, scratch=tmp_path / f"{run_id}{before}", run_id=run_id)
        return model.at.item()

    assert trained("a", 0) == trained("a", 1) != trained("b", 0)


def rows(n=13, seed=0):
    rng = np.random.default_rng(seed)
    return [Encoded(rng.integers(1, 48, k).tolist(), [0, *rng.integers(0, 2, k - 1).tolist()])
            for k in rng.integers(3, 20, n)]


class Recorder:
    """In the optimiser's place: keeps the gradients."""

    state = None

    def update(self, model, gradients):
        self.gradients = dict(tree_flatten(gradients))


def gradients_of(model, micro_batches, clip=1e9):
    recorder = Recorder()
    figures = loop.update(model, recorder, nn.value_and_grad(model, sft.loss), micro_batches, Settings(0.1, clip=clip))
    return figures, recorder.gradients


@pytest.mark.parametrize("micro", [1, 4, 5])
def test_micro_batches_add_up_to_the_whole_batch(micro, tiny):
    model, data = tiny(1), rows()
    whole = RowBatches.of(data, batch_of, sft.weigh, 13, 1, 0).micro_batches(0)
    parts = RowBatches.of(data, batch_of, sft.weigh, 13, 1, 0, micro=micro).micro_batches(0)
    assert (len(whole), len(parts)) == (1, -(-13 // micro))
    (figures, expected), (figures_of_parts, got) = gradients_of(model, whole), gradients_of(model, parts)
    assert figures_of_parts == pytest.approx(figures, rel=1e-5)
    for name in expected:
        np.testing.assert_allclose(np.array(got[name]), np.array(expected[name]), atol=1e-6, err_msg=name)


def test_gradients_are_clipped_by_their_norm(tiny):
    batch = RowBatches.of(rows(), batch_of, sft.weigh, 13, 1, 0).micro_batches(0)
    figures, clipped = gradients_of(tiny(1), batch, clip=0.01)
    assert figures["grad_norm"] > 0.01  # the norm before
    assert math.sqrt(sum(float((g * g).sum()) for g in clipped.values())) == pytest.approx(0.01, rel=1e-3)


def test_a_batch_without_a_target_is_finite_and_teaches_nothing(tiny):
    silent = [Encoded([1, 2, 3], [0, 0, 0]), Encoded([4, 5], [1, 0])]  # a first token is nobody's next
    figures, gradients = gradients_of(tiny(1), [batch_of(silent)])
    assert figures["loss"] == 0 and figures["targets"] == 0
    assert all((np.array(g) == 0).all() for g in gradients.values())


def test_the_loss_is_the_cross_entropy_of_the_targets_in_numpy(tiny):
    model, data = tiny(1), rows()
    total, count, stats = sft.loss(model, batch_of(data))
    expected, right, targets = 0.0, 0, 0
    for row in data:
        logits = np.array(model(mx.array([row.tokens])), np.float64)[0]
        logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for place in range(1, len(row.tokens)):
            if row.mask[place]:
                expected -= logprobs[place - 1, row.tokens[place]]
                right += logits[place - 1].argmax() == row.tokens[place]
                targets += 1
    assert (count.item(), stats["accuracy"].item()) == (targets, right)
    assert total.item() == pytest.approx(expected, rel=1e-5)


def test_padding_teaches_nothing(tiny, refilled):
    model, data = tiny(1), rows(2)
    alone = [gradients_of(model, [batch_of([row])])[0] for row in data]
    for batch in (batch_of(data), refilled(batch_of(data), 47)):
        together, _ = gradients_of(model, [batch])
        weighted = sum(f["loss"] * f["targets"] for f in alone) / sum(f["targets"] for f in alone)
        assert together["loss"] == pytest.approx(weighted, rel=1e-5)
