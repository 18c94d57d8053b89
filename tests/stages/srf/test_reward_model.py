"""The reward model's training on a tiny model."""

from dataclasses import replace

import pytest

from realign import params
from realign.models import build, heads
from realign.objectives import reward
from stages.srf import reward_model
from tests.workflows.small import ROOT

P = replace(params.load("srf.reward_model", reward_model.RewardModel, ROOT / "params.yaml"), batch_size=6, epochs=3,
            evaluate_every=2)


def pair(i: int) -> dict:
    return {"messages": [{"role": "user", "content": f"What is {i}?"}], "chosen": "A metal " * (i % 3 + 1),
            "rejected": "Lima", "chosen_score": 1.0, "rejected_score": 0.2 * (i % 4),
            "split": "validation" if i % 4 == 0 else "train"}


ROWS = [pair(i) for i in range(24)]


def test_it_is_left_at_its_best_held_out_accuracy_ties_by_the_lower_loss(tiny_folder, tmp_path):
    trunk, tokenizer, _ = build.load(str(tiny_folder))
    model = heads.ScalarModel(trunk)
    progress = reward_model.learn(model, tokenizer, ROWS, P, "test", tmp_path)
    held_out = reward.encode_pairs(tokenizer, ROWS)["validation"]
    seen = [(r["validation_accuracy"], -r["validation_loss"]) for r in progress.history if "validation_loss" in r]
    left = reward.accuracy(model, held_out).value, -reward.mean_loss(*reward.values(model, held_out)).value
    assert len(set(seen)) > 2 and left == pytest.approx(max(seen), abs=1e-5)
    assert progress.best == pytest.approx(1 - left[0] - 1e-3 * left[1], abs=1e-6)


def test_a_small_gap_is_a_doubtful_label(tiny_folder, tmp_path, monkeypatch):
    """Of the training rows, in their order; held-out rows teach nothing."""
    seen = []
    monkeypatch.setattr(reward_model, "fit", lambda model, objective, rows, p, **named: seen.extend(rows))
    trunk, tokenizer, _ = build.load(str(tiny_folder))
    reward_model.learn(heads.ScalarModel(trunk), tokenizer, ROWS, P, "test", tmp_path)
    trained = [row for row in ROWS if row["split"] == "train"]
    gaps = [row["chosen_score"] - row["rejected_score"] for row in trained]
    assert [doubt for *_, doubt in seen] == pytest.approx(reward.doubts(gaps, P.certainty))
    assert [(c, r) for c, r, _ in seen] == reward.encode_pairs(tokenizer, ROWS)["train"]
    assert len({round(doubt, 6) for *_, doubt in seen}) == 3
