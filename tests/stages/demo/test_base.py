"""A short run of the stages that made the shipped base: same bytes every time, and a model that mlx-lm loads."""

from dataclasses import replace

import mlx_lm
import pytest
from mlx.utils import tree_flatten

from realign.models import build
from realign.params import load
from stages.demo import base

SHORT = replace(load("demo.base", base.Base), steps=6, checkpoint_every=2, batch_size=4, tokenizer_documents=60)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    history = base.train(SHORT, folder / "model", folder / "scratch")
    return folder / "model", history


def test_it_learns_and_is_loaded_by_mlx_lm(made):
    folder, history = made
    assert history[-1]["step"] == 6 and 0 < history[-1]["loss"] < 8
    model, tokenizer = mlx_lm.load(str(folder))
    assert model.model_type == "lfm2" and len(tokenizer.encode(" Anna")) == 1
    text = mlx_lm.generate(model, tokenizer, tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of Peru?"}], add_generation_prompt=True), max_tokens=4)
    assert isinstance(text, str)


def test_the_same_parameters_give_the_same_bytes_also_after_a_stop(made, tmp_path, monkeypatch):
    folder, _ = made
    real, calls = base.Documents.micro_batches, []

    def stops(self, step):
        calls.append(step)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(self, step)

    monkeypatch.setattr(base.Documents, "micro_batches", stops)
    with pytest.raises(KeyboardInterrupt):
        base.train(SHORT, tmp_path / "model", tmp_path / "scratch")
    assert not (tmp_path / "model").exists()
    base.train(SHORT, tmp_path / "model", tmp_path / "scratch")
    assert calls[5] == 4  # went on from the checkpoint
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {
        f.name: f.read_bytes() for f in (tmp_path / "model").iterdir()}


def test_the_shipped_base_has_the_configuration_of_the_parameters():
    shipped, _, config = build.load("data/base")
    wanted = base.config(load("demo.base", base.Base))
    assert {k: config[k] for k in wanted} == wanted
    assert sum(v.size for _, v in tree_flatten(shipped.parameters())) < 2_000_000
