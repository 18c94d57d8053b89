from functools import partial

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign import params
from realign.errors import UserError
from realign.models.tokens import kl_divergence, token_logprobs
from realign.objectives.losses.policy import Grpo, a2c_loss, grpo_loss, kl_estimate, ppo_loss, value_loss

LOW, HIGH = 0.2, 0.3
GRPO = [
    Grpo(),
    Grpo(clip_high=0.28, kl_weight=0.0, aggregate="token"),
    Grpo(kl_weight=0.1, aggregate="constant", max_tokens=16),
]


def array(x):
    return mx.array(np.asarray(x, dtype=np.float32))


def random_rollout(seed=0):
    """Log-probabilities with ratios on both sides of the clip, old ones, advantages, mask; each (3, 5)."""
    rng = np.random.default_rng(seed)
    old = -rng.uniform(0.1, 4, (3, 5))
    mask = rng.integers(0, 2, (3, 5))
    mask[:, 2] = 1
    return old + rng.normal(0, 0.4, old.shape), old, rng.normal(0, 1, old.shape), mask


def graded(loss, x, *rest):
    (total, weight, stats), gradient = mx.value_and_grad(loss)(array(x), *map(array, rest))
    return total.item(), weight.item(), {k: v.item() for k, v in stats.items()}, np.array(gradient)


def surrogate(logprobs, old, advantages, low=LOW, high=HIGH):
    ratio = np.exp(logprobs - old)
    return -np.minimum(ratio * advantages, np.clip(ratio, 1 - low, 1 + high) * advantages)


def binding(logprobs, old, advantages, low=LOW, high=HIGH):
    ratio = np.exp(logprobs - old)
    return ((advantages > 0) & (ratio > 1 + high)) | ((advantages < 0) & (ratio < 1 - low))


def k3(logprobs, old):
    return np.exp(logprobs - old) - 1 - (logprobs - old)


def check_ppo(loss, numeric_gradient):
    loss = partial(loss, clip_low=LOW, clip_high=HIGH)
    # Four clip regions by hand, old probability 1/2 throughout.
    ratios, advantages = np.array([[1.5, 1.5, 0.5, 0.5]]), np.array([[2.0, -2.0, 2.0, -2.0]])
    half = np.full((1, 4), np.log(0.5))
    total, weight, stats, gradient = graded(loss, half + np.log(ratios), half, advantages, np.ones((1, 4)))
    assert total == pytest.approx(-2.6 + 3.0 - 1.0 + 1.6, abs=1e-4)
    np.testing.assert_allclose(gradient, [[0, 3.0, -1.0, 0]], atol=1e-4)
    assert (weight, stats["clip_fraction"]) == (4, 2)
    logprobs, old, advantages, mask = random_rollout()
    total, weight, stats, gradient = graded(loss, logprobs, old, advantages, mask)
    assert total == pytest.approx((surrogate(logprobs, old, advantages) * mask).sum(), abs=1e-4)
    expected = numeric_gradient(lambda x: (surrogate(x, old, advantages) * mask).sum(), logprobs)
    np.testing.assert_allclose(gradient, expected, atol=1e-4)
    assert weight == mask.sum()
    assert stats["clip_fraction"] == (binding(logprobs, old, advantages) * mask).sum()
    assert stats["approx_kl"] == pytest.approx((k3(logprobs, old) * mask).sum(), abs=1e-4)


def test_ppo(numeric_gradient):
    check_ppo(ppo_loss, numeric_gradient)


def test_ppo_sign_flip_is_caught(numeric_gradient, flipped):
    with pytest.raises(AssertionError):
        check_ppo(flipped(ppo_loss), numeric_gradient)


def test_ppo_without_its_clip_is_caught(numeric_gradient):
    def unclipped(*arguments, clip_low, clip_high):
        return ppo_loss(*arguments, clip_low=1.0, clip_high=1e9)
    with pytest.raises(AssertionError):
        check_ppo(unclipped, numeric_gradient)


def test_ppo_at_ratio_one_has_the_policy_gradient():
    _, old, advantages, mask = random_rollout()
    total, _, stats, gradient = graded(ppo_loss, old, old, advantages, mask)
    assert total == pytest.approx(-(advantages * mask).sum(), abs=1e-5)
    np.testing.assert_allclose(gradient, graded(a2c_loss, old, advantages, mask)[3], atol=1e-6)
    assert stats == {"clip_fraction": 0, "approx_kl": 0}


def test_ppo_without_advantage_does_not_move():
    logprobs, old, advantages, mask = random_rollout()
    total, _, _, gradient = graded(ppo_loss, logprobs, old, advantages * 0, mask)
    assert total == 0
    assert (gradient == 0).all()


def check_a2c(loss):
    logprobs, mask = [[np.log(0.5), np.log(0.25), -3.0]], [[1, 1, 0]]
    total, weight, stats, gradient = graded(loss, logprobs, [[2.0, -1.0, 7.0]], mask)
    assert total == pytest.approx(2 * np.log(2) - np.log(4), abs=1e-4)
    np.testing.assert_allclose(gradient, [[-2, 1, 0]], atol=1e-4)
    assert (weight, stats["logprob"]) == (2, pytest.approx(-np.log(8), abs=1e-4))
    logprobs, _, advantages, mask = random_rollout()
    total, _, _, gradient = graded(loss, logprobs, advantages, mask)
    assert total == pytest.approx(-(logprobs * advantages * mask).sum(), abs=1e-4)
    np.testing.assert_allclose(gradient, -advantages * mask, atol=1e-4)


def test_a2c():
    check_a2c(a2c_loss)


def test_a2c_sign_flip_is_caught(flipped):
    with pytest.raises(AssertionError):
        check_a2c(flipped(a2c_loss))


def np_value_loss(values, old, returns, mask, clip):
    error = (values - returns) ** 2
    held = (np.clip(values, old - clip, old + clip) - returns) ** 2 if clip else error
    return (0.5 * np.maximum(error, held) * mask).sum()


def check_value(loss, numeric_gradient):
    # Old value 1. Moved to 2 with return 3: held at 1.5 its error 2.25 is the larger, and gives no gradient.
    # Moved to 2 with return 0: its own error 4 is the larger. Moved to 1.2: inside the clip.
    values, old, returns = [[2.0, 2.0, 1.2]], [[1.0, 1.0, 1.0]], [[3.0, 0.0, 2.2]]
    total, weight, stats, gradient = graded(partial(loss, clip=0.5), values, old, returns, [[1, 1, 1]])
    assert total == pytest.approx(0.5 * (2.25 + 4 + 1), abs=1e-4)
    np.testing.assert_allclose(gradient, [[0, 2, -1]], atol=1e-4)
    assert (weight, stats["value_clip_fraction"]) == (3, 1)
    assert stats["squared_error"] == pytest.approx(1 + 4 + 1, abs=1e-4)
    for clip in (None, 0.3):
        values, old, returns, mask = random_rollout(4)
        total, _, _, gradient = graded(partial(loss, clip=clip), values, old, returns, mask)
        reference = partial(np_value_loss, old=old, returns=returns, mask=mask, clip=clip)
        assert total == pytest.approx(reference(values), abs=1e-4)
        np.testing.assert_allclose(gradient, numeric_gradient(reference, values), atol=1e-4)


def test_value(numeric_gradient):
    check_value(value_loss, numeric_gradient)


def test_a_value_that_moved_less_than_the_clip_is_not_counted_as_clipped():
    old = mx.random.normal((1, 500), key=mx.random.key(0))
    moved = old + mx.random.uniform(-0.19, 0.19, old.shape, key=mx.random.key(1))
    returns = mx.random.normal(old.shape, key=mx.random.key(2))
    _, _, stats = value_loss(moved, old, returns, mx.ones(old.shape), 0.2)  # rounding alone would count some
    assert stats["value_clip_fraction"].item() == 0


def test_value_sign_flip_is_caught(numeric_gradient, flipped):
    with pytest.raises(AssertionError):
        check_value(flipped(value_loss), numeric_gradient)


def np_grpo(logprobs, old, advantages, mask, ref, s):
    per_token = surrogate(logprobs, old, advantages[:, None], s.clip_low, s.clip_high)
    per_token = (per_token + s.kl_weight * k3(ref, logprobs)) * mask
    if s.aggregate == "token":
        return per_token.sum()
    divisor = mask.sum(1) if s.aggregate == "sequence" else s.max_tokens
    return (per_token.sum(1) / divisor).sum()


def check_grpo(loss, s, numeric_gradient):
    logprobs, old, advantages, mask = random_rollout(1)
    advantages = advantages[:, 0]
    ref = old + np.random.default_rng(2).normal(0, 0.5, old.shape)

    def with_kl(x, old, advantages, mask, ref):
        return loss(x, old, advantages, mask, kl_estimate(x, ref, mask), s)

    total, weight, stats, gradient = graded(with_kl, logprobs, old, advantages, mask, ref)
    assert total == pytest.approx(np_grpo(logprobs, old, advantages, mask, ref, s), abs=1e-4)
    expected = numeric_gradient(lambda x: np_grpo(x, old, advantages, mask, ref, s), logprobs)
    np.testing.assert_allclose(gradient, expected, atol=1e-4)
    by_token = s.aggregate == "token"
    assert weight == (mask.sum() if by_token else 3)
    share = mask / (1 if by_token else mask.sum(1, keepdims=True))
    clipped = binding(logprobs, old, advantages[:, None], s.clip_low, s.clip_high)
    assert stats["clip_fraction"] == pytest.approx((clipped * share).sum(), abs=1e-4)
    assert stats["approx_kl"] == pytest.approx((k3(logprobs, old) * share).sum(), abs=1e-4)
    assert stats["kl"] == pytest.approx((k3(ref, logprobs) * share).sum(), abs=1e-4)


@pytest.mark.parametrize("s", GRPO, ids=lambda s: s.aggregate)
def test_grpo(s, numeric_gradient):
    check_grpo(grpo_loss, s, numeric_gradient)


@pytest.mark.parametrize("s", GRPO, ids=lambda s: s.aggregate)
def test_grpo_sign_flip_is_caught(s, numeric_gradient, flipped):
    with pytest.raises(AssertionError):
        check_grpo(flipped(grpo_loss), s, numeric_gradient)


def test_hand_worked_grpo_aggregates():
    # Ratio 1: the loss per token is −A. Answers of 1 and 3 tokens with advantages 1 and −1.
    zeros, mask, advantages = np.zeros((2, 3)), [[0, 0, 1], [1, 1, 1]], [1.0, -1.0]
    expected = {"sequence": (0.0, 2), "token": (2.0, 4), "constant": (0.5, 2)}
    for aggregate, (total, weight) in expected.items():
        s = Grpo(aggregate=aggregate, max_tokens=4 if aggregate == "constant" else 0)
        found = graded(partial(grpo_loss, kl=None, settings=s), zeros, zeros, advantages, mask)
        assert found[0] == pytest.approx(total, abs=1e-6)
        assert found[1] == weight
        assert "kl" not in found[2]


def test_clip_higher_lets_a_good_token_rise_further():
    arguments = ([[np.log(0.625)]], [[np.log(0.5)]], [1.0], [[1]])  # ratio 1.25
    gradients = [
        graded(partial(grpo_loss, kl=None, settings=Grpo(clip_high=high)), *arguments)[3].item()
        for high in (0.2, 0.28)
    ]
    assert gradients == pytest.approx([0, -1.25])


def test_advantages_per_answer_or_per_token_are_the_same():
    logprobs, old, advantages, mask = random_rollout(1)
    loss = partial(grpo_loss, kl=None, settings=Grpo())
    per_answer = graded(loss, logprobs, old, advantages[:, 0], mask)
    per_token = graded(loss, logprobs, old, np.repeat(advantages[:, :1], 5, axis=1), mask)
    assert per_answer[:3] == per_token[:3]


def test_answers_without_a_token_weigh_nothing():
    logprobs, old, advantages, mask = random_rollout(1)
    mask[1] = 0
    for s in GRPO:
        loss = partial(grpo_loss, kl=None, settings=s)
        total, weight, stats, _ = graded(loss, logprobs, old, advantages[:, 0], mask)
        rest = [x[[0, 2]] for x in (logprobs, old, advantages[:, 0], mask)]
        alone = graded(loss, *rest)
        assert (total, weight) == (pytest.approx(alone[0], abs=1e-6), alone[1])
        assert stats == pytest.approx(alone[2], abs=1e-6)


LOSSES = {
    "ppo": ppo_loss,
    "a2c": lambda x, old, advantages, mask: a2c_loss(x, advantages, mask),
    "value": partial(value_loss, clip=0.2),
    **{f"grpo-{s.aggregate}": lambda x, old, advantages, mask, s=s: grpo_loss(
        x, old, advantages, mask, kl_estimate(x, old, mask), s) for s in GRPO},
}


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.0, -1e4, 1e4, float("inf"), float("nan")]))
def test_padding_never_matters(name, seed, junk):
    *batch, mask = random_rollout(seed)
    clean = graded(LOSSES[name], *batch, mask)
    padded = graded(LOSSES[name], *(np.where(mask == 1, x, junk) for x in batch), mask)
    assert clean[:3] == padded[:3]
    np.testing.assert_array_equal(clean[3], padded[3])


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_sampled_is_zero_and_not_nan(name):
    *batch, mask = random_rollout()
    total, weight, stats, gradient = graded(LOSSES[name], *batch, mask * 0)
    assert (total, weight) == (0, 0)
    assert set(stats.values()) == {0}
    assert (gradient == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_micro_batches_add_up_to_the_batch(name):
    batch = random_rollout(7)
    whole = graded(LOSSES[name], *batch)
    parts = [graded(LOSSES[name], *(x[i:j] for x in batch)) for i, j in ((0, 1), (1, 3))]
    for k in (0, 1):
        assert sum(part[k] for part in parts) == pytest.approx(whole[k], abs=1e-5)
    for stat in whole[2]:
        assert sum(part[2][stat] for part in parts) == pytest.approx(whole[2][stat], abs=1e-5)
    np.testing.assert_allclose(np.concatenate([part[3] for part in parts]), whole[3], atol=1e-6)


def test_kl_estimate_averages_to_the_exact_kl():
    # Every token of a small vocabulary once, weighted by its probability: the expectation itself.
    rng = np.random.default_rng(5)
    logits, ref = (array(rng.normal(0, 1, (1, 1, 6))) for _ in range(2))
    every = mx.arange(6)[None]
    logprobs, ref_logprobs = (token_logprobs(mx.repeat(x, 6, axis=1), every) for x in (logits, ref))
    estimates = kl_estimate(logprobs, ref_logprobs, mx.ones((1, 6)))
    assert (estimates >= 0).all()
    expectation = (mx.exp(logprobs) * estimates).sum().item()
    assert expectation == pytest.approx(kl_divergence(logits, ref).item(), abs=1e-5)


@pytest.mark.parametrize(("wrong", "named"), [
    ({"aggregate": "mean"}, "one of sequence, token, constant"),
    ({"aggregate": "constant"}, "max_tokens"),
    ({"aggregate": "token", "max_tokens": 8}, "max_tokens"),
])
def test_wrong_settings_name_themselves(wrong, named):
    with pytest.raises(UserError, match=named):
        params.convert({"grpo": wrong}, "grpo", Grpo)
