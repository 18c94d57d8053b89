"""Rounds of `iterate` on tiny models, without running a stage."""

import mlx.core as mx
import numpy as np
import pytest

from realign import paths
from realign.models import build, heads
from stages.srf import iterate
from stages.srf.measure import measure
from stages.srf.rl import load_models

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
    found = iterate._same_judge(final, first)
    assert np.array_equal(found, measured("other").rewards)
    assert not np.allclose(found, first.measured.rewards)
