"""Reinforcement learning on the reward: the knobs that reach the update, and what watches for gaming."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from realign import params
from realign.errors import UserError
from realign.evaluate.policy import Measured
from realign.metrics import exact
from realign.models import build, heads
from realign.stage import Stage
from realign.train.optimise import Outcome
from realign.verify.reference import Score
from stages.common import policy
from stages.srf import rl
from tests.workflows.small import ROOT

HERE = Stage("srf", "rl")
P = params.load("srf.rl", rl.Rl, ROOT / "params.yaml")
CHATS = [{"row_id": f"row {i}", "messages": [{"role": "user", "content": f"What is {name}?"}]}
         for i, name in enumerate(["gold", "Peru", "Lima", "Ada", "Au", "a metal", "an apple", "it", "its symbol"])]


@pytest.mark.parametrize("old, new, message", [
    ("algorithm: ppo", "algorithm: dpo", r"srf\.rl\.algorithm.*\n.*one of ppo, a2c"),
    ("clip: 0.2", "clip: 1.0", r"srf\.rl\.clip: found '1.0'"),
    ("length_factor: 3.0", "length_factor: 1.0", r"srf\.rl\.length_factor: found '1.0'")])
def test_knobs_that_cannot_be_are_found_before_the_run(old, new, message, tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / "params.yaml").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        params.load("srf.rl", rl.Rl, tmp_path / "params.yaml")


def test_a2c_takes_one_pass():
    assert replace(P, algorithm="a2c", epochs=1).algorithm == "a2c"
    with pytest.raises(UserError, match=r"a2c with 2 epochs(.|\n)*set epochs to 1"):
        replace(P, algorithm="a2c", epochs=2)


@pytest.fixture
def project(tiny, tiny_config, tiny_folder, tokenizer_folder, tmp_path, monkeypatch):
    """An SFT model and a reward model on disk, and prompts for both splits; `asked` is what was asked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for name in ("sft", "reward_model"):
        HERE.of(name).checkpoint.mkdir(parents=True)
    build.save(build.load(str(tiny_folder))[0], tiny_config(vocab_size=340), tokenizer_folder,
               HERE.of("sft").checkpoint)
    heads.save_scalar(heads.ScalarModel(tiny(1, vocab_size=340)), tiny_config(vocab_size=340), tokenizer_folder,
                      HERE.of("reward_model").checkpoint)
    monkeypatch.setattr(policy.data, "prompts", lambda here, split: CHATS if split == "validation" else CHATS[:3])
    return tmp_path


@pytest.fixture
def judged(monkeypatch):
    """The scorer gives half to everything; the chats that it was asked for."""
    asked = []

    def scorer(chats, texts):
        asked.append([chat["row_id"] for chat in chats])
        return [Score(0.5, "test", {}) for _ in texts]

    monkeypatch.setattr(policy.data, "independent_scorer", lambda here: scorer)
    return asked


def test_what_watches_asks_prompts_that_the_figures_of_the_stage_do_not_use(project, judged, tiny_folder):
    model, tokenizer, _ = build.load(str(tiny_folder))
    p = replace(P, heldout_prompts=4, verify_prompts=5, verify_every=3, max_tokens=4)
    rewarded = []

    def reward(chats):
        rewarded.extend(chat["row_id"] for chat in chats)
        return lambda rows: np.arange(len(rows), dtype=np.float32)

    watch = policy.watch(HERE, p, tokenizer, reward)
    assert watch.every == 3 and watch.figures(model) == {"verifier": 0.5, "reward": 2.0}
    assert judged == [[f"row {i}" for i in range(4, 9)]] and rewarded == judged[0]
    assert watch.identity == ["reference", 3, judged[0]]


@pytest.mark.parametrize("left, wanted", [(5, 6), (0, 1)])
def test_too_few_held_out_prompts_are_named(left, wanted, project, judged, tiny_folder):
    p = replace(P, heldout_prompts=len(CHATS) - left, verify_prompts=wanted)
    with pytest.raises(UserError) as raised:
        policy.watch(HERE, p, build.load(str(tiny_folder))[1], lambda chats: None)
    said = str(raised.value)
    assert f"{left} held-out prompts are left beside the first {len(CHATS) - left}" in said
    assert "params.yaml: srf.rl.verify_prompts" in said and f"expected: {wanted}, and at least 1" in said


def test_nothing_watches_where_no_scorer_is_independent(project, monkeypatch):
    monkeypatch.setattr(policy.data, "independent_scorer", lambda here: None)
    assert policy.watch(HERE, P, None, None) is None


def test_the_parameters_are_the_knobs_and_the_limits_of_the_training(project, judged, monkeypatch):
    seen = {}

    def optimise(task, knobs, limits, run):
        seen.update(task=task, knobs=knobs, limits=limits, run=run)
        return Outcome(SimpleNamespace(), Measured([], [], exact(0.0), exact(1.0)), [], [])

    monkeypatch.setattr(policy, "optimise", optimise)
    p = replace(P, heldout_prompts=4, verify_prompts=5)
    sft, reward_model = HERE.of("sft").checkpoint, HERE.of("reward_model").checkpoint
    policy.learn(HERE, sft, reward_model, CHATS[:3], CHATS[:4], p, 7, project / "scratch")
    assert seen["knobs"] == seen["limits"] == p
    assert seen["task"].prompts == CHATS[:3] and seen["task"].watch.every == p.verify_every
    assert seen["run"].scratch == project / "scratch"
    first = seen["run"].origin
    policy.learn(HERE, reward_model, reward_model, CHATS[:3], CHATS[:4], p, 7, project / "scratch")
    assert seen["run"].origin != first  # from another start it is another run
