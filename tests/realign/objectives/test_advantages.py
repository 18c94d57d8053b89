import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.errors import UserError
from realign.objectives.advantages import gae, group_relative, whiten


def literal_gae(rewards, values, mask, gamma, lam):
    """The definition, term by term, over the sampled positions of each row."""
    advantages = np.zeros(mask.shape)
    for row in range(len(mask)):
        steps = np.flatnonzero(mask[row])
        v = np.append(values[row, steps], 0.0)
        deltas = [rewards[row, s] + gamma * v[i + 1] - v[i] for i, s in enumerate(steps)]
        for i, s in enumerate(steps):
            advantages[row, s] = sum((gamma * lam) ** (k - i) * deltas[k] for k in range(i, len(steps)))
    return advantages


@st.composite
def rollouts(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    return rng.normal(0, 2, shape), rng.normal(0, 2, shape), rng.random(shape) < 0.7


unit = st.floats(0, 1)


def check_gae(estimate):
    # γ = 0.9, λ = 0.5; deltas 0 + 0.9·2 − 1 = 0.8 and 4 − 2 = 2; advantage 0.8 + 0.45·2 = 1.7.
    advantages, returns = estimate(
        np.array([[9.0, 0, 4, 9]]), np.array([[9.0, 1, 2, 9]]), np.array([[0, 1, 1, 0]]), 0.9, 0.5)
    np.testing.assert_allclose(advantages, [[0, 1.7, 2, 0]])
    np.testing.assert_allclose(returns, [[0, 2.7, 4, 0]])


def test_gae_by_hand():
    check_gae(gae)


def test_gae_mutants_are_caught():
    def negated(*arguments):
        return tuple(-x for x in gae(*arguments))

    def through_the_padding(rewards, values, mask, gamma, lam):
        return gae(rewards, values, np.ones_like(mask), gamma, lam)

    for mutant in (negated, through_the_padding):
        with pytest.raises(AssertionError):
            check_gae(mutant)


@settings(deadline=None)
@given(rollouts(), unit, unit)
def test_gae_is_its_definition(rollout, gamma, lam):
    rewards, values, mask = rollout
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    expected = literal_gae(rewards, values, mask, gamma, lam)
    np.testing.assert_allclose(advantages, expected, atol=1e-9)
    np.testing.assert_allclose(returns, (expected + values) * mask, atol=1e-9)


@settings(deadline=None)
@given(rollouts(), unit)
def test_lambda_one_gives_discounted_returns_whatever_the_values(rollout, gamma):
    rewards, values, mask = rollout
    _, returns = gae(rewards, values, mask, gamma, 1.0)
    _, without_critic = gae(rewards, values * 0, mask, gamma, 1.0)
    np.testing.assert_allclose(returns, without_critic, atol=1e-9)


@settings(deadline=None)
@given(rollouts(), unit)
def test_lambda_zero_gives_the_one_step_error(rollout, gamma):
    rewards, values, _ = rollout
    advantages, _ = gae(rewards, values, np.ones(rewards.shape), gamma, 0.0)
    following = np.concatenate([values[:, 1:], np.zeros((len(values), 1))], axis=1)
    np.testing.assert_allclose(advantages, rewards + gamma * following - values, atol=1e-9)


@settings(deadline=None)
@given(rollouts(), unit, unit, st.sampled_from([0.0, 1e9, np.inf, np.nan]))
def test_padding_never_matters(rollout, gamma, lam, junk):
    rewards, values, mask = rollout
    clean = gae(rewards, values, mask, gamma, lam)
    padded = gae(np.where(mask, rewards, junk), np.where(mask, values, junk), mask, gamma, lam)
    for a, b in zip(clean, padded, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whiten(clean[0], mask), whiten(np.where(mask, clean[0], junk), mask))


@settings(deadline=None)
@given(rollouts(), st.integers(0, 5), st.integers(0, 5))
def test_left_and_right_padding_only_shift(rollout, left, right):
    rewards, values, mask = rollout
    wide = [np.pad(x, ((0, 0), (left, right))) for x in (rewards, values, mask)]
    for a, b in zip(gae(*rollout, 0.9, 0.8), gae(*wide, 0.9, 0.8), strict=True):
        np.testing.assert_array_equal(b[:, left:left + mask.shape[1]], a)


def test_single_precision_stays_single_and_integers_become_it():
    rewards, values, mask = np.ones((1, 2), np.float32), np.ones((1, 2), np.float32), np.ones((1, 2))
    assert [x.dtype for x in gae(rewards, values, mask, 0.9, 0.9)] == [np.float32] * 2
    assert whiten(rewards, mask).dtype == np.float32
    np.testing.assert_allclose(group_relative(np.array([[0, 1]]), "none"), [[-0.5, 0.5]])


def test_whiten_by_hand():
    # Mean 2 and population deviation √(2/3)·2 over 0, 2, 4.
    white = whiten(np.array([[0.0, 99.0], [2.0, 4.0]]), np.array([[1, 0], [1, 1]]))
    np.testing.assert_allclose(white, [[-np.sqrt(1.5), 0], [0, np.sqrt(1.5)]], atol=1e-7)


@settings(deadline=None)
@given(rollouts())
def test_whitened_has_mean_zero_deviation_one(rollout):
    rewards, _, mask = rollout
    white = whiten(rewards, mask)
    assert (white[~mask] == 0).all()
    if mask.sum() > 1:
        assert white[mask].mean() == pytest.approx(0, abs=1e-9)
        assert white[mask].std() == pytest.approx(1, abs=1e-4)


def test_whiten_without_spread_or_tokens_is_zero():
    assert (whiten(np.full((2, 2), 3.0), np.ones((2, 2))) == 0).all()
    assert (whiten(np.full((2, 2), np.nan), np.zeros((2, 2))) == 0).all()


def check_group_relative(relative):
    # Groups (1, 2, 3) and (0, 0, 3): means 2 and 1, sample deviations 1 and √3.
    rewards = np.array([[1.0, 2, 3], [0, 0, 3]])
    np.testing.assert_allclose(relative(rewards, "none"), [[-1, 0, 1], [-1, -1, 2]])
    expected = [[-1, 0, 1], np.array([-1, -1, 2]) / np.sqrt(3)]
    np.testing.assert_allclose(relative(rewards, "std"), expected, atol=2e-4)


def test_group_relative():
    check_group_relative(group_relative)


def test_group_relative_mutants_are_caught():
    def negated(rewards, scale):
        return -group_relative(rewards, scale)

    def over_the_batch(rewards, scale):
        return group_relative(rewards.reshape(1, -1), scale).reshape(rewards.shape)

    for mutant in (negated, over_the_batch):
        with pytest.raises(AssertionError):
            check_group_relative(mutant)


@pytest.mark.parametrize("scale", ["std", "none"])
def test_a_group_that_scores_alike_learns_nothing(scale):
    for rewards in (np.full((2, 4), 0.1), np.array([[0.7], [0.2]])):
        np.testing.assert_allclose(group_relative(rewards, scale), 0, atol=1e-9)


def test_unknown_scale_is_named():
    with pytest.raises(UserError, match="std or none"):
        group_relative(np.ones((1, 2)), "mad")
