"""Policies of a few thousand parameters that really learn what they are paid for: wires, remedies, what is kept."""

from dataclasses import replace

import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign import params
from realign.errors import UserError
from realign.metrics import exact
from realign.models import build
from realign.train import loop, memory
from realign.train.policy import PolicySettings
from realign.verify.reference import Score
from stages.srf import judge, policies, rl, source
from stages.srf.measure import Measured, Models
from stages.srf.policies import Knobs, Limits, Verifier, optimise, remedy
from tests.stages.srf.small import ROOT

LIMITS = Limits(kl=100.0, entropy_low=0.0, entropy_high=100.0, length_factor=100.0, gaming_fall=0.05, attempts=1)
CHATS = [{"row_id": f"row {i}", "messages": [{"role": "user", "content": f"What is {name}?"}]}
         for i, name in enumerate(["gold", "Peru", "Lima", "Ada", "Au", "a metal", "an apple", "it", "its symbol"])]
STOPS = tuple(range(260, 320))


def earned(text: str) -> float:
    return min(text.count("a") + text.count("i"), 3) / 3


def score(worth):
    return lambda chats, texts: [Score(worth(text), "test", {}) for text in texts]


@pytest.fixture
def run(tiny, tiny_folder, tmp_path, monkeypatch):
    """`run(reward, limits, verifier, **knobs)`: what `optimise` gives; `reward` of a row and of its text."""
    reference, tokenizer, _ = build.load(str(tiny_folder))
    models = Models(tokenizer, reference, None, None, build.pad_token(tokenizer))
    monkeypatch.setattr(policies.capabilities, "stop_tokens", lambda _: STOPS)

    def judged(policy):
        return Measured([], [], np.zeros(0), exact(0.0), exact(1.0))

    def made(reward=lambda row, text: earned(text), limits=LIMITS, verifier=None, rollouts=12, rate=1e-2):
        def rewarder(models, chats):
            return lambda rows: np.array([reward(row, text) for row, text in
                                          zip(rows, policies.texts(tokenizer, rows), strict=True)], np.float32)

        monkeypatch.setattr(policies, "rewarder", rewarder)
        settings = PolicySettings("ppo", rollouts, 32, 32, 1, 0.0, 0.0, 1.0, 0.5, 0.2, 1.0, 0.95)
        return optimise(lambda: build.load(str(tiny_folder))[0], models, CHATS * 4, Knobs(rate, 0.0, settings),
                        limits, judged, max_tokens=8, seed=0, scratch=tmp_path / "run", origin="test", verifier=verifier)

    made.models = models
    return made


def verifier_of(worth, every=3):
    return Verifier("test", score(worth), CHATS * 4, every)


def figures(history):
    return [record["validation_verifier"] for record in history if "validation_verifier" in record]


def test_a_reward_that_rises_while_the_verifier_falls_is_named_and_tried_again_tamer(run):
    verifier = verifier_of(lambda text: 1 - earned(text))
    policy, _, history, attempts = run(limits=replace(LIMITS, attempts=2), verifier=verifier, rate=2e-2)
    assert [a.fault for a in attempts] == ["reward_gaming"] * 2
    assert attempts[1].knobs == remedy(attempts[0].knobs, "reward_gaming")
    assert policies.tried(attempts)["remedied"]["reward_gaming"].value == 2
    seen = figures(history)
    assert len(history) < 12 and seen[-1] < seen[0] - 0.05
    kept = verifier.figures(policy, run.models, 8, 0)["verifier"]
    assert kept == pytest.approx(seen[0]) and kept > seen[-1]  # the last good weights


def test_a_verifier_that_rises_too_lets_the_run_end_at_its_last_step(run):
    verifier = verifier_of(earned)
    policy, _, history, attempts = run(verifier=verifier)
    assert [a.fault for a in attempts] == [None] and len(history) == 12
    seen = figures(history)
    assert len(seen) == 4 and seen[-1] > seen[0] + 0.05
    assert verifier.figures(policy, run.models, 8, 0)["verifier"] == pytest.approx(seen[-1])


def test_where_the_verifier_sees_no_difference_the_last_weights_are_kept(run):
    verifier = verifier_of(lambda text: 0.5)
    policy, _, history, _ = run(verifier=verifier)
    seen = [record["validation_reward"] for record in history if "validation_reward" in record]
    assert len(set(seen)) == 4
    assert verifier.figures(policy, run.models, 8, 0)["reward"] == pytest.approx(seen[-1])


def test_gaming_that_the_last_evaluation_alone_shows_is_named_too(run):
    _, _, history, attempts = run(verifier=verifier_of(lambda text: 1 - earned(text), every=6))
    assert [a.fault for a in attempts] == ["reward_gaming"] and len(history) == 12


@pytest.mark.parametrize("factor, fault", [(1.3, "length_drift"), (3.0, None)])
def test_answers_that_grow_are_stopped(factor, fault, run):
    _, _, history, attempts = run(lambda row, text: sum(row.mask) / 8, replace(LIMITS, length_factor=factor),
                                 rollouts=30, rate=2e-2)
    assert [a.fault for a in attempts] == [fault]
    lengths = [record["length"] for record in history]
    assert (len(lengths) == 30) == (fault is None)
    assert fault or max(lengths) > 1.3 * lengths[0]  # which the other wire would have stopped


@pytest.mark.parametrize("fault", ["length_drift", "reward_gaming", "kl"])
def test_the_remedy_for_what_runs_away_is_to_go_slower_and_stay_near(fault):
    knobs = Knobs(1e-4, 0.05, PolicySettings("ppo", 2, 8, 8, 1, 0.1, 0.01, 1.0, 0.5, 0.2, 1.0, 0.95))
    assert remedy(knobs, fault) == Knobs(5e-5, 0.05, replace(knobs.policy, kl_penalty=0.2))


def weights(policy):
    return {name: np.array(value) for name, value in tree_flatten(policy.parameters())}


def test_what_does_not_fit_is_cut_and_teaches_the_same(run, monkeypatch, capsys):
    whole, _, _, _ = run(rollouts=1)
    told = capsys.readouterr()
    assert "memory: 32 rows at once" in told.err and not told.out
    monkeypatch.setattr(memory, "search", lambda measure, most, limit, held: (5, measure(5), {5: 0}))
    parts = []
    update = loop.update

    def counted(model, optimizer, value_and_grad, batches, *rest):
        parts.append(len(batches))
        return update(model, optimizer, value_and_grad, batches, *rest)

    monkeypatch.setattr(loop, "update", counted)
    cut, _, _, _ = run(rollouts=1)
    assert "memory: 5 rows at once" in capsys.readouterr().err and parts[-1] == 7
    expected, found = weights(whole), weights(cut)
    for name, value in expected.items():
        # AdamW's first step is the sign of a gradient nearly: those that are nothing but rounding may differ.
        assert np.mean(np.abs(found[name] - value) > 1e-4) < 0.01, name


@pytest.mark.parametrize("data, scorer, there", [
    ("world", "reference", True), ("world", "reward:some", True), ("pairs.jsonl", "reference", False),
    ("pairs.jsonl", "reward:some", True)])
def test_a_verifier_is_there_where_it_is_another_than_the_reward(data, scorer, there, tmp_path, monkeypatch):
    (tmp_path / "world").mkdir()
    monkeypatch.setattr(judge.params, "load", lambda section, kind: scorer)
    monkeypatch.setattr(judge, "scorer", lambda: "the scorer")
    found = judge.verifier(source.Data(str(tmp_path / data), 0.0, 1.0))
    assert found == ("the scorer" if there else None)


def test_the_verifier_asks_prompts_that_the_figures_of_the_stage_do_not_use(monkeypatch):
    monkeypatch.setattr(judge, "verifier", lambda data: score(earned))
    monkeypatch.setattr(source, "prompts", lambda data, split: CHATS if split == "validation" else [])
    p = params.load("srf.rl", rl.Rl, ROOT / "params.yaml")
    monkeypatch.setattr(rl.params, "load", lambda section, kind: "reference")
    p = replace(p, heldout_prompts=4, verify_prompts=5)
    assert [chat["row_id"] for chat in rl.verifier(p, None).chats] == [f"row {i}" for i in range(4, 9)]
    with pytest.raises(UserError, match="5 held-out prompts are left beside the first 4"):
        rl.verifier(replace(p, verify_prompts=6), None)
