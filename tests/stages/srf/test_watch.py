"""What watches a policy's reward: a scorer that is another, on prompts that the stage's own figures do not use."""

from dataclasses import replace
from pathlib import Path

import pytest

from realign import params
from realign.errors import UserError
from realign.evaluate import responses
from realign.stage import Stage
from realign.verify.reference import Score
from stages.common import data
from stages.srf import rl

ROOT = Path(__file__).resolve().parents[3]
HERE = Stage("srf", "rl")
CHATS = [{"row_id": f"row {i}", "messages": []} for i in range(9)]


@pytest.mark.parametrize("demo, name, there", [
    (True, "reference", True), (True, "reward:some", True), (False, "reference", False), (False, "reward:some", True)])
def test_a_watch_is_there_where_it_is_another_than_the_reward(demo, name, there, monkeypatch):
    monkeypatch.setattr(data, "settings", lambda here: data.Data("demo" if demo else "pairs.jsonl", 0.0, 1.0))
    monkeypatch.setattr(Stage, "params", lambda here, kind, *_, **__: kind(name, ""))
    monkeypatch.setattr(data, "scorer", lambda here: "the scorer")
    assert data.independent_scorer(HERE) == ("the scorer" if there else None)


def test_it_asks_prompts_that_the_figures_of_the_stage_do_not_use(monkeypatch):
    asked = []

    def scorer(chats, texts):
        asked.extend(chats)
        return [Score(len(text) / 10, "test", {}) for text in texts]

    def reward(chats):
        assert [chat["row_id"] for chat in chats] == [f"row {i}" for i in range(4, 9)]
        return lambda rows: rows.mean(keepdims=True)

    p = replace(params.load("srf.rl", rl.Rl, ROOT / "params.yaml"), heldout_prompts=4, verify_prompts=5, verify_every=3)
    monkeypatch.setattr(data, "independent_scorer", lambda here: scorer)
    monkeypatch.setattr(data, "prompts", lambda here, split: CHATS if split == "validation" else [])
    monkeypatch.setattr(Stage, "params", lambda here, kind, *_, **__: kind("reference", ""))
    monkeypatch.setattr(responses, "at_temperature", lambda *_: "sampling")
    monkeypatch.setattr(responses, "rows", lambda *_: rl.np.array([0.2, 0.4]))
    monkeypatch.setattr(responses, "texts", lambda *_: ["aa", "aaaa"])
    found = rl.watch(HERE, p, None, reward)
    assert (found.every, found.identity) == (3, ["reference", 3, [f"row {i}" for i in range(4, 9)]])
    assert found.figures(None) == pytest.approx({"verifier": 0.3, "reward": 0.3}) and asked == CHATS[4:]
    with pytest.raises(UserError, match="5 held-out prompts are left beside the first 4"):
        rl.watch(HERE, replace(p, verify_prompts=6), None, reward)


def test_without_a_scorer_nothing_watches(monkeypatch):
    monkeypatch.setattr(data, "independent_scorer", lambda here: None)
    assert rl.watch(HERE, params.load("srf.rl", rl.Rl, ROOT / "params.yaml"), None, None) is None
