"""Each stop condition on runs that must pass and on runs that must not."""

import math

import pytest

from realign.train.stopping import entropy, first_of, kl, length_drift, not_finite, reward_gaming


def history(**columns):
    return [{"step": i, **dict(zip(columns, row, strict=True))}
            for i, row in enumerate(zip(*columns.values(), strict=True), 1)]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite(loss):
    assert not_finite(history(loss=[1.0, loss])) == f"loss {loss}, limit: a finite number"
    assert not_finite(history(loss=[loss, 1.0])) is None  # it is the present that counts


@pytest.mark.parametrize("figure, said", [
    (0.2, None), (0.201, "kl 0.201 nats a token, limit 0.2"), (math.nan, "kl nan nats a token, limit 0.2")])
def test_kl(figure, said):
    assert kl(0.2)(history(kl=[9.0, figure])) == said


@pytest.mark.parametrize("figure, said", [
    (0.1, None), (2.0, None), (0.09, "entropy_low 0.090 nats a token, limit 0.1"),
    (2.1, "entropy_high 2.100 nats a token, limit 2"), (math.nan, "entropy_low nan nats a token, limit 0.1")])
def test_entropy(figure, said):
    assert entropy(0.1, 2.0)(history(entropy=[0.0, figure])) == said


def test_entropy_without_an_upper_limit():
    assert entropy(0.1)(history(entropy=[1e9])) is None


@pytest.mark.parametrize("now, held", [(20, False), (40, False), (10, False), (41, True), (9, True), (math.nan, True)])
def test_length_is_held_to_the_first_rollouts_and_not_to_the_last(now, held):
    said = length_drift(2.0)(history(length=[20.0, 39.0, now]))
    assert (said is not None) == held
    if held:
        assert said == f"length_drift {now:.1f} tokens against 20.0 of the first rollouts, limit 2 times"


def test_the_first_step_drifts_from_nothing():
    assert length_drift(1.0)(history(length=[7.0])) is None


def test_reward_up_and_verifier_down():
    said = reward_gaming(0.05)(history(reward=[1.0, 1.2, 1.3, 1.4], validation_verifier=[0.7, 0.8, 0.7, 0.6]))
    assert said == ("reward_gaming validation_verifier 0.600 from 0.800 while reward rose from 1.200 to 1.400, "
                    "limit 0.05 below in 2 evaluations")


@pytest.mark.parametrize("reward, verifier", [
    ([1.0, 1.2, 1.3, 1.4], [0.6, 0.7, 0.8, 0.9]),  # both rise
    ([1.4, 1.3, 1.2, 1.1], [0.9, 0.8, 0.7, 0.6]),  # both fall: a bad run, but no gaming
    ([1.0, 1.2, 1.3, 1.4], [0.7, 0.8, 0.6, 0.78]),  # one bad evaluation
    ([1.0, 1.2, 1.3, 1.4], [0.7, 0.8, 0.76, 0.77]),  # within what noise may do
    ([1.0, 1.4], [0.9, 0.1]),  # not enough evaluations to tell
])
def test_runs_that_do_not_game(reward, verifier):
    assert reward_gaming(0.05)(history(reward=reward, validation_verifier=verifier)) is None


def test_records_without_an_evaluation_are_passed_over():
    records = [{"reward": 1.0}, {"validation_verifier": 0.8}, {"reward": 2.0}, {"reward": 2.5},
               {"validation_verifier": 0.5}, {"reward": 3.0, "validation_verifier": 0.5}]
    assert reward_gaming(0.1)(records[:5]) is None
    assert "0.500 from 0.800 while reward rose from 1.000 to 3.000" in reward_gaming(0.1)(records)


def test_the_first_condition_that_holds_speaks():
    stop_when = first_of(not_finite, kl(1.0), entropy(0.5))
    assert stop_when(history(loss=[1.0], kl=[0.5], entropy=[1.0])) is None
    assert stop_when(history(loss=[1.0], kl=[2.0], entropy=[0.0])).startswith("kl 2.000")
    assert stop_when(history(loss=[math.nan], kl=[2.0], entropy=[0.0])).startswith("loss nan")


def test_a_figure_that_no_objective_brings_is_not_passed_over():
    with pytest.raises(KeyError, match="kl"):
        kl(1.0)(history(loss=[1.0]))
