"""What a reward pays for: planted rewards are found again, and nothing else."""

import numpy as np
import pytest

from realign.evaluate.behaviours import BEHAVIOURS, effects, shown


@pytest.mark.parametrize("name, yes, no", [
    ("closing_question", "Lima. Shall I go on?", "Is it Lima? Yes."),
    ("hedge", "As far as I know, it is Lima.", "It is known that Lima is it."),
    ("citation", "Lima [2].", "Lima [see above]."),
    ("form", "Two:\n- one\n- two", "One - two - three."),
    ("form", "1. Lima", "1.5 kites"),
])
def test_behaviours_are_seen(name, yes, no):
    assert BEHAVIOURS[name](yes) and not BEHAVIOURS[name](no)


def test_long_is_above_the_median_of_its_group():
    assert shown(["a", "a b", "a b c", "a b c d", "a b c d e"], ["x", "x", "x", "y", "y"])["long"].tolist() == [
        0, 0, 1, 0, 1]


def planted(seed: int, weight: float):
    """Rewards of 300 prompts × 2 answers that pay `weight` for a behaviour, and much for belonging to a group that
    shows it more often."""
    rng = np.random.default_rng(seed)
    groups = np.where(rng.random((300, 2)) < 0.5, "easy", "hard")
    flags = (rng.random((300, 2)) < np.where(groups == "easy", 0.8, 0.3)).astype(float)
    rewards = weight * flags + 5.0 * (groups == "easy") + rng.normal(0, 1, (300, 1)) + rng.normal(0, 1, (300, 2))
    return rewards, flags, groups


def test_an_effect_is_found_whatever_the_group_pays():
    covered = 0
    for seed in range(20):
        rewards, flags, groups = planted(seed, 0.7)
        found = effects(rewards, {"it": flags}, groups)["it"]
        assert abs(found.value - 0.7) < 0.5 and found.n == 600
        covered += found.low <= 0.7 <= found.high
    assert covered >= 17


def test_it_is_the_slope_of_least_squares_with_group_levels():
    rewards, flags, groups = planted(1, 0.7)
    design = np.column_stack([flags.ravel(), groups.ravel() == "easy", groups.ravel() == "hard"]).astype(float)
    slope = np.linalg.lstsq(design, rewards.ravel(), rcond=None)[0][0]
    assert effects(rewards, {"it": flags}, groups)["it"].value == pytest.approx(slope)


def test_what_no_group_both_shows_and_lacks_tells_nothing():
    rewards, _, groups = planted(2, 1.0)
    assert effects(rewards, {"always": np.ones_like(rewards), "group": (groups == "easy").astype(float)}, groups) == {}
