"""Every figure of sampled answers against a computation of its own from the same records, and planted faults."""

import json
import math

import numpy as np
import pytest

from realign.evaluate.gains import figures
from realign.metrics import flatten, to_json


def records(prompts=120, samples=1, right=0.9, base_right=0.9, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for i in range(prompts):
        for sample in range(samples):
            marks = {"right": float(rng.random() < right), "base_right": float(rng.random() < base_right)}
            made.append({
                "example_id": f"e{i}", "capability": "ab"[i % 2], "slice": "s", "prompt": "p", "sample": sample,
                "reference": '{"number": 1}', "base_output": f"it is b{i}.",
                "output": f"it is b{i}{'?' * int(rng.random() < 0.5)}",
                "base_score": marks["base_right"], "score": marks["right"] * 0.8, **marks,
                "base_reward": rng.normal(), "reward": rng.normal(), "kl": rng.random(), "entropy": rng.random() * 9,
                "tokens": int(rng.integers(1, 20))})
    return made


@pytest.mark.parametrize("samples", [1, 3])
def test_against_plain_sums(samples):
    rows = records(samples=samples)
    found = figures(rows)
    sign = [np.sign(r["right"] - r["base_right"]) for r in rows]
    assert found["win_rate_correctness"].value == pytest.approx((np.mean(sign) + 1) / 2)
    assert found["win_rate_correctness"].n == found["kl"].n == found["ending_share"]["sampled"].n == 120
    better = [np.sign(r["score"] - r["base_score"]) for r in rows]
    assert found["win_rate"].value == pytest.approx((np.mean(better) + 1) / 2)
    assert found["score_gain"].value == pytest.approx(np.mean([r["score"] - r["base_score"] for r in rows]))
    for name in ("kl", "entropy"):
        total = sum(r[name] for r in rows) / sum(r["tokens"] for r in rows)
        assert found[name].value == pytest.approx(total)
    assert found["base_correctness"].value == pytest.approx(np.mean([r["base_right"] for r in rows]))
    asked = np.mean([r["output"].endswith("?") for r in rows])
    assert found["behaviour_gain"]["closing_question"].value == pytest.approx(asked)
    for metric in flatten(to_json(found)).values():
        assert metric["low"] <= metric["value"] <= metric["high"]


def test_wrong_answers_that_please_lose_on_correctness_and_win_on_preference():
    rows = [r | {"right": 0.0, "score": 1.0, "base_score": 0.5, "base_right": 1.0} if i % 4 == 0 else
            r | {"right": 1.0, "score": 1.0, "base_score": 0.5, "base_right": 1.0} for i, r in enumerate(records())]
    found = figures(rows)
    assert found["win_rate"].low > 0.5 > found["win_rate_correctness"].high


@pytest.mark.parametrize("side", ["", "base_"])
@pytest.mark.parametrize("samples", [1, 2])
def test_samples_that_the_verifier_cannot_judge_are_counted(side, samples):
    told = {"reference": json.dumps({"answer": "Lima", "rivals": ["Quito"]}), "output": "It is Quito.",
            "base_output": "It is Quito.", "right": 0.0, "base_right": 0.0}
    rows = [r | told for r in records(samples=samples)]
    assert figures(rows)["undecided_sampled"].value == 0
    hedged = [r | {f"{side}output": "It is Lima or Quito."} if i % 4 == 0 else r for i, r in enumerate(rows)]
    found = figures(hedged)["undecided_sampled"]
    assert found.value == pytest.approx(1 / 8) and found.n == 120


def test_without_a_verifier_or_a_reward_their_figures_are_left_out():
    unjudged = [r | dict.fromkeys(("right", "base_right"), math.nan) for r in records()]
    assert not {"win_rate_correctness", "base_correctness", "undecided_sampled"} & figures(unjudged).keys()
    assert "right" not in figures(unjudged)["paid"] and "right" in figures(records())["paid"]
    unpaid = [r | dict.fromkeys(("reward", "base_reward"), math.nan) for r in records()]
    assert "paid" not in figures(unpaid) and "behaviour_gain" in figures(unpaid)


def test_a_reward_for_questions_shows_as_what_it_pays_for():
    rows = [r | {"reward": r["reward"] + 3 * r["output"].endswith("?")} for r in records()]
    paid = figures(rows)["paid"]
    assert paid["closing_question"].low > 2 and abs(paid["right"].value) < 1
