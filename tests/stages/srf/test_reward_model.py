"""The reward model's training on a tiny model: what does not fit into memory is cut, and teaches the same."""

from dataclasses import replace

import numpy as np
from mlx.utils import tree_flatten

from realign import params
from realign.models import build, heads
from realign.train import memory, reward
from stages.srf.reward_model import RewardModel, fit
from tests.stages.srf.small import ROOT


def pair(i: int) -> dict:
    return {"messages": [{"role": "user", "content": f"What is {i}?"}], "chosen": "A metal " * (i % 3 + 1), "rejected": "Lima",
            "chosen_score": 1.0, "rejected_score": 0.2 * (i % 4), "split": "validation" if i % 4 == 0 else "train"}


def test_what_does_not_fit_is_cut_and_teaches_the_same(tiny_folder, tmp_path, monkeypatch, capsys):
    p = replace(params.load("srf.reward_model", RewardModel, ROOT / "params.yaml"), batch_size=9, epochs=2)

    def trained(scratch):
        trunk, tokenizer, _ = build.load(str(tiny_folder))
        model = heads.ScalarModel(trunk)
        fit(model, tokenizer, [pair(i) for i in range(24)], p, "test", scratch)
        return {name: np.array(value) for name, value in tree_flatten(model.parameters())}

    expected = trained(tmp_path / "whole")
    told = capsys.readouterr()
    assert "memory: 9 rows at once" in told.err and not told.out
    sizes = []
    loss = reward.loss
    monkeypatch.setattr(reward, "loss", lambda model, batch: sizes.append(len(batch["tokens"]) // 2) or loss(model, batch))
    monkeypatch.setattr(memory, "search", lambda measure, most, limit, held: (4, measure(4), {4: 0}))
    found = trained(tmp_path / "cut")
    assert "memory: 4 rows at once" in capsys.readouterr().err and max(sizes) == 4
    del expected["head.bias"]  # which no margin depends on
    for name, value in expected.items():
        # AdamW's first steps are the sign of a gradient nearly: those that are nothing but rounding may differ.
        assert np.mean(np.abs(found[name] - value) > 1e-4) < 0.02, name
