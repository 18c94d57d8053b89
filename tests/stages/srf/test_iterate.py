"""Rounds of `iterate` on tiny models, without running a stage."""

import shutil

import mlx.core as mx
import numpy as np
import pytest
from stages.srf.measure import measure

from realign import paths
from realign.curate.splits import with_splits
from realign.evaluate.scorers import with_answer
from realign.lake.schemas import CHATS as CHAT_ROWS
from realign.lake.schemas import PAIRS
from realign.lake.table import write_table
from realign.models import build, chat, heads, tokenizer
from realign.train import reward
from stages.srf import fresh, iterate, source
from stages.srf.rl import load_models
from tests.stages.srf.small import ROOT

CHATS = [{"messages": [{"role": "user", "content": text}]} for text in ("What is gold?", "Peru?", "3 apples and 14")]


@pytest.fixture
def folders(tiny, tiny_config, tokenizer_folder, tmp_path, monkeypatch):
    """The SFT model, a policy and two reward models on disk."""
    monkeypatch.chdir(tmp_path)
    made = {"sft": paths.checkpoint("srf", "sft"), **{n: tmp_path / n for n in ("policy", "judge", "other")}}
    for seed, folder in enumerate(made.values()):
        folder.mkdir(parents=True)
        model = tiny(seed, vocab_size=340)
        if folder.name in ("judge", "other"):
            model = heads.ScalarModel(model)
            model.head.weight = mx.random.normal(model.head.weight.shape, key=mx.random.key(seed))
            heads.save_scalar(model, tiny_config(vocab_size=340), tokenizer_folder, folder)
        else:
            build.save(model, tiny_config(vocab_size=340), tokenizer_folder, folder)
    return made


def test_the_first_policy_is_judged_again_by_what_it_sampled(folders):
    def measured(judge):
        return measure(build.load(str(folders["policy"]))[0], load_models(folders[judge])[0], CHATS, 8, seed=3)

    first = iterate.Round(folders["policy"], folders["judge"], measured("judge"), [])
    final = iterate.Round(folders["policy"], folders["other"], None, [])
    found = iterate._same_judge(final, first, CHATS)
    assert np.array_equal(found, measured("other").rewards)
    assert not np.allclose(found, first.measured.rewards)


def test_a_reward_model_with_a_tokenizer_of_its_own_reads_the_text(folders):
    own = folders["other"]
    tokenizer.save(tokenizer.train(["Gold and Peru, apples or lemons"] * 3, 340, 20), own, 128)
    models, _ = load_models(own)
    found = measure(build.load(str(folders["policy"]))[0], models, CHATS, 8, seed=3)
    scored, its = heads.load_scalar(own)
    rows = chat.encode(its, [with_answer(c, t) for c, t in zip(CHATS, found.texts, strict=True)])
    assert np.array_equal(found.rewards, reward.score(scored, rows, build.pad_token(its)))
    assert not np.allclose(found.rewards, reward.score(scored, found.rows, models.pad))  # the policy's own tokens
    assert load_models(folders["judge"])[0].reward_tokenizer is None


def pair(prompt: str, split: str = "") -> dict:
    return {"row_id": f"row {prompt}", "prompt_id": prompt, "messages": CHATS[0]["messages"], "chosen": "Au.",
            "rejected": "Ag.", "chosen_score": 1.0, "rejected_score": 0.0, "preference_type": "right", "split": split,
            "source": "world"}


@pytest.mark.parametrize("number", [0, 1, 40])
def test_fresh_pairs_join_the_old_ones_however_few_they_are(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    old = [pair("old 1", "train"), pair("old 2", "validation")]
    write_table(old, paths.dataset("srf", "preference_data", "pairs"), PAIRS)
    chats = [{"row_id": name, "messages": CHATS[0]["messages"], "capability": "facts", "slice": "", "reference": "{}",
              "split": "prompts", "source": "world"} for name in ("old 1", "new 1", "new 2", "new 3")]
    write_table(chats, paths.WORLD / "prompts.parquet", CHAT_ROWS)
    made, asked = [pair(f"new {i}") for i in range(number)], []
    monkeypatch.setattr(fresh, "pairs_of", lambda model, chats, p, seed: asked.extend(chats) or made)
    p = iterate.Iterate(rounds=1, prompts=2, rollouts=1, reward_epochs=1, least_gain=0.0)
    found = iterate._pairs(1, iterate.Round(tmp_path, tmp_path, None, []), p, source.settings())
    assert found[:2] == old and [row["row_id"] for row in found[2:]] == [row["row_id"] for row in made]
    assert [chat["row_id"] for chat in asked] == ["new 1", "new 2"]  # not those that have pairs
    if number == 40:
        settings = fresh.settings()
        assert found[2:] == with_splits(made, lambda row: row["prompt_id"], settings.shares, settings.seed)
