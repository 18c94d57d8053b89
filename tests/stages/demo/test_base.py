"""A short run of the stages that made the shipped base: same bytes every time, and a model that mlx-lm loads."""

from dataclasses import replace

import mlx_lm
import pytest
from mlx.utils import tree_flatten

from realign.models import build
from realign.params import load
from stages.demo import base

SHORT = replace(load("demo.base", base.Base), steps=6, restarts=2, restart_steps=4, checkpoint_every=2,
                batch_size=4, tokenizer_documents=60, hidden_size=32, intermediate_size=64)


@pytest.fixture(scope="module", autouse=True)
def small_windows():
    """Documents are sorted among those of a few batches, so that few need be made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "WINDOW_BATCHES", 8)
        yield


@pytest.fixture(scope="module")
def made(small_windows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    history = base.train(SHORT, folder / "model", folder / "scratch")
    return folder / "model", history


def test_it_learns_and_is_loaded_by_mlx_lm(made):
    folder, history = made
    assert history[-1]["step"] == 4 and 0 < history[-1]["loss"] < 8
    model, tokenizer = mlx_lm.load(str(folder))
    assert model.model_type == "lfm2" and len(tokenizer.encode(" Anna")) == 1
    text = mlx_lm.generate(model, tokenizer, tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of Peru?"}], add_generation_prompt=True), max_tokens=4)
    assert isinstance(text, str)


def test_every_document_is_read_once_and_the_schedule_starts_again():
    parts = base.cycles(SHORT)
    assert [(first, steps) for first, steps, _ in parts] == [(0, 6), (6, 4), (10, 4)]
    assert [rate for *_, rate in parts] == [SHORT.learning_rate] + [SHORT.restart_learning_rate] * 2
    shipped = base.cycles(load("demo.base", base.Base))
    assert [first + steps for first, steps, _ in shipped[:-1]] == [first for first, *_ in shipped[1:]]


@pytest.mark.parametrize("at", [5, 13])
def test_the_same_parameters_give_the_same_bytes_also_after_a_stop(made, tmp_path, monkeypatch, at):
    folder, _ = made
    real, calls = base.Documents.micro_batches, []

    def stops(self, step):
        calls.append(self.first + step)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(self, step)

    monkeypatch.setattr(base.Documents, "micro_batches", stops)
    with pytest.raises(KeyboardInterrupt):
        base.train(SHORT, tmp_path / "model", tmp_path / "scratch")
    assert not (tmp_path / "model").exists()
    base.train(SHORT, tmp_path / "model", tmp_path / "scratch")
    assert calls[at] == 4 and calls[-1] == 13  # went on from the first cycle's checkpoint
    assert calls[at:].count(12) == 1 and (at < 10 or 10 not in calls[at:])  # and from that of the cycle it was in
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {
        f.name: f.read_bytes() for f in (tmp_path / "model").iterdir()}


def test_the_shipped_base_has_the_configuration_of_the_parameters():
    shipped, _, config = build.load("data/base")
    wanted = base.config(load("demo.base", base.Base))
    assert {k: config[k] for k in wanted} == wanted
    assert sum(v.size for _, v in tree_flatten(shipped.parameters())) < 2_000_000
