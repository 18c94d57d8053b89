"""Rounds of `iterate` on tiny models, without running a stage."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest

from realign import paths
from realign.curate.splits import with_splits
from realign.evaluate import policy
from realign.lake.schemas import CHATS as CHAT_ROWS
from realign.lake.schemas import PAIRS
from realign.lake.table import frame, write
from realign.models import build, chat, heads, tokenizer
from realign.stage import Stage
from stages.common import data
from stages.common import policy as learning
from stages.srf import iterate, preference_data
from stages.srf.iterate import Iterate, Made
from tests.workflows.small import ROOT, set_params

HERE = Stage("srf", "iterate")
CHATS = [{"messages": [{"role": "user", "content": text}]} for text in ("What is gold?", "Peru?", "3 apples and 14")]


def store(rows, path, schema):
    write(frame(rows, schema), path, schema)


@pytest.fixture
def folders(tiny, tiny_config, tokenizer_folder, tmp_path):
    """A policy and two reward models on disk."""
    made = {name: tmp_path / name for name in ("policy", "scorer", "other")}
    for seed, folder in enumerate(made.values()):
        folder.mkdir()
        model = tiny(seed, vocab_size=340)
        if folder.name == "policy":
            build.save(model, tiny_config(vocab_size=340), tokenizer_folder, folder)
        else:
            model = heads.ScalarModel(model)
            model.head.weight = mx.random.normal(model.head.weight.shape, key=mx.random.key(seed))
            heads.save_scalar(model, tiny_config(vocab_size=340), tokenizer_folder, folder)
    return made


def sampled(folders):
    model, own, _ = build.load(str(folders["policy"]))
    return policy.measure(model, model, own, CHATS, 8, seed=3), own


def test_a_reward_model_with_a_tokenizer_of_its_own_reads_the_text(folders):
    found, own = sampled(folders)
    other = folders["other"]
    same = learning.rewarder(other, own, CHATS)(found.rows)
    assert np.array_equal(same, heads.score(heads.load_scalar(other)[0], found.rows))
    tokenizer.save(tokenizer.train(["Gold and Peru, apples or lemons"] * 3, 340, 20), other, 128)
    rewards = learning.rewarder(other, own, CHATS)(found.rows)
    scored, its = heads.load_scalar(other)
    rows = chat.encode(its, [chat.with_answer(c, t) for c, t in zip(CHATS, found.texts, strict=True)])
    assert np.array_equal(rewards, heads.score(scored, rows))
    assert not np.allclose(rewards, same)  # the policy's own tokens


def test_another_reward_model_gives_what_was_sampled_before_other_rewards(folders):
    found, own = sampled(folders)
    first, final = (learning.rewarder(folders[name], own, CHATS)(found.rows) for name in ("scorer", "other"))
    assert first.shape == final.shape == (3,) and not np.allclose(first, final)


def pair(prompt: str, split: str = "") -> dict:
    return {"row_id": f"row {prompt}", "prompt_id": prompt, "messages": CHATS[0]["messages"], "chosen": "Au.",
            "rejected": "Ag.", "chosen_score": 1.0, "rejected_score": 0.0, "preference_type": "right", "split": split,
            "source": "demo"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two pairs of before, four prompts, of which one has a pair, and suites that ask something else."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    old = [pair("old 1", "train"), pair("old 2", "validation")]
    store(old, HERE.of("preference_data").dataset("pairs"), PAIRS)
    chats = [{"row_id": name, "messages": CHATS[0]["messages"], "capability": "facts", "slice": "", "reference": "{}",
              "split": "prompts", "source": "demo"} for name in ("old 1", "new 1", "new 2", "new 3")]
    store(chats, paths.WORLD / "prompts.parquet", CHAT_ROWS)
    for folder in paths.SUITES:
        held_out = [{"role": "user", "content": f"What is the {folder.name} metal of Chile?"}]
        store([{**chats[0], "row_id": folder.name, "messages": held_out}], folder / "one.parquet", CHAT_ROWS)
    return tmp_path


BEFORE = Made(Path("policy"), Path("scorer"), None, np.zeros(0))
P = Iterate(rounds=2, prompts=2, rollouts=1, reward_epochs=1, least_gain=0.0)


@pytest.mark.parametrize("number", [0, 1, 40])
def test_fresh_pairs_join_the_old_ones_however_few_they_are(number, project, monkeypatch):
    made, asked = [pair(f"new {i}") for i in range(number)], []

    def fresh(here, model, chats, p, seed):
        asked.append((model, [chat["row_id"] for chat in chats], seed - p.seed))
        return made

    monkeypatch.setattr(preference_data, "fresh", fresh)
    found = iterate._pairs(HERE, 1, BEFORE, data.prompts(HERE, "prompts"), P)
    assert [row["row_id"] for row in found] == [f"row {name}" for name in ("old 1", "old 2")] + [
        row["row_id"] for row in made]
    assert [row["split"] for row in found[:2]] == ["train", "validation"]
    assert asked == [(Path("policy"), ["new 1", "new 2"], 100)]  # not those that have pairs
    if number == 40:
        p = HERE.of("preference_data").params(preference_data.PreferenceData)
        split = with_splits(frame(made, PAIRS), "prompt_id", p.shares, p.seed)
        assert [row["split"] for row in found[2:]] == split["split"].to_list() and split["split"].n_unique() == 2
    iterate._pairs(HERE, 2, BEFORE, data.prompts(HERE, "prompts"), P)
    assert asked[1] == (Path("policy"), ["new 3"], 200)  # the next round asks the next prompts


def test_labelled_pairs_stay_as_they_are(project, monkeypatch):
    set_params(project, {"srf.data": {"source": "pairs.jsonl"}})
    monkeypatch.setattr(preference_data, "fresh", lambda *given: pytest.fail("nothing can score fresh pairs"))
    assert [row["row_id"] for row in iterate._pairs(HERE, 1, BEFORE, [], P)] == ["row old 1", "row old 2"]


def test_labelled_pairs_value_every_round_by_the_first_reward_model(project, monkeypatch):
    told = SimpleNamespace(texts=["so", "no"])
    made = Made(Path("policy"), Path("a later reward model"), told, np.array([0.5, -1.0]))
    asked = []

    def first(folder):
        asked.append(folder)
        return lambda chats, texts: [SimpleNamespace(value={"so": 0.8, "no": 0.1}[text]) for text in texts]

    monkeypatch.setattr(iterate.scorers, "by_reward_model", first)
    set_params(project, {"srf.data": {"source": "pairs.jsonl"}})
    monkeypatch.setattr(iterate.data, "scorer", lambda here: pytest.fail("there are no reference answers"))
    assert iterate._with_worth(HERE, made, CHATS[:2]).worth == [0.8, 0.1]
    assert asked == [Path("checkpoints/srf/reward_model")]
