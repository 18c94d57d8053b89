"""Policies of a few thousand parameters that really learn what they are paid for: stop conditions, what is kept."""

import json
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.evaluate import responses
from realign.metrics import Metric, exact
from realign.models import build, chat
from realign.models.generate import Sampling
from realign.objectives.policy import WITH_CRITIC
from realign.train import loop, memory, optimise, remedies
from realign.train.optimise import Run, Task, Watch, gaming, stop_conditions
from realign.train.remedies import remedy
from realign.train.settings import Limits, Policy

LIMITS = Limits(kl_limit=100.0, entropy_low=0.0, entropy_high=100.0, length_factor=100.0, gaming_fall=0.05, attempts=1)
CHATS = [{"row_id": f"row {i}", "messages": [{"role": "user", "content": f"What is {name}?"}]}
         for i, name in enumerate(["gold", "Peru", "Lima", "Ada", "Au", "a metal", "an apple", "it", "its symbol"])] * 4
KNOBS = Policy(seed=0, algorithm="ppo", rollouts=12, prompts_per_rollout=32, minibatch=32, epochs=1, learning_rate=1e-2,
               warmup=0.0, kl_penalty=0.0, entropy_bonus=0.0, reward_scale=1.0, value_weight=0.5, clip=0.2,
               improbable_penalty=0.0, discount=1.0, gae_lambda=0.95, max_tokens=8)
STOPS = tuple(range(260, 320))


@dataclass(frozen=True)
class Drift:
    """What held-out prompts say of a policy."""

    kl: Metric
    entropy: Metric


def earned(text: str) -> float:
    return min(text.count("a") + text.count("i"), 3) / 3


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch):
    """`run(reward, limits, watch, measure, **knobs)`: what `optimise` gives; `reward` of a row and of its text."""
    reference, tokenizer, _ = build.load(str(tiny_folder))
    for room in (chat, responses, optimise):
        monkeypatch.setattr(room, "stop_tokens", lambda _: STOPS)

    def rewards(reward):
        return lambda rows: np.array([reward(row, text) for row, text in
                                      zip(rows, responses.texts(tokenizer, rows), strict=True)], np.float32)

    def watch_of(worth, every=3, reward=lambda row, text: earned(text)):
        def figures(policy):
            rows = responses.rows(policy, tokenizer, CHATS, Sampling(8, 1.0, stop_tokens=STOPS), seed=0)
            scores = [worth(text) for text in responses.texts(tokenizer, rows)]
            return {"verifier": float(np.mean(scores)), "reward": float(rewards(reward)(rows).mean())}

        return Watch(figures, every, ["test", every])

    def made(reward=lambda row, text: earned(text), limits=LIMITS, watch=None, measure=None, **knobs):
        task = Task(WITH_CRITIC, lambda: build.load(str(tiny_folder))[0], reference, tokenizer, CHATS, rewards(reward),
                    measure or (lambda policy: Drift(exact(0.0), exact(1.0))), watch)
        found = optimise.optimise(task, replace(KNOBS, **knobs), limits, Run(tmp_path / "run", "test"))
        return found.policy, found.history, found.attempts

    made.watch_of, made.reference, made.scratch = watch_of, reference, tmp_path / "run"
    return made


def figures(history):
    return [record["validation_verifier"] for record in history if "validation_verifier" in record]


def test_a_reward_that_rises_while_the_verifier_falls_is_named_and_tried_again_tamer(run):
    watch = run.watch_of(lambda text: 1 - earned(text))
    policy, history, attempts = run(limits=replace(LIMITS, attempts=2), watch=watch, learning_rate=2e-2)
    assert [a.fault for a in attempts] == ["reward_gaming"] * 2
    assert attempts[0].knobs == replace(KNOBS, learning_rate=2e-2)
    assert attempts[1].knobs == remedy(attempts[0].knobs, "reward_gaming")
    assert remedies.tried(attempts)["remedied"]["reward_gaming"].value == 2
    seen = figures(history)
    assert len(history) < 12 and seen[-1] < seen[0] - 0.05
    kept = watch.figures(policy)["verifier"]
    assert kept == pytest.approx(seen[0]) and kept > seen[-1]  # the last good weights


def test_a_verifier_that_rises_too_lets_the_run_end_at_its_last_step(run):
    watch = run.watch_of(earned)
    policy, history, attempts = run(watch=watch, learning_rate=2e-2)
    assert [a.fault for a in attempts] == [None] and len(history) == 12
    seen = figures(history)
    assert len(seen) == 4 and seen[-1] > seen[0] + 0.05
    assert watch.figures(policy)["verifier"] == pytest.approx(seen[-1])


def test_where_the_verifier_sees_no_difference_the_last_weights_are_kept(run):
    watch = run.watch_of(lambda text: 0.5)
    policy, history, _ = run(watch=watch)
    seen = [record["validation_reward"] for record in history if "validation_reward" in record]
    assert len(set(seen)) == 4
    assert watch.figures(policy)["reward"] == pytest.approx(seen[-1])


def test_gaming_that_the_last_evaluation_alone_shows_is_named_too(run):
    _, history, attempts = run(watch=run.watch_of(lambda text: 1 - earned(text), every=6))
    assert [a.fault for a in attempts] == ["reward_gaming"] and len(history) == 12


@pytest.mark.parametrize("factor, fault", [(1.3, "length_drift"), (3.0, None)])
def test_answers_that_grow_are_stopped(factor, fault, run):
    _, history, attempts = run(lambda row, text: sum(row.mask) / 8, replace(LIMITS, length_factor=factor),
                               rollouts=30, learning_rate=2e-2)
    assert [a.fault for a in attempts] == [fault]
    lengths = [record["length"] for record in history]
    assert (len(lengths) == 30) == (fault is None)
    assert fault or max(lengths) > 1.3 * lengths[0]  # which the other limit would have stopped


def test_what_held_out_prompts_say_is_a_fault_too_until_an_attempt_keeps_the_limits(run):
    told, seen = iter([Drift(exact(0.5), exact(1.0)), Drift(exact(0.1), exact(0.2)), Drift(exact(0.1), exact(1.0))]), []

    def measure(policy):
        seen.append(policy)
        return next(told)

    limits = replace(LIMITS, kl_limit=0.2, entropy_low=0.5, attempts=5)
    policy, _, attempts = run(limits=limits, measure=measure, rollouts=1, learning_rate=1e-4)
    assert [a.fault for a in attempts] == ["kl", "entropy_low", None]
    first, second, third = (a.knobs for a in attempts)
    assert second == remedy(first, "kl") and third == remedy(second, "entropy_low")
    assert policy is seen[-1] and len({id(p) for p in seen}) == 3  # each from the start, the last stands


def test_the_last_attempt_stands_where_none_keeps_the_limits(run):
    policy, _, attempts = run(limits=replace(LIMITS, kl_limit=0.2, attempts=2), rollouts=1,
                              measure=lambda policy: Drift(exact(0.5), exact(1.0)))
    assert [a.fault for a in attempts] == ["kl", "kl"]
    assert any((value != weights(run.reference)[name]).any() for name, value in weights(policy).items())


def test_a_run_far_outside_its_limits_is_stopped_in_the_middle(run):
    _, history, attempts = run(limits=replace(LIMITS, kl_limit=0.02), learning_rate=3e-2, rollouts=12,
                               measure=lambda policy: Drift(exact(0.0), exact(1.0)))
    assert [a.fault for a in attempts] == ["kl"] and len(history) < 12


def step(**figures) -> list[dict]:
    return [{"loss": 1.0, "kl": 0.0, "entropy": 1.0, "length": 8.0} | figures]


def test_the_conditions_by_hand():
    limits = replace(LIMITS, kl_limit=0.2, entropy_low=0.5, length_factor=2.0)
    stop = stop_conditions(limits, gaming(limits, {}))
    assert stop(step()) is None
    assert stop(step(kl=0.4)) is None and stop(step(kl=0.41)).startswith("kl 0.410")  # twice the limit
    assert stop(step(entropy=0.25)) is None and stop(step(entropy=0.24)).startswith("entropy_low")  # half of it
    assert stop(step(entropy=99.0)) is None  # held-out prompts alone tell of that
    assert stop(step() + step(length=16.1)).startswith("length_drift")
    assert stop(step(loss=float("nan"), kl=9.0)).startswith("loss")


def test_gaming_counts_from_before_the_run():
    seen = [{"validation_reward": reward, "validation_verifier": verifier}
            for reward, verifier in ((0.4, 0.7), (0.5, 0.6))]
    assert gaming(LIMITS, {})(seen) is None  # two evaluations alone cannot tell
    assert gaming(LIMITS, {"reward": 0.3, "verifier": 0.8})(seen).startswith("reward_gaming")
    assert gaming(LIMITS, {"reward": 0.6, "verifier": 0.8})(seen) is None


def weights(policy) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in tree_flatten(policy.parameters())}


def test_what_does_not_fit_is_cut_and_teaches_the_same(run, monkeypatch, capsys):
    whole, _, _ = run(rollouts=1)
    told = capsys.readouterr()
    assert "memory: 32 rows at once" in told.err and not told.out
    monkeypatch.setattr(memory, "search", lambda measure, most, limit, held: (5, measure(5), {5: 0}))
    parts = []
    update = loop.update

    def counted(model, optimizer, value_and_grad, batches, *rest):
        parts.append(len(batches))
        return update(model, optimizer, value_and_grad, batches, *rest)

    monkeypatch.setattr(loop, "update", counted)
    cut, _, _ = run(rollouts=1)
    assert "memory: 5 rows at once" in capsys.readouterr().err and parts[-1] == 7
    expected, found = weights(whole), weights(cut)
    for name, value in expected.items():
        # AdamW's first step is the sign of a gradient nearly: those that are nothing but rounding may differ.
        assert np.mean(np.abs(found[name] - value) > 1e-4) < 0.01, name


def test_a_killed_run_goes_on_in_its_attempt_and_another_run_does_not(run, monkeypatch):
    """Checkpoints come every fifth rollout; one knob, limit or identity changed makes another run."""
    class Killed(Exception):
        pass

    def dying(name):
        def show(now, *_):
            if now == 7:
                raise Killed

        return show

    small = {"rollouts": 8, "prompts_per_rollout": 12, "minibatch": 12}
    expected, history, _ = run(**small)
    ids = [id_of(run)]
    shutil.rmtree(run.scratch)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(optimise, "bar", dying)
        run(**small)
    made, asked = optimise.Rollouts.micro_batches, []
    monkeypatch.setattr(optimise.Rollouts, "micro_batches", lambda self, now: asked.append(now) or made(self, now))
    resumed, its_history, _ = run(**small)
    assert asked == [5, 6, 7] and its_history == history
    for name, value in weights(expected).items():
        np.testing.assert_array_equal(weights(resumed)[name], value, err_msg=name)
    assert id_of(run) == ids[0]
    for change in ({"max_tokens": 7}, {"limits": replace(LIMITS, kl_limit=99.0)},
                   {"watch": run.watch_of(lambda text: 0.5, every=8)}):
        asked.clear()
        run(**small | change)
        assert asked == list(range(8)), change
        ids.append(id_of(run))
    assert len(set(ids)) == 4


def id_of(run) -> str:
    """The id of the run whose checkpoint lies there."""
    return json.loads((run.scratch / "attempt_1" / "progress.json").read_text())["run_id"]
