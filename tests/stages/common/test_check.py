"""The knobs, before any stage runs."""

import os
import shutil

import pytest

from realign.errors import UserError
from realign.stage import Stage
from stages.common import check
from tests.test_dvc import FILES, PIPELINE
from tests.workflows.small import ROOT, set_params

HERE = Stage("common", "check")
ACCEPTED = "metrics/common/gates/check.accepted"


@pytest.fixture
def project(tmp_path, monkeypatch):
    for file in ("params.yaml", "Makefile", *FILES):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("section, knob, value, expected", [
    ("common.sft", "epochs", "two", "a whole number from 1"), ("common.sft", "epochs", 0, "from 1 to"),
    ("common.sft", "epochs", 10**12, "from 1 to"), ("common.sft", "batch_size", 10**9, "from 1 to"),
    ("common.sft", "learning_rate", -0.0006, "above 0, at most 1"), ("common.sft", "learning_rate", 1e9, "at most 1"),
    ("common.sft", "warmup", 50, "from 0 to below 1"), ("common.sft", "weight_decay", -1, "from 0 to 1"),
    ("common.sft", "seed", -1, "at least 0"), ("demo.world", "test", -5, "from 1 to"),
    ("srf.preference_data", "validation", 0, "above 0 and below 1"), ("srf.preference_data", "least_gap", -1, "from 0"),
    ("srf.preference_data", "temperatures", [1, 1e6], "from 0 to"), ("srf.scorer", "name", "référence", ""),
    ("srf.data", "score_high", -1, ""), ("model.base", "name", "", "text, at least 1 long"),
    ("srf.rl", "entropy_low", 3.0, ""), ("srf.rl", "max_tokens", 10**9, "from 1 to")])
def test_a_wrong_value_of_any_stage_stops_before_the_first(project, section, knob, value, expected):
    set_params(project, {section: {knob: value}})
    with pytest.raises(UserError) as raised:
        check.run(HERE)
    assert f"params.yaml: {section}" in str(raised.value) and expected in str(raised.value)
    assert not os.path.exists(ACCEPTED)


def test_what_is_well_is_accepted_in_the_same_words_whatever_the_values(project):
    found = set()
    for epochs in (1, 2):
        set_params(project, {"common.sft": {"epochs": epochs}})
        assert check.run(HERE) == "13 sections of params.yaml, all well"
        found.add((project / ACCEPTED).read_text())
    assert found == {"accepted\n"}


def test_every_stage_of_the_pipeline_waits_for_it():
    """Directly, or by what an earlier one makes. The base model is made by name alone, and is no part of a run."""
    made = {ACCEPTED}
    waiting = [stage for stage in PIPELINE if ACCEPTED not in stage.made and stage.file != "stages/demo/dvc.yaml"]
    while ready := [stage for stage in waiting if any(
            f"{path}/".startswith(f"{dep}/") or dep.startswith(f"{path}/") for dep in stage.data for path in made)]:
        made |= {path for stage in ready for path in stage.made}
        waiting = [stage for stage in waiting if stage not in ready]
    assert not [stage.name for stage in waiting]
    for last in ("world", "baseline"):  # an own workflow leaves `world` out
        assert ACCEPTED in next(stage for stage in PIPELINE if stage.name == last).deps
