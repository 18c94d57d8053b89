from functools import partial

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign import params
from realign.errors import UserError
from realign.objectives.losses.preference import PairLogprobs, Preference, bradley_terry, dpo_loss

SETTINGS = [
    Preference("sigmoid", beta=0.3),
    Preference("sigmoid", beta=0.3, label_smoothing=0.1),
    Preference("ipo", beta=0.4),
    Preference("simpo", beta=2.0, gamma=0.7),
    Preference("simpo", beta=2.0, gamma=0.7, label_smoothing=0.2),
    Preference("orpo", beta=0.25),
]
NAMES = [f"{s.variant}-{s.label_smoothing}" for s in SETTINGS]


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def reference(pairs, s):
    """Float64 and written from the papers: the loss and the two implicit rewards of each pair."""
    pc, pr, rc, rr, nc, nr = pairs
    if s.variant in ("sigmoid", "ipo"):
        scale = (nc, nr) if s.variant == "ipo" else (1, 1)
        rewards = s.beta * (pc - rc) / scale[0], s.beta * (pr - rr) / scale[1]
    else:
        rewards = s.beta * pc / nc, s.beta * pr / nr
    margin = rewards[0] - rewards[1]
    if s.variant == "ipo":
        loss = (margin / s.beta - 0.5 / s.beta) ** 2
    elif s.variant == "orpo":
        p, q = np.exp(pc / nc), np.exp(pr / nr)
        loss = -np.log(p) - s.beta * log_sigmoid(np.log((p / (1 - p)) / (q / (1 - q))))
    else:
        z = margin - (s.gamma if s.variant == "simpo" else 0)
        loss = -(1 - s.label_smoothing) * log_sigmoid(z) - s.label_smoothing * log_sigmoid(-z)
    return loss, *rewards


def random_pairs(seed=0, n=5):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 9, (2, n)).astype(float)
    policy = -rng.uniform(0.05, 3, (2, n)) * tokens
    return [*policy, *(policy + rng.normal(0, 1, (2, n))), *tokens]


def arrays(pairs):
    return PairLogprobs(*(mx.array(np.asarray(x, dtype=np.float32)) for x in pairs))


def graded(loss, pairs, s):
    """Loss, and its gradient with respect to the policy's two log-probabilities, (2, B)."""
    pairs = arrays(pairs)

    def of_policy(policy):
        return loss(pairs._replace(policy_chosen=policy[0], policy_rejected=policy[1]), s)

    (total, weight, stats), gradient = mx.value_and_grad(of_policy)(mx.stack(pairs[:2]))
    return total.item(), weight.item(), {k: v.item() for k, v in stats.items()}, np.array(gradient)


def check_against_reference(loss, s, numeric_gradient):
    pairs = random_pairs()
    total, weight, stats, gradient = graded(loss, pairs, s)
    value, chosen, rejected = reference(pairs, s)
    assert total == pytest.approx(value.sum(), abs=1e-4)
    assert weight == 5
    assert stats["accuracy"] == (chosen > rejected).sum()
    assert stats["margin"] == pytest.approx((chosen - rejected).sum(), abs=1e-4)
    assert stats["chosen_reward"] == pytest.approx(chosen.sum(), abs=1e-4)
    assert stats["rejected_reward"] == pytest.approx(rejected.sum(), abs=1e-4)
    expected = numeric_gradient(lambda p: reference([*p, *pairs[2:]], s)[0].sum(), np.array(pairs[:2]))
    np.testing.assert_allclose(gradient, expected, atol=1e-4)


@pytest.mark.parametrize("s", SETTINGS, ids=NAMES)
def test_values_and_gradients(s, numeric_gradient):
    check_against_reference(dpo_loss, s, numeric_gradient)


@pytest.mark.parametrize("s", SETTINGS, ids=NAMES)
def test_sign_flip_is_caught(s, numeric_gradient, flipped):
    with pytest.raises(AssertionError):
        check_against_reference(flipped(dpo_loss), s, numeric_gradient)


@pytest.mark.parametrize("s", SETTINGS, ids=NAMES)
def test_swapped_sides_are_caught(s, numeric_gradient):
    def swapped(pairs, s):
        return dpo_loss(PairLogprobs(*(pairs[i] for i in (1, 0, 3, 2, 5, 4))), s)
    with pytest.raises(AssertionError):
        check_against_reference(swapped, s, numeric_gradient)


def test_hand_worked_dpo():
    # Log-ratios +1 and −2: h = 3, βh = 0.3; −log σ(0.3) = 0.554355, and σ(−0.3) β = 0.0425557.
    total, _, stats, gradient = graded(dpo_loss, [[-4], [-9], [-5], [-7], [2], [3]], Preference(beta=0.1))
    assert total == pytest.approx(0.554355, abs=1e-5)
    np.testing.assert_allclose(gradient, [[-0.0425557], [0.0425557]], atol=1e-6)
    assert stats == pytest.approx(
        {"accuracy": 1, "margin": 0.3, "chosen_reward": 0.1, "rejected_reward": -0.2}, abs=1e-6)


def test_hand_worked_label_smoothing():
    # 0.9 × 0.554355 + 0.1 × 0.854355
    smoothed = Preference(beta=0.1, label_smoothing=0.1)
    total, *_ = graded(dpo_loss, [[-4], [-9], [-5], [-7], [2], [3]], smoothed)
    assert total == pytest.approx(0.584355, abs=1e-5)


def test_hand_worked_ipo_per_token_and_summed():
    pairs = [[-4], [-9], [-5], [-7], [2], [4]]
    # Per token 1/2 and −2/4: h = 1, target 1/(2·0.25) = 2, (1 − 2)² = 1; slope 2(h − 2)/tokens.
    total, _, _, gradient = graded(dpo_loss, pairs, Preference("ipo", beta=0.25))
    assert total == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(gradient, [[-1], [0.5]], atol=1e-5)
    # With token counts of 1 the log-ratios are summed: h = 3.
    total, *_ = graded(dpo_loss, [*pairs[:4], [1], [1]], Preference("ipo", beta=0.25))
    assert total == pytest.approx(1, abs=1e-5)
    total, *_ = graded(dpo_loss, [[-4], [-10], [-5], [-7], [1], [1]], Preference("ipo", beta=0.25))
    assert total == pytest.approx(4, abs=1e-5)


def test_hand_worked_simpo():
    # Means −0.5 and −0.7: 2 × 0.2 − 0.3 = 0.1, −log σ(0.1) = 0.644397; σ(−0.1) × 2 / tokens.
    total, _, _, gradient = graded(
        dpo_loss, [[-1], [-2.8], [0], [0], [2], [4]], Preference("simpo", beta=2.0, gamma=0.3))
    assert total == pytest.approx(0.644397, abs=1e-5)
    np.testing.assert_allclose(gradient, [[-0.4750208], [0.2375104]], atol=1e-5)


def test_hand_worked_orpo():
    # Mean probabilities 0.4 and 0.2: odds ratio (2/3)/(1/4) = 8/3, −log σ(ln 8/3) = ln(11/8).
    pairs = [[2 * np.log(0.4)], [3 * np.log(0.2)], [0], [0], [2], [3]]
    total, _, _, gradient = graded(dpo_loss, pairs, Preference("orpo", beta=0.5))
    assert total == pytest.approx(-np.log(0.4) + 0.5 * np.log(11 / 8), abs=1e-5)
    # d log-odds / d log-probability = 1/(1 − p); σ(−ln 8/3) = 3/11.
    expected = [[-0.5 - 0.5 * 3 / 11 / 0.6 / 2], [0.5 * 3 / 11 / 0.8 / 3]]
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["simpo", "orpo"])
def test_reference_free_variants_ignore_the_reference(variant):
    pairs = random_pairs()
    without = [*pairs[:2], np.full(5, np.nan), np.full(5, np.nan), *pairs[4:]]
    s = Preference(variant)
    assert graded(dpo_loss, pairs, s)[0] == graded(dpo_loss, without, s)[0]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SETTINGS), st.integers(0, 99), st.sampled_from([0, -5.0, float("nan"), float("inf")]))
def test_empty_pairs_weigh_nothing(s, seed, junk):
    pairs = random_pairs(seed)
    padded = [np.append(x, [junk, junk]) for x in pairs[:4]] + [np.append(n, e) for n, e in zip(
        pairs[4:], ([0, 3], [2, 0]), strict=True)]
    total, weight, stats, gradient = graded(dpo_loss, pairs, s)
    padded_total, padded_weight, padded_stats, padded_gradient = graded(dpo_loss, padded, s)
    assert weight == padded_weight == 5
    assert padded_total == pytest.approx(total, rel=1e-6)
    assert padded_stats == pytest.approx(stats, rel=1e-5, abs=1e-6)
    np.testing.assert_array_equal(padded_gradient[:, :5], gradient)
    assert (padded_gradient[:, 5:] == 0).all()


def test_an_answer_the_model_is_sure_of_stays_finite_in_orpo():
    total, _, _, gradient = graded(dpo_loss, [[0.0], [-1.0], [0], [0], [2], [2]], Preference("orpo"))
    assert np.isfinite(total) and np.isfinite(gradient).all()


def test_dpo_at_the_start_is_ln_2_and_no_preference():
    pairs = random_pairs()
    pairs[2:4] = pairs[0:2]
    total, weight, stats, _ = graded(dpo_loss, pairs, Preference(beta=0.1))
    assert total == pytest.approx(weight * np.log(2), abs=1e-5)
    assert stats["accuracy"] == 0  # a tie is not ranked right


@pytest.mark.parametrize(("wrong", "named"), [
    ({"variant": "hinge"}, "one of sigmoid, ipo, simpo, orpo"),
    ({"beta": 0.0}, "dpo.beta"),
    ({"label_smoothing": 0.5}, "below 0.5"),
    ({"variant": "ipo", "label_smoothing": 0.1}, "no label smoothing"),
])
def test_wrong_settings_name_themselves(wrong, named):
    with pytest.raises(UserError, match=named):
        params.convert({"dpo": wrong}, "dpo", Preference)


def reward_graded(loss, chosen, rejected):
    both = mx.array(np.array([chosen, rejected], dtype=np.float32))
    (total, weight, stats), gradient = mx.value_and_grad(lambda r: loss(r[0], r[1]))(both)
    return total.item(), weight.item(), {k: v.item() for k, v in stats.items()}, np.array(gradient)


def check_bradley_terry(loss):
    # Margins ln 3, 0 and −ln 3: −log of 3/4, 1/2 and 1/4; slope σ(−margin).
    total, weight, stats, gradient = reward_graded(loss, [np.log(3), 2, 0], [0, 2, np.log(3)])
    assert total == pytest.approx(np.log(4 / 3) + np.log(2) + np.log(4), abs=1e-4)
    np.testing.assert_allclose(gradient, [[-0.25, -0.5, -0.75], [0.25, 0.5, 0.75]], atol=1e-4)
    assert weight == 3
    assert stats == pytest.approx({"accuracy": 1, "margin": 0, "chosen_reward": np.log(3) + 2,
                                   "rejected_reward": np.log(3) + 2}, abs=1e-4)


def test_bradley_terry():
    check_bradley_terry(bradley_terry)


def test_bradley_terry_sign_flip_is_caught(flipped):
    with pytest.raises(AssertionError):
        check_bradley_terry(flipped(bradley_terry))


def test_bradley_terry_swapped_sides_are_caught():
    with pytest.raises(AssertionError):
        check_bradley_terry(lambda c, r: bradley_terry(r, c))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=6))
def test_bradley_terry_against_float64(pairs):
    chosen, rejected = np.array(pairs).T
    total, _, _, gradient = reward_graded(bradley_terry, chosen, rejected)
    assert total == pytest.approx(-log_sigmoid(chosen - rejected).sum(), rel=1e-4, abs=1e-4)
    slope = 1 / (1 + np.exp(chosen - rejected))
    np.testing.assert_allclose(gradient, [-slope, slope], atol=1e-4)


def test_bradley_terry_is_finite_at_huge_margins():
    total, _, _, gradient = reward_graded(bradley_terry, [1e6, -1e6], [-1e6, 1e6])
    assert total == pytest.approx(2e6)
    np.testing.assert_allclose(gradient, [[0, -1], [0, 1]])


@given(st.sampled_from([0.0, 1e30, float("nan")]))
def test_bradley_terry_ignores_masked_pairs(junk):
    masked_loss = partial(bradley_terry, mask=mx.array([1, 0, 1]))
    total, weight, stats, gradient = reward_graded(masked_loss, [1, junk, 3], [0, junk, 5])
    expected = reward_graded(bradley_terry, [1, 3], [0, 5])
    assert (total, weight, stats) == expected[:3]
    np.testing.assert_array_equal(gradient[:, [0, 2]], expected[3])
    assert (gradient[:, 1] == 0).all()


def test_no_pairs_is_zero():
    total, weight, stats, _ = reward_graded(partial(bradley_terry, mask=mx.zeros((1,))), [1], [0])
    assert (total, weight) == (0, 0)
    assert set(stats.values()) == {0}
