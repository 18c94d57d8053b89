"""Somebody's own base model, labelled pairs and evaluation rows reach a verdict, through every stage and every gate."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from realign.gates.run import run_gate
from realign.stage import Stage
from realign.tiers import HIGH, MEDIUM, REJECT
from stages.common import verdict
from tests.workflows import own, small

pytestmark = pytest.mark.slow

# What labels cannot tell, by the gate that says so.
UNMEASURED = {"preference_data": {"preference_gap"}, "rl": {"score_gain"}, "iterate": {"score_gain"},
              "evaluate": {"win_rate", "score_gain", "win_rate_correctness", "base_correctness"}}


@dataclass(frozen=True)
class Judged:
    """A finished project, the verdict of each gate, and what the verdict of the whole run said."""

    folder: Path
    gates: dict[str, dict]
    said: list[str]


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Judged:
    """Baseline, then each stage with its gate, then the verdict, as `dvc repro` runs them."""
    folder = own.make(tmp_path_factory.mktemp("own"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.run(Stage("common", "baseline"))
        gates = {}
        for declared in small.of("srf"):
            small.run(declared.stage)
            gates[declared.stage.name] = run_gate("srf", declared.stage.name, folder)
        said = verdict.run(Stage("srf", "verdict")).split("\n  - ")
    return Judged(folder, gates, said)


def failed(gate: dict) -> set[str]:
    """The metrics of the checks that decide and did not hold."""
    return {check["metric"] for check in gate["checks"] if not check["passed"] and check["severity"] != "info"}


def test_nothing_of_the_demo_is_there(judged):
    assert not (judged.folder / "demo").exists() and not (judged.folder / "data/tables").exists()
    assert not list(judged.folder.rglob("demo.parquet"))


def test_no_gate_rejects_and_those_that_can_measure_everything_say_high(judged):
    tiers = {name: gate["tier"] for name, gate in judged.gates.items()}
    assert list(tiers) == [declared.stage.name for declared in small.of("srf")]
    assert tiers.pop("reward_validation") in (HIGH, MEDIUM)  # its warnings are of how good the reward model is
    assert tiers == {"sft": HIGH, "preference_data": MEDIUM, "reward_model": HIGH, "rl": MEDIUM, "iterate": MEDIUM,
                     "evaluate": MEDIUM}


def test_all_that_is_missing_is_what_labels_cannot_tell(judged):
    for name, gate in judged.gates.items():
        if name != "reward_validation":
            assert failed(gate) == UNMEASURED.get(name, set()), name
    assert "bring a scorer (srf.scorer.name=reward:<directory>)" in judged.gates["evaluate"]["remedy"]


def test_the_capabilities_judged_are_those_of_the_evaluation_rows(judged):
    for stage in ("sft", "rl", "evaluate"):
        checked = {check["metric"] for check in judged.gates[stage]["checks"]}
        assert {"retention.colour", "retention.place", "undecided.colour", "undecided.place"} <= checked
        metrics = json.loads((judged.folder / f"metrics/srf/{stage}.json").read_text())
        assert set(metrics["capability"]) == {"colour", "place"} and metrics["retention"]["colour"]["n"] == 105


def test_the_run_ends_with_a_release_that_says_what_was_kept(judged):
    decision, *lines = judged.said
    version = json.loads((judged.folder / "released/srf/pointer.json").read_text())["version"]
    assert decision == f"released, version {version}; released is {version}"
    assert lines == ["kept 2 of 2 capabilities against the base model",
                     "kept 2 of 2 capabilities against the model that later stages started from"]
    assert (judged.folder / "released/srf/model" / version / "model.safetensors").read_bytes() == (
        judged.folder / "checkpoints/srf/iterate/model.safetensors").read_bytes()


def test_the_reward_rises_on_what_the_pairs_prefer(judged):
    rewarded = json.loads((judged.folder / "metrics/srf/rl.json").read_text())["reward_gain"]
    assert rewarded["low"] > 0


def test_sft_that_loses_what_the_base_could_do_ends_there(judged, tmp_path, monkeypatch):
    """The same pairs at a hundred times the learning rate."""
    small.copy(judged.folder, tmp_path, tuple(path for declared in small.of("srf") for path in declared.made))
    monkeypatch.chdir(tmp_path)
    small.set_params(tmp_path, {"common.sft": {"learning_rate": 0.03}})
    small.run(Stage("srf", "sft"))
    gate = run_gate("srf", "sft", tmp_path)
    assert gate["tier"] == REJECT and "retention.colour" in failed(gate)
    assert "colour was lost against the base model" in gate["remedy"]
    assert not (tmp_path / "metrics/srf/gates/sft.accepted").exists()
