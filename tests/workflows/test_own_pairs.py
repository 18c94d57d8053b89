"""Somebody's own base model, labelled pairs and evaluation rows reach a verdict, through every stage and every gate."""

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from realign.gates.run import run_gate
from realign.lake.schemas import RECORDS
from realign.lake.table import write
from realign.release.verify import answered_again, verify
from realign.stage import Stage
from realign.tiers import HIGH, MEDIUM, REJECT
from stages.common import release, verdict
from tests.workflows import own, small

pytestmark = pytest.mark.slow

# What labels cannot tell, by the gate that says so.
UNMEASURED = {"preference_data": {"preference_gap"}, "rl": {"score_gain"}, "iterate": {"score_gain"},
              "evaluate": {"win_rate", "score_gain", "win_rate_correctness", "base_correctness", "undecided_sampled"}}


@dataclass(frozen=True)
class Judged:
    """A finished project, the verdict of each gate, what the verdict of the whole run said and whether it moved
    anything, and what the release said."""

    folder: Path
    gates: dict[str, dict]
    said: list[str]
    moved: bool
    released: str

    @property
    def version(self) -> str:
        """Of the candidate."""
        return json.loads((self.folder / "verdicts/srf.json").read_text())["version"]


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
        moved = (folder / "released").exists()
        released = release.run(Stage("srf", "release"))
    return Judged(folder, gates, said, moved, released)


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


def test_the_run_ends_with_a_verdict_that_says_what_was_kept_and_moves_nothing(judged):
    decision, *lines = judged.said
    assert decision == f"passed, version {judged.version}" and not judged.moved
    assert lines == ["kept 2 of 2 capabilities against the base model",
                     "kept 2 of 2 capabilities against the model that later stages started from"]


def test_the_model_is_released_after_its_sealed_rows(judged):
    told = judged.released.split("\n  - ")
    assert told[0] == f"version {judged.version} is released: released/srf/model/{judged.version}"
    assert "on sealed rows (opening 1): " in told[1] and "too few to tell" in judged.released  # there are ten
    assert (judged.folder / "released/srf/model" / judged.version / "model.safetensors").read_bytes() == (
        judged.folder / "checkpoints/srf/iterate/model.safetensors").read_bytes()


def test_the_released_model_answers_as_its_records_say(judged, tmp_path):
    pointer, faults = verify("srf", judged.folder)
    assert faults == [] and answered_again(pointer, judged.folder) == (50, [])
    rows = pl.read_parquet(judged.folder / pointer["records"]["path"])
    forged = tmp_path / pointer["records"]["path"]
    small.copy(judged.folder, tmp_path)
    write(rows.with_columns(output=pl.lit("It is as it was.")), forged, RECORDS)
    assert "is not what the model answers: 50 of 50 answers differ" in answered_again(pointer, tmp_path)[1][0]


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
    assert "colour fell against the base model" in gate["remedy"]
    assert not (tmp_path / "metrics/srf/gates/sft.accepted").exists()
