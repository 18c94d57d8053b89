"""The knobs of `rl`: what params.yaml says is what the update takes."""

from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest
from realign.train.policy import PolicySettings

from realign import params
from realign.errors import UserError
from stages.srf.rl import Rl, knobs

PARAMS = Path(__file__).parents[3] / "params.yaml"


def test_every_setting_of_the_update_is_a_parameter_of_the_same_type():
    """`Rl` cannot inherit from those settings: their module imports MLX, which a stage does only after the backend."""
    given, taken = get_type_hints(Rl), get_type_hints(PolicySettings)
    assert {f.name: given.get(f.name) for f in fields(PolicySettings)} == {
        f.name: taken[f.name] for f in fields(PolicySettings)}


def test_the_knobs_are_the_parameters():
    p = params.load("srf.rl", Rl, PARAMS)
    made, limits = knobs(p)
    assert made.policy == PolicySettings(**{f.name: getattr(p, f.name) for f in fields(PolicySettings)})
    assert (made.learning_rate, made.warmup) == (p.learning_rate, p.warmup)
    assert (limits.kl, limits.entropy_low, limits.entropy_high, limits.length_factor, limits.gaming_fall,
            limits.attempts) == (p.kl_limit, p.entropy_low, p.entropy_high, p.length_factor, p.gaming_fall, p.attempts)


def test_an_algorithm_that_is_none_is_found_before_the_run(tmp_path):
    text = PARAMS.read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("algorithm: ppo", "algorithm: dpo"))
    with pytest.raises(UserError, match=r"srf\.rl\.algorithm.*\n.*one of ppo, a2c"):
        params.load("srf.rl", Rl, tmp_path / "params.yaml")
