"""Training rows by one verb: what `loop.train` does with the same batches, and whose run it goes on with."""

import json
from dataclasses import fields, replace
from functools import partial

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.errors import UserError
from realign.models.chat import Encoded
from realign.models.heads import ScalarModel
from realign.objectives import preference
from realign.objectives.losses.preference import Preference
from realign.objectives.reward import REWARD
from realign.objectives.sft import SFT
from realign.train import fit as fitting
from realign.train import loop, memory
from realign.train.batches import RowBatches
from realign.train.fit import fit, plain
from realign.train.settings import Training

KNOBS = Training(seed=3, epochs=2, batch_size=5, learning_rate=1e-2, warmup=0.1, weight_decay=0.02, evaluate_every=2,
                 checkpoint_every=3, patience=9)


@pytest.fixture(scope="module")
def tiny(tiny):
    """Models of one layer: what `fit` does hangs on no other."""
    return partial(tiny, num_hidden_layers=1)


@pytest.fixture(autouse=True)
def roomy(monkeypatch):
    """Every batch is taken to fit; test_memory.py measures."""
    monkeypatch.setattr(memory, "_peak", lambda *given: 0)


def encoded(n, seed):
    rng = np.random.default_rng(seed)
    return [Encoded(rng.integers(1, 48, k).tolist(), [0, 1, *rng.integers(0, 2, k - 2).tolist()])
            for k in rng.integers(3, 20, n)]


def pairs(doubt=0.1):
    return [(chosen, rejected, doubt) for chosen, rejected in zip(encoded(12, 1), encoded(12, 2), strict=True)]


def referred():
    return preference.with_reference([pair[:2] for pair in pairs()], np.linspace(-40, -20, 24).reshape(12, 2))


DPO = preference.objective(Preference())
# By name: the objective, its rows, and the model around a language model.
OBJECTIVES = {"sft": (SFT, lambda: encoded(12, 0), lambda trunk: trunk), "reward": (REWARD, pairs, ScalarModel),
              "dpo": (DPO, referred, lambda trunk: trunk)}


def weights(model) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in tree_flatten(model.parameters())}


def by_norm(model) -> dict[str, float]:
    """A figure of the weights, whatever they are of."""
    norm = float(sum((w * w).sum() for _, w in tree_flatten(model.trainable_parameters())))
    return {"objective": norm}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("validate", [None, by_norm])
def test_it_trains_as_the_loop_does_with_the_same_batches(name, validate, tiny, tmp_path, capsys):
    objective, rows, model_of = OBJECTIVES[name]
    mine, other = model_of(tiny(0)), model_of(tiny(0))
    state = fit(mine, objective, rows(), KNOBS, scratch=tmp_path / "fit", origin="tiny", validate=validate)
    told = capsys.readouterr()
    assert "memory: 5 rows at once" in told.err and f"{objective.name}: 6/6" in told.err and not told.out
    batches = RowBatches.of(rows(), objective.collate, objective.weigh, 5, 2, 3)
    settings = loop.Settings(1e-2, 0.1, weight_decay=0.02, evaluate_every=2, checkpoint_every=3, patience=9)
    expected = loop.train(other, objective.loss, batches, settings, scratch=tmp_path / "loop", run_id="another",
                          validate=validate)
    found = weights(mine)
    for weight, value in weights(other).items():
        np.testing.assert_array_equal(found[weight], value, err_msg=weight)  # every bit
    assert (state.history, state.best, state.best_step) == (expected.history, expected.best, expected.best_step)
    assert not mine.training and any((found[key] != value).any() for key, value in weights(model_of(tiny(0))).items())


def test_it_is_left_at_its_best_validation(tiny, tmp_path):
    model, seen = tiny(0), []

    def validate(tuned):
        seen.append(weights(tuned))
        return {"objective": abs(len(seen) - 2)}

    state = fit(model, SFT, encoded(12, 0), KNOBS, scratch=tmp_path / "run", origin="tiny", validate=validate)
    assert (state.best_step, len(seen)) == (4, 3)
    assert all((value == seen[1][name]).all() for name, value in weights(model).items())


def test_patience_is_the_knob(tiny, tmp_path):
    state = fit(tiny(0), SFT, encoded(12, 0), replace(KNOBS, evaluate_every=1, patience=1), scratch=tmp_path / "run",
                origin="tiny", validate=lambda tuned: {"objective": 1.0})
    assert state.step == 2


class Killed(Exception):
    pass


def dies_after(step):
    def bar(name):
        def show(now, *_):
            if now == step:
                raise Killed

        return show

    return bar


def killed(monkeypatch, model, rows, knobs, scratch, step=5, **rest):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(fitting, "bar", dies_after(step))
        fit(model, SFT, rows, knobs, scratch=scratch, **{"origin": "tiny"} | rest)


def steps_of(monkeypatch) -> list[int]:
    """The steps that are trained from now on."""
    taken, update = [], RowBatches.micro_batches
    monkeypatch.setattr(RowBatches, "micro_batches", lambda self, step: taken.append(step) or update(self, step))
    return taken


def test_a_killed_run_goes_on_from_its_checkpoint_to_the_same_bits(tiny, tmp_path, monkeypatch):
    whole, resumed, rows = tiny(0), tiny(0), encoded(12, 0)
    unbroken = fit(whole, SFT, rows, KNOBS, scratch=tmp_path / "whole", origin="tiny")
    killed(monkeypatch, tiny(0), rows, KNOBS, tmp_path / "run")
    taken = steps_of(monkeypatch)
    state = fit(resumed, SFT, rows, KNOBS, scratch=tmp_path / "run", origin="tiny")
    assert taken == [3, 4, 5]
    assert state.history == unbroken.history
    for name, value in weights(whole).items():
        np.testing.assert_array_equal(weights(resumed)[name], value, err_msg=name)


def other_mask(rows):
    return [Encoded(rows[0].tokens, [*rows[0].mask[:-1], 1 - rows[0].mask[-1]]), *rows[1:]]


@pytest.mark.parametrize("change", ["origin", "row", "mask", "order", "knob"])
def test_another_run_starts_over(change, tiny, tmp_path, monkeypatch):
    rows, knobs, origin = encoded(12, 0), KNOBS, "tiny"
    killed(monkeypatch, tiny(0), rows, knobs, tmp_path / "run")
    match change:
        case "origin":
            origin = "other"
        case "row":
            rows = [*rows[:-1], Encoded([9, *rows[-1].tokens[1:]], rows[-1].mask)]
        case "mask":
            rows = other_mask(rows)
        case "order":
            rows = rows[::-1]
        case "knob":
            knobs = replace(knobs, weight_decay=0.03)
    taken = steps_of(monkeypatch)
    fit(tiny(0), SFT, rows, knobs, scratch=tmp_path / "run", origin=origin)
    assert taken == list(range(6))


@pytest.fixture
def run_id(monkeypatch, tiny, tmp_path):
    """`run_id(objective, rows, knobs, origin)`: the id of that run, which is not trained."""
    seen = []
    monkeypatch.setattr(memory, "fit", lambda *_: memory.Fit(1, False, 0, 0, {}))
    monkeypatch.setattr(loop, "train", lambda *_, run_id, **__: seen.append(run_id))

    def of(objective=SFT, rows=None, knobs=KNOBS, origin="tiny"):
        fit(tiny(0), objective, encoded(4, 0) if rows is None else rows, knobs, scratch=tmp_path / "run", origin=origin)
        return seen[-1]

    return of


def test_the_id_of_a_run_is_a_function_of_all_that_it_depends_on(run_id):
    assert run_id() == run_id() and len(run_id()) == 64
    others = [run_id(rows=other_mask(encoded(4, 0))), run_id(rows=encoded(4, 0)[::-1]), run_id(rows=encoded(3, 0)),
              run_id(replace(SFT, name="other")), run_id(origin="other")]
    for field in fields(Training):
        others.append(run_id(knobs=replace(KNOBS, **{field.name: getattr(KNOBS, field.name) + 1})))
    assert len({run_id(), *others}) == 1 + len(others)


def test_doubts_and_the_reference_are_part_of_it(run_id):
    ids = [run_id(REWARD, pairs(0.1)), run_id(REWARD, pairs(0.2)), run_id(DPO, referred()),
           run_id(DPO, [(*row[:2], [row[2][0], row[2][1] + 1e-6]) for row in referred()]),
           run_id(DPO, preference.with_reference([row[:2] for row in referred()], None))]
    assert len(set(ids)) == 5


def test_a_row_is_plain_json():
    row, other = Encoded([5, 6], [0, 1]), Encoded([7], [1])
    assert plain(row) == [[5, 6], [0, 1]]
    assert plain((row, other, 0.25)) == [[[5, 6], [0, 1]], [[7], [1]], 0.25]
    assert json.loads(json.dumps(plain((row, other, [-1.5, -2.0])))) == [[[5, 6], [0, 1]], [[7], [1]], [-1.5, -2.0]]


@pytest.mark.parametrize("name", ["sft", "reward"])
def test_what_does_not_fit_is_cut_and_teaches_the_same(name, tiny, tmp_path, monkeypatch, capsys):
    objective, rows, model_of = OBJECTIVES[name]
    knobs, sizes = replace(KNOBS, batch_size=9), []

    def collate(part):
        sizes.append(len(part))
        return objective.collate(part)

    def trained(folder) -> dict[str, np.ndarray]:
        model = model_of(tiny(0))
        fit(model, replace(objective, collate=collate), rows(), knobs, scratch=tmp_path / folder, origin="tiny")
        return weights(model)

    expected = trained("whole")
    assert "memory: 9 rows at once" in capsys.readouterr().err and max(sizes) == 9
    sizes.clear()
    monkeypatch.setattr(memory, "search", lambda measure, most, limit, held: (4, measure(4), {4: 0}))
    found = trained("cut")
    assert "memory: 4 rows at once" in capsys.readouterr().err and max(sizes) == 4
    expected.pop("head.bias", None)  # which no margin depends on
    for weight, value in expected.items():
        # AdamW's first steps are the sign of a gradient nearly: those that are nothing but rounding may differ.
        assert np.mean(np.abs(found[weight] - value) > 1e-4) < 0.02, weight


def test_a_loss_that_is_not_finite_stops_it(tiny, tmp_path):
    def broken(model, batch):
        total, weight, stats = SFT.loss(model, batch)
        return total * mx.array(float("inf")), weight, stats

    with pytest.raises(UserError, match=r"sft: training stopped: loss inf, .* at step 1 of 6") as told:
        fit(tiny(0), replace(SFT, loss=broken), encoded(12, 0), KNOBS, scratch=tmp_path / "run", origin="tiny")
    assert "to do: halve learning_rate (it is 0.01)" in str(told.value)


def test_gradients_that_are_not_finite_stop_it(tiny, tmp_path):
    def steep(model, batch):
        total, weight, stats = SFT.loss(model, batch)
        return total + 0 * mx.sqrt(0 * total), weight, stats  # whose slope at 0 is infinite

    model = tiny(0)
    with pytest.raises(UserError, match="training stopped: grad_norm nan, limit: a finite number at step 1 of 6"):
        fit(model, replace(SFT, loss=steep), encoded(12, 0), KNOBS, scratch=tmp_path / "run", origin="tiny")
    assert all(np.isfinite(np.array(value)).all() for _, value in tree_flatten(model.parameters()))


@pytest.mark.parametrize("rate", [1e4, 1e9, 1e30])
def test_a_rate_that_is_far_too_high_is_told(rate, tiny, tmp_path):
    with pytest.raises(UserError, match="sft: training stopped: ") as told:
        fit(tiny(0), SFT, encoded(12, 0), replace(KNOBS, learning_rate=rate), scratch=tmp_path / "run", origin="tiny",
            validate=lambda model: {"objective": SFT.loss(model, SFT.collate(encoded(4, 3)))[0].item()})
    assert "to do: halve learning_rate" in str(told.value)


def test_evaluations_that_are_never_finite_are_told(tiny, tmp_path):
    with pytest.raises(UserError, match="no evaluation on held-out rows gave a finite number"):
        fit(tiny(0), SFT, encoded(12, 0), KNOBS, scratch=tmp_path / "run", origin="tiny",
            validate=lambda model: {"objective": float("nan")})
