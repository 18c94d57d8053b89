"""GRPO, Dr. GRPO and DAPO on a tiny policy's rollouts: batches against float64 NumPy, and a task to learn."""

from dataclasses import asdict, replace

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

from realign import params
from realign.errors import UserError
from realign.models.chat import Encoded
from realign.models.generate import Completion, Sampling, generate
from realign.objectives import group
from realign.objectives.group import GroupSettings, loss_of
from realign.objectives.losses.policy import Grpo
from realign.train import loop
from realign.train import rollouts as rolling
from realign.train.loop import Settings, train
from realign.train.rollouts import Rollouts

STOPS = (3, *range(20, 26))  # several, so that some rows stop
KINDS = {
    "grpo": {},
    "dr_grpo": {"scale": "none", "kl": "sampled",
                "loss": Grpo(kl_weight=0.1, aggregate="constant", max_tokens=9)},
    "dapo": {"kl": "sampled", "loss": Grpo(clip_high=0.28, kl_weight=0.0, aggregate="token")},
}


def settings_of(kind="grpo", **changes) -> GroupSettings:
    made = GroupSettings(rollouts=2, prompts_per_rollout=3, samples=4, minibatch=5, epochs=2, scale="std", kl="exact",
                         loss=Grpo())
    return replace(made, **KINDS[kind] | changes)


def reward_of(rows) -> np.ndarray:
    return np.array([sum(r.tokens) % 7 / 7 for r in rows], np.float32)


@pytest.fixture
def rollouts(tiny):
    """`rollouts(kind, **changes)`: rollouts of a tiny policy against a reference of another seed."""
    def make(kind="grpo", reward=reward_of, reference=5, **changes):
        rng = np.random.default_rng(1)
        prompts = [rng.integers(4, 48, n).tolist() for n in rng.integers(1, 12, 7)]
        return Rollouts(tiny(0), tiny(reference), prompts, reward, Sampling(9, stop_tokens=STOPS),
                        settings_of(kind, **changes), 0, group.estimate)
    return make


def full_logprobs(model, row) -> np.ndarray:
    """Float64, over the vocabulary, where the row's sampled tokens are predicted; one row, nothing padded."""
    logits = np.array(model(mx.array([row.tokens])), np.float64)[0, row.mask.index(1) - 1:-1]
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def sampled(row) -> list[int]:
    return row.tokens[row.mask.index(1):]


def moved(model, by=0.3):
    """The model with every weight a little elsewhere, as after some updates."""
    keys = iter(mx.random.split(mx.random.key(3), 200))
    model.update(tree_map(lambda w: w + by * mx.std(w) * mx.random.normal(w.shape, key=next(keys)),
                          model.parameters()))
    return model


def test_a_prompts_samples_stand_side_by_side_and_differ(rollouts):
    made = rollouts()
    rows = made._collect(0).rows
    assert len(rows) == 12
    for start in range(0, 12, 4):
        prompts = {tuple(r.tokens[:r.mask.index(1)]) for r in rows[start:start + 4]}
        assert len(prompts) == 1 and list(*prompts) in made.prompts
        assert len({tuple(r.tokens) for r in rows[start:start + 4]}) > 1
    assert len({tuple(r.tokens[:r.mask.index(1)]) for r in rows}) == 3


def test_old_logprobs_are_those_of_a_fresh_pass(rollouts):
    made = rollouts()
    rollout = made._collect(0)
    for row, logprobs in zip(rollout.rows, rollout.columns["logprobs"], strict=True):
        fresh = full_logprobs(made.model, row)[np.arange(len(logprobs)), sampled(row)]
        np.testing.assert_allclose(logprobs, fresh, atol=1e-4)


def test_reference_logprobs_are_those_of_a_fresh_pass(rollouts, tiny):
    rollout = rollouts("dapo")._collect(0)
    assert "reference_logits" not in rollout.columns
    for row, logprobs in zip(rollout.rows, rollout.columns["reference_logprobs"], strict=True):
        fresh = full_logprobs(tiny(5), row)[np.arange(len(logprobs)), sampled(row)]
        np.testing.assert_allclose(logprobs, fresh, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_minibatch_cut_into_micro_batches_teaches_the_same(kind, rollouts):
    def learnt(micro):
        made = rollouts(kind)
        made.micro = micro
        moved(made.model, 0.1)
        parts = made.micro_batches(0)
        differentiate = nn.value_and_grad(made.model, loss_of(made.settings))
        _, weight, sums = found = loop.gradients(made.model, differentiate, parts)
        flat = dict(tree_flatten(found[0]))
        return len(parts), weight.item(), {k: np.array(v) / weight.item() for k, v in (flat | sums).items()}

    (one, weight, expected), (three, its_weight, found) = learnt(5), learnt(2)
    assert (one, three) == (1, 3) and weight == its_weight
    for name, wanted in expected.items():
        np.testing.assert_allclose(found[name], wanted, atol=1e-5, err_msg=name)


def test_hand_worked_advantages(rollouts):
    # One right of four: mean 1/4, sample deviation 1/2. Two of four: 1/2 and 1/√3. None: nothing to learn.
    earned = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0], np.float32)
    by_kind = {"grpo": [1.5, -0.5, -0.5, -0.5, *np.array([1, 1, -1, -1]) * 3 ** 0.5 / 2, 0, 0, 0, 0],
               "dr_grpo": [0.75, -0.25, -0.25, -0.25, 0.5, 0.5, -0.5, -0.5, 0, 0, 0, 0]}
    for kind, expected in by_kind.items():
        made = rollouts(kind, reward=lambda rows: earned)
        rollout = made._collect(0)
        for row, found, advantage in zip(rollout.rows, rollout.columns["advantages"], expected, strict=True):
            assert len(found) == sum(row.mask)
            np.testing.assert_allclose(found, advantage, rtol=1e-3)
        assert made.figures()["zero_variance"] == pytest.approx(1 / 3)
        assert made.figures()["reward"] == pytest.approx(0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_that_earned_alike_do_not_move_the_policy(kind, rollouts):
    made = rollouts(kind, reward=lambda rows: np.full(len(rows), 0.1, np.float32), samples=3)
    assert all((a == 0).all() for a in made._collect(0).columns["advantages"])
    assert made.figures()["zero_variance"] == 1
    settings = replace(made.settings, loss=replace(made.settings.loss, kl_weight=0.0))
    batch, = made.micro_batches(0)
    (total, count, stats), gradients = nn.value_and_grad(made.model, loss_of(settings))(made.model, batch)
    assert total.item() == 0 and count.item() > 0
    assert all(np.isfinite(x.item()) for x in stats.values())
    assert all((np.array(g) == 0).all() for _, g in tree_flatten(gradients))


def test_hand_worked_losses_before_the_first_update(rollouts):
    # Ratio 1 and, for its own reference, no KL: minus each answer's advantage, once or once a token.
    earned = np.array([1, 0, 0, 0] * 3, np.float32)
    for kind, share in {"grpo": lambda n: 1, "dr_grpo": lambda n: n / 9, "dapo": lambda n: n}.items():
        made = rollouts(kind, reward=lambda rows: earned, reference=0)
        batch, = made.micro_batches(0)
        total, weight, stats = loss_of(made.settings)(made.model, batch)
        _, rollout, order = made._current
        lengths = [sum(rollout.rows[i].mask) for i in order[0]]
        deviation = 1 if kind == "dr_grpo" else 0.5 + 1e-4
        expected = sum((0.25 - earned[i]) / deviation * share(n)
                       for i, n in zip(order[0], lengths, strict=True))
        assert total.item() == pytest.approx(expected, abs=1e-3)
        assert weight.item() == (sum(lengths) if kind == "dapo" else 5)
        assert stats["clip_fraction"].item() == 0
        assert stats["kl"].item() == pytest.approx(0, abs=1e-4)


def batch_in_numpy(made, model, reference, picks) -> dict[str, float]:
    """The sums of `loss_of` in float64, row by row, from the formulas in the papers."""
    s, rollout = made.settings, made._current[1]
    names = ("loss", "clip_fraction", "approx_kl", "kl", "entropy")
    sums, weight = dict.fromkeys(names, 0.0), 0
    rewards = reward_of(rollout.rows).astype(np.float64).reshape(-1, s.samples)
    advantages = rewards - rewards.mean(1, keepdims=True)
    if s.scale == "std":
        advantages /= rewards.std(1, ddof=1, keepdims=True) + 1e-4
    for i in picks:
        row, old, advantage = rollout.rows[i], rollout.columns["logprobs"][i], advantages.flat[i]
        p, q, places = full_logprobs(model, row), full_logprobs(reference, row), np.arange(len(old))
        gap = p[places, sampled(row)] - old
        ratio = np.exp(gap)
        clipped = np.clip(ratio, 1 - s.loss.clip_low, 1 + s.loss.clip_high)
        apart = (q - p)[places, sampled(row)]
        kl = (np.exp(p) * (p - q)).sum(-1) if s.kl == "exact" else np.exp(apart) - 1 - apart
        n = len(old)
        by_token = s.loss.aggregate == "token"
        per_token = {"clip_fraction": clipped * advantage < ratio * advantage, "kl": kl,
                     "approx_kl": ratio - 1 - gap, "entropy": -(np.exp(p) * p).sum(-1)}
        for name, x in per_token.items():
            sums[name] += x.sum() / (1 if by_token else n)
        loss = s.loss.kl_weight * kl - np.minimum(ratio * advantage, clipped * advantage)
        sums["loss"] += loss.sum() / {"token": 1, "sequence": n, "constant": 9}[s.loss.aggregate]
        weight += n if by_token else 1
    return sums | {"weight": weight}


def check_against_numpy(loss, made, tiny):
    batch, = made.micro_batches(0)
    model = moved(tiny(0))
    total, weight, stats = loss(model, batch)
    expected = batch_in_numpy(made, model, made.reference, made._current[2][0])
    assert expected["clip_fraction"] > 0 and expected["kl"] > 0.1  # both matter in what is compared
    found = {"loss": total, "weight": weight, **stats}
    assert {k: v.item() for k, v in found.items()} == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_the_sum_of_its_rows(kind, rollouts, tiny):
    made = rollouts(kind)
    check_against_numpy(loss_of(made.settings), made, tiny)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sign_flip_is_caught(kind, rollouts, tiny):
    made = rollouts(kind)

    def flipped(model, batch):
        return loss_of(made.settings)(model, batch | {"advantages": -batch["advantages"]})

    with pytest.raises(AssertionError):
        check_against_numpy(flipped, made, tiny)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_its_tokens(kind, rollouts):
    # At ratio 1 the surrogate's gradient is that of −A log π, weighted as the answers are; here row by row.
    made = rollouts(kind)
    settings = replace(made.settings, loss=replace(made.settings.loss, kl_weight=0.0))
    batch, = made.micro_batches(0)
    _, gradient = nn.value_and_grad(made.model, loss_of(settings))(made.model, batch)

    def plain(model):
        total, rollout = 0.0, made._current[1]
        for i in made._current[2][0]:
            row, advantage = rollout.rows[i], rollout.columns["advantages"][i][0].item()
            start, n = row.mask.index(1), sum(row.mask)
            logits = model(mx.array([row.tokens]))[0, start - 1:-1]
            share = {"sequence": n, "token": 1, "constant": 9}[settings.loss.aggregate]
            total = total + advantage * nn.losses.cross_entropy(logits, mx.array(sampled(row))).sum() / share
        return total

    _, expected = nn.value_and_grad(made.model, plain)(made.model)
    for (name, found), (_, wanted) in zip(tree_flatten(gradient), tree_flatten(expected), strict=True):
        np.testing.assert_allclose(np.array(found), np.array(wanted), atol=2e-4, err_msg=name)


def test_an_answer_without_a_token_weighs_nothing(rollouts, monkeypatch):
    nothing = np.zeros(0, np.float32)
    made, empty = rollouts(minibatch=12, epochs=1), Completion([], nothing, False, nothing)
    monkeypatch.setattr(rolling, "generate", lambda *a, **k: [empty, *generate(*a, **k)[1:]])
    batch, = made.micro_batches(0)
    loss = nn.value_and_grad(made.model, loss_of(made.settings))
    (total, count, stats), gradients = loss(made.model, batch)
    assert count.item() == 11
    for value in (total, *stats.values(), *(g for _, g in tree_flatten(gradients))):
        assert np.isfinite(np.array(value)).all()


@pytest.mark.parametrize(("wrong", "named"), [
    ({"samples": 1}, "at least 2"), ({"scale": "max"}, "one of std, none"), ({"kl": "k3"}, "one of exact, sampled"),
])
def test_wrong_settings_name_themselves(wrong, named):
    knobs = asdict(settings_of()) | wrong
    with pytest.raises(UserError, match=rf"grpo\.{next(iter(wrong))}(.|\n)*{named}"):
        params.convert({"grpo": knobs}, "grpo", GroupSettings)


@pytest.mark.parametrize("kind", KINDS)
def test_the_verified_reward_rises(kind, tiny, tmp_path):
    model, start, prompts = tiny(0), tiny(0), [[5], [6]]
    loss = KINDS[kind].get("loss", Grpo())
    settings = settings_of(kind, rollouts=20, prompts_per_rollout=2, samples=16, minibatch=32, epochs=1,
                           loss=replace(loss, kl_weight=0.0, max_tokens=min(loss.max_tokens, 1)))

    def verify(rows) -> np.ndarray:  # right is an odd number after 5, an even one after 6
        return np.array([r.tokens[-1] % 2 == r.tokens[0] % 2 for r in rows], np.float32)

    def chances(model) -> list[float]:
        return [np.exp(full_logprobs(model, Encoded([p, 0], [0, 1]))[0, p % 2::2]).sum() for p, in prompts]

    made = Rollouts(model, start, prompts, verify, Sampling(1), settings, 0, group.estimate)
    how = Settings(1e-2, warmup=0.0, weight_decay=0.0, log_every=1, checkpoint_every=1000)
    progress = train(model, loss_of(settings), made, how, scratch=tmp_path / "run", run_id=kind)
    assert max(chances(start)) < 0.7 and min(chances(model)) > 0.8
    assert progress.history[0]["reward"] < 0.7 and progress.history[-1]["reward"] > 0.8
