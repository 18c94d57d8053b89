"""The decision table, line by line."""

from dataclasses import dataclass, fields, replace

import pytest

from realign.metrics import exact
from realign.train.remedies import Attempt, fault_of, remedy, settled, tried
from realign.train.settings import Limits, Policy

LIMITS = Limits(kl_limit=0.2, entropy_low=0.5, entropy_high=2.0, length_factor=2.0, gaming_fall=0.05, attempts=3)
KNOBS = Policy(seed=0, algorithm="ppo", rollouts=2, prompts_per_rollout=8, minibatch=8, epochs=1, learning_rate=1e-4,
               warmup=0.05, kl_penalty=0.1, entropy_bonus=0.01, reward_scale=1.0, value_weight=0.5, clip=0.2,
               improbable_penalty=8.0, discount=1.0, gae_lambda=0.95, max_tokens=8)


@pytest.mark.parametrize("kl, entropy, fault", [
    (0.1, 1.0, None), (0.2, 0.5, None), (0.0, 2.0, None),  # a limit itself is kept
    (0.21, 1.0, "kl"), (0.1, 0.49, "entropy_low"), (0.1, 2.01, "entropy_high"),
    (0.21, 0.1, "kl"), (0.21, 9.0, "kl")])  # how far comes before how wide
def test_which_limit_is_broken(kl, entropy, fault):
    assert fault_of(kl, entropy, LIMITS) == fault


@pytest.mark.parametrize("fault, turned", [
    # What runs away goes slower and stays near.
    *((fault, {"learning_rate": 5e-5, "kl_penalty": 0.2}) for fault in ("kl", "length_drift", "reward_gaming")),
    ("entropy_low", {"reward_scale": 0.5, "entropy_bonus": 0.02, "improbable_penalty": 4.0}),
    ("entropy_high", {"reward_scale": 2.0, "entropy_bonus": 0.005}),
    ("loss", {"learning_rate": 5e-5})])
def test_the_knobs_of_the_next_attempt_and_no_others(fault, turned):
    assert remedy(KNOBS, fault) == replace(KNOBS, **turned)


@dataclass(frozen=True)
class Rl(Policy, Limits):
    """Knobs of a stage."""

    more: int


def test_the_knobs_of_a_stage_stay_its_own():
    both = {f.name: getattr(kind, f.name) for kind in (KNOBS, LIMITS) for f in fields(kind)}
    found = remedy(Rl(**both, more=7), "kl")
    assert found == Rl(**both | {"learning_rate": 5e-5, "kl_penalty": 0.2}, more=7)


def test_what_was_tried_and_what_stood():
    slower = remedy(KNOBS, "kl")
    attempts = [Attempt("kl", KNOBS), Attempt("entropy_low", slower), Attempt("kl", remedy(slower, "entropy_low"))]
    assert tried(attempts) == {"attempts": exact(3), "remedied": {"entropy_low": exact(1), "kl": exact(2)}}
    assert settled(attempts) == {"learning_rate": 5e-5, "kl_penalty": 0.2, "reward_scale": 0.5, "entropy_bonus": 0.02,
                                 "improbable_penalty": 4.0}
    assert tried([Attempt(None, KNOBS)]) == {"attempts": exact(1), "remedied": {}}
    assert settled([Attempt(None, KNOBS)])["learning_rate"] == 1e-4
