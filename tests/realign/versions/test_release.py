import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from realign.errors import UserError
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, write
from realign.versions.load import load
from realign.versions.release import Candidate, confirm, release, tree_md5

STAGES = ("sft", "rl", "evaluate")
FOLDER, DECISION = Path("released/srf"), Path("released/srf/decision.json")


def records(path: str, wrong: int, n: int = 200) -> None:
    rows = []
    for capability, misses in (("facts", wrong), ("format", 0)):
        rows += [{"example_id": f"e{i:03}", "capability": capability, "slice": "s", "prompt": f"{capability} {i}?",
                      "reference": "yes", "output": "no" if i < misses else "yes", "score": float(i >= misses)}
                 for i in range(n)]
    write(frame(rows, RECORDS), path, RECORDS)


def offer(weights: str, wrong: int, tiers=("HIGH", "MEDIUM", "HIGH"), n: int = 200) -> Candidate:
    """A candidate whose model answers `wrong` of 200 facts wrong, where the start answered 10 wrong, the base 2."""
    model = Path("checkpoints/srf/iterate")
    shutil.rmtree(model, ignore_errors=True)
    (model / "sub").mkdir(parents=True)
    (model / "model.safetensors").write_text(weights)
    (model / "config.json").write_text("{}")
    (model / "sub" / "tokenizer.json").write_text("{}")
    records("data/srf/evaluate/records.parquet", wrong, n)
    records("data/srf/sft/records.parquet", 10)
    records("data/common/baseline/records.parquet", 2)
    gates = {s: Path(f"metrics/srf/gates/{s}.json") for s in STAGES}
    for (stage, path), tier in zip(gates.items(), tiers, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"workflow": "srf", "stage": stage, "tier": tier}))
    metrics = Path("metrics/srf/evaluate.json")
    metrics.write_text(json.dumps({"kl": {"value": wrong / 1000, "n": 9, "low": 0.0, "high": 1.0}}))
    return Candidate("srf", model, Path("data/srf/evaluate/records.parquet"),
                     Path("data/common/baseline/records.parquet"), Path("data/srf/sft/records.parquet"), metrics, gates)


def state() -> dict[str, bytes]:
    """What is released; the decision beside it is made anew each time."""
    return {p.as_posix(): p.read_bytes() for p in sorted(FOLDER.rglob("*")) if p.is_file() and p != DECISION}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, declared):
    monkeypatch.chdir(tmp_path)
    declared(tmp_path)


def test_a_good_model_is_released_whole():
    said = release(offer("one", 8), FOLDER, DECISION)
    pointer = json.loads((FOLDER / "pointer.json").read_text())
    assert said["decision"] == "released" and said["reasons"] == [] and said["released"] == said["version"]
    assert json.loads(DECISION.read_text()) == said
    assert pointer["version"] == said["version"] and pointer["previous"] is None
    assert pointer["gates"] == {"evaluate": "HIGH", "rl": "MEDIUM", "sft": "HIGH"}
    model = Path(pointer["model"]["path"])
    named = (pointer["model"]["md5"], pointer["model"]["files"])
    assert tree_md5(model) == tree_md5(Path("checkpoints/srf/iterate")) == named
    assert (model / "sub" / "tokenizer.json").exists()
    assert load("released").records.num_rows == 400
    assert load("released").metrics["evaluate.kl"]["value"] == 0.008
    confirm(DECISION)


def test_a_second_run_changes_no_byte():
    for wrong, weights in ((8, "one"), (6, "two")):
        release(offer(weights, wrong), FOLDER, DECISION)
    before, said = state(), DECISION.read_bytes()
    DECISION.unlink()
    release(offer("two", 6), FOLDER, DECISION)
    assert state() == before and DECISION.read_bytes() == said


def test_a_better_model_replaces_a_good_one():
    first = release(offer("one", 8), FOLDER, DECISION)
    second = release(offer("two", 4), FOLDER, DECISION)
    pointer = json.loads((FOLDER / "pointer.json").read_text())
    assert second["decision"] == "released" and pointer["previous"]["version"] == first["version"]
    assert second["comparisons"]["released"]["version"] == first["version"]
    assert [p.name for p in (FOLDER / "model").iterdir()] == [second["version"]]
    assert len(list((FOLDER / "records").iterdir())) == 2  # its own, and those it was compared with
    release(offer("three", 4), FOLDER, DECISION)
    assert len(list((FOLDER / "model").iterdir())) == 1


def test_a_regression_against_the_start_is_blocked_and_says_which_rows():
    release(offer("one", 8), FOLDER, DECISION)
    before = state()
    said = release(offer("bad", 30), FOLDER, DECISION)
    assert said["decision"] == "blocked" and state() == before
    assert said["released"] == json.loads(before["released/srf/pointer.json"])["version"] != said["version"]
    assert [r.split(" (")[0] for r in said["reasons"]] == [
        "facts lost 10.5% against the model that later stages started from",
        "facts lost 11.5% against the model released before"]
    assert "e010" in said["reasons"][0] and "real" in said["reasons"][0]
    start = said["comparisons"]["start"]
    assert start["regressions"] == ["facts"] and len(start["examples"]) == 20
    assert (start["examples"][0]["output_a"], start["examples"][0]["output_b"]) == ("yes", "no")
    assert "facts" in said["remedy"]
    with pytest.raises(UserError, match=r"release blocked; version .* stays released"):
        confirm(DECISION)


def test_a_loss_against_the_base_model_is_decided_by_one_constant(monkeypatch):
    said = release(offer("one", 15), FOLDER, DECISION)  # 6.6% below the base model, 2.6% below the start
    assert (said["decision"], said["blocking"], said["reasons"]) == ("released", ["start", "released"], [])
    assert [w.split(" (")[0] for w in said["warnings"]] == ["facts lost 6.6% against the base model"]
    assert said["comparisons"]["baseline"]["regressions"] == ["facts"]
    monkeypatch.setattr("realign.versions.release.BLOCKING", ("baseline", "start", "released"))
    said = release(offer("two", 15), FOLDER, DECISION)
    assert (said["decision"], said["warnings"]) == ("blocked", [])
    assert said["reasons"][0].startswith("facts lost 6.6% against the base model (")
    assert "give facts a larger share" in said["remedy"]


def test_without_records_of_the_start_the_base_model_and_the_last_release_are_left():
    said = release(replace(offer("one", 30), start=None), FOLDER, DECISION)
    assert said["decision"] == "released" and list(said["comparisons"]) == ["baseline"]
    said = release(replace(offer("two", 50), start=None), FOLDER, DECISION)
    assert said["decision"] == "blocked" and list(said["comparisons"]) == ["baseline", "released"]


def test_a_regression_against_the_last_release_alone_is_blocked():
    release(offer("one", 0), FOLDER, DECISION)
    before = state()
    said = release(offer("two", 15), FOLDER, DECISION)  # 7.5% below the release, 2.6% below the start
    assert said["decision"] == "blocked" and state() == before
    assert said["comparisons"]["start"]["regressions"] == []
    assert said["comparisons"]["released"]["regressions"] == ["facts"]


@pytest.mark.parametrize(("wrong", "decision"), [(17, "released"), (22, "blocked")])  # 3.7% and 6.3% of 190
def test_five_percent_is_the_line(wrong, decision):
    assert release(offer("one", wrong), FOLDER, DECISION)["decision"] == decision


def test_slow_decay_over_releases_is_held_by_the_start():
    said = [release(offer(f"w{wrong}", wrong), FOLDER, DECISION)["decision"] for wrong in (10, 16, 19, 25)]
    assert said == ["released", "released", "released", "blocked"]


def test_blocked_before_any_release_leaves_no_model():
    said = release(offer("bad", 90), FOLDER, DECISION)
    assert said["decision"] == "blocked" and said["released"] is None
    assert (FOLDER / "pointer.json").read_text() == "{}\n"
    assert (FOLDER / "model").is_dir() and not list((FOLDER / "model").iterdir())
    with pytest.raises(UserError, match="nothing has been released"):
        load("released")
    with pytest.raises(UserError, match="no model is released"):
        confirm(DECISION)
    assert release(offer("good", 8), FOLDER, DECISION)["decision"] == "released"


def test_a_rejecting_gate_blocks():
    said = release(offer("one", 0, ("HIGH", "REJECT", "HIGH")), FOLDER, DECISION)
    assert said["decision"] == "blocked" and said["reasons"] == ["the gate of rl is REJECT"]


def test_a_tier_nobody_knows_does_not_pass():
    assert release(offer("one", 0, ("HIGH", "high", "HIGH")), FOLDER, DECISION)["decision"] == "blocked"


def test_examples_left_out_of_the_evaluation_block():
    said = release(offer("one", 8, n=190), FOLDER, DECISION)
    assert said["decision"] == "blocked"
    assert "10 examples of facts were evaluated for the base model" in said["reasons"][0]


@pytest.mark.parametrize("missing", ["metrics/srf/gates/rl.json", "data/srf/evaluate/records.parquet",
                                     "data/srf/sft/records.parquet", "data/common/baseline/records.parquet",
                                     "metrics/srf/evaluate.json"])
def test_a_missing_input_stops_with_nothing_changed(missing):
    release(offer("one", 8), FOLDER, DECISION)
    candidate = offer("two", 4)
    Path(missing).unlink()
    before = state()
    with pytest.raises(UserError, match=missing):
        release(candidate, FOLDER, DECISION)
    assert state() == before


def test_lost_records_of_the_last_release_are_not_taken_for_no_release():
    release(offer("one", 8), FOLDER, DECISION)
    for path in (FOLDER / "records").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="records of the model released before are missing"):
        release(offer("two", 4), FOLDER, DECISION)


def test_a_damaged_copy_of_the_released_model_is_mended():
    said = release(offer("one", 8), FOLDER, DECISION)
    whole = state()
    (FOLDER / "model" / said["version"] / "model.safetensors").write_text("torn")
    release(offer("one", 8), FOLDER, DECISION)
    assert state() == whole


def test_an_empty_model_is_refused():
    candidate = offer("one", 8)
    shutil.rmtree(candidate.model)
    candidate.model.mkdir()
    with pytest.raises(UserError, match="holds no files"):
        release(candidate, FOLDER, DECISION)


def test_no_decision_yet():
    with pytest.raises(UserError, match="no such file"):
        confirm(DECISION)


def test_the_tree_hash_is_the_one_in_dvc_lock(built):
    lock = (built / "stages/srf/dvc.lock").read_text()
    assert tree_md5(built / "checkpoints/srf/evaluate")[0] in lock
