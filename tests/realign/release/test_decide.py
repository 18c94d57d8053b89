import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from realign.errors import UserError
from realign.lake.hashes import tree_md5
from realign.lake.schemas import RECORDS
from realign.lake.table import write
from realign.release.decide import confirm
from realign.versions.load import load
from tests.realign.release.offered import (
    FOLDER,
    STAGES,
    VERDICT,
    judge,
    locked,
    offer,
    record_all,
    records,
    settle,
    state,
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, declared):
    monkeypatch.chdir(tmp_path)
    declared(tmp_path)


def test_a_good_model_is_released_whole():
    said = settle(offer("one", 8))
    pointer = json.loads((FOLDER / "pointer.json").read_text())
    assert said["decision"] == "passed" and said["reasons"] == [] and said["earlier"] == {}
    assert json.loads(VERDICT.read_text()) == said
    assert pointer["version"] == said["version"] and pointer["before"] == {}
    assert pointer["gates"] == {"evaluate": "HIGH", "rl": "MEDIUM", "sft": "HIGH"}
    model = Path(pointer["model"]["path"])
    named = (pointer["model"]["md5"], pointer["model"]["files"])
    assert tree_md5(model) == tree_md5(Path("checkpoints/srf/iterate")) == named
    assert (model / "sub" / "tokenizer.json").exists()
    assert load("released").records.num_rows == 1200
    assert load("released").metrics["evaluate.kl"]["value"] == 0.008
    confirm(VERDICT)


def test_a_second_run_changes_no_byte():
    for wrong, weights in ((8, "one"), (6, "two")):
        settle(offer(weights, wrong))
    before, said = state(), VERDICT.read_bytes()
    VERDICT.unlink()
    settle(offer("two", 6))
    assert state() == before and VERDICT.read_bytes() == said


def test_a_better_model_replaces_a_good_one():
    first = settle(offer("one", 8))
    second = settle(offer("two", 4))
    pointer = json.loads((FOLDER / "pointer.json").read_text())
    assert second["decision"] == "passed" and pointer["before"]["released"]["version"] == first["version"]
    assert second["earlier"]["released"] == first["version"]
    assert [p.name for p in (FOLDER / "model").iterdir()] == [second["version"]]
    assert len(list((FOLDER / "records").iterdir())) == 2  # its own, and those it was compared with
    settle(offer("three", 4))
    assert len(list((FOLDER / "model").iterdir())) == 1


def test_a_loss_is_blocked_and_says_what_fell_by_how_much_and_which_rows():
    settle(offer("one", 8))
    before = state()
    said = settle(offer("bad", 90))
    assert said["decision"] == "blocked" and state() == before
    assert said["reasons"][0] == (
        "facts was lost against the base model: 0.85 after 0.99 (−14.1%), 84 of 600 examples worse, 0 better; "
        "worst: e510, e511, e512")
    assert [r.split(":")[0] for r in said["reasons"][1:]] == [
        "facts was lost against the model that later stages started from",
        "facts was lost against the model released before"]
    assert said["summary"][0] == ("kept 1 of 2 capabilities against the base model; lost: facts")
    assert "give facts a larger share" in said["remedy"]
    assert [e["example_id"] for e in said["comparisons"]["baseline"]["examples"]] == [f"e{i}" for i in range(510, 530)]
    with pytest.raises(UserError, match="facts was lost"):
        confirm(VERDICT)


def test_what_surely_fell_by_less_than_the_margin_is_kept():
    said = settle(offer("one", 20))  # 2.4% below the base model, surely less than 5%
    assert (said["decision"], said["warnings"], said["reasons"]) == ("passed", [], [])
    assert said["summary"][0] == "kept 2 of 2 capabilities against the base model"


def test_open_within_the_margin_is_a_warning_and_above_it_blocks():
    said = settle(offer("one", 31))  # 4.2% below the base model
    assert said["decision"] == "passed"
    assert said["warnings"] == [f"not known yet against {what} (open, within 5%): facts"
                                for what in ("the base model", "the model that later stages started from")]
    assert said["summary"][0].endswith("not known yet: facts")
    said = settle(offer("two", 38))  # 5.4% below
    assert said["decision"] == "blocked" and "facts may be lost against the base model" in said["reasons"][0]
    assert "examples would decide" in said["reasons"][0]


def test_too_few_to_tell_is_a_warning_unless_it_is_surely_lost():
    def last_150(wrong: int) -> dict:
        offered = replace(offer("one", wrong), start=None)
        for path in (offered.records, offered.baseline):
            write(pl.read_parquet(path).filter(pl.col("example_id") >= "e450"), path, RECORDS)
        return settle(offered)
    said = last_150(16)  # 6.9% below
    assert said["decision"] == "passed"
    assert said["warnings"] == ["not known yet against the base model (too few to tell): facts"]
    assert last_150(38)["decision"] == "blocked"  # 22% below


def test_a_slice_that_vanishes_blocks_where_its_capability_is_kept():
    said = settle(offer("one", 0, slices=10))
    assert said["summary"][0] == "kept 2 of 2 capabilities and 20 of 20 slices against the base model"
    said = settle(offer("two", 26, slices=10))  # 4.3% of all, nearly half of one slice of ten
    assert said["decision"] == "blocked"
    assert any(r.startswith("facts, s9 was lost against the base model") for r in said["reasons"])
    assert not any(r.startswith("facts was lost") for r in said["reasons"])
    assert said["comparisons"]["baseline"]["lost"] == ["facts, s9"]


def test_without_records_of_the_start_the_base_model_and_the_last_release_are_left():
    said = settle(replace(offer("one", 8), start=None))
    assert said["decision"] == "passed" and list(said["comparisons"]) == ["baseline"]
    said = settle(replace(offer("two", 60), start=None))
    assert said["decision"] == "blocked" and list(said["comparisons"]) == ["baseline", "released"]


def test_a_loss_against_the_last_release_alone_blocks():
    settle(offer("one", 0))
    before = state()
    said = settle(offer("two", 33))  # 5.5% below the release, 4.5% below the base model
    assert said["decision"] == "blocked" and state() == before
    assert said["comparisons"]["baseline"]["blocking"] == said["comparisons"]["start"]["blocking"] == []
    assert said["comparisons"]["released"]["blocking"] == ["facts"]


def test_slow_decay_over_releases_is_held_by_the_base_model():
    said = [settle(offer(f"w{wrong}", wrong))["decision"] for wrong in (10, 20, 30, 40)]
    assert said == ["passed", "passed", "passed", "blocked"]


def test_blocked_before_any_release_leaves_no_model():
    said = settle(offer("bad", 200))
    assert said["decision"] == "blocked"
    assert not FOLDER.exists()
    with pytest.raises(UserError, match="nothing has been released"):
        load("released")
    with pytest.raises(UserError, match="release blocked"):
        confirm(VERDICT)
    assert settle(offer("good", 8))["decision"] == "passed"


def test_a_rejecting_gate_blocks():
    said = settle(offer("one", 0, ("HIGH", "REJECT", "HIGH")))
    assert said["decision"] == "blocked" and said["reasons"] == ["the gate of rl is REJECT"]


@pytest.mark.parametrize(("change", "message"), [
    ({"tier": "HIGH"}, "says HIGH, but its checks make REJECT"), ({"tier": "high"}, "says high, but"),
    ({"checks": []}, "no checks"), ({"checks": [{"severity": "grave", "passed": False}]}, "check 1 is none")])
def test_a_verdict_whose_tier_contradicts_its_checks_is_refused(change, message):
    candidate = offer("one", 8, ("HIGH", "REJECT", "HIGH"))
    path = candidate.gates["rl"]
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        settle(candidate)
    assert not FOLDER.exists()


def test_examples_left_out_of_the_evaluation_block():
    said = settle(offer("one", 8, n=590))
    assert said["decision"] == "blocked"
    assert "10 examples of facts were evaluated for the base model" in said["reasons"][0]


def test_verdict_and_pointer_carry_the_hashes_of_all_that_the_release_rests_on():
    said = settle(offer("one", 8))
    pointer = json.loads((FOLDER / "pointer.json").read_text())
    beside = {"data/evaluation/demo.parquet", "data/common/baseline/records.parquet", "data/srf/sft/records.parquet",
              "data/srf/evaluate/reserve.parquet", "data/srf/evaluate/reserve_of_start.parquet",
              "data/common/baseline/reserve.parquet", "metrics/srf/evaluate.json",
              *(f"expectations/srf/{s}.json" for s in STAGES), *(f"metrics/srf/gates/{s}.json" for s in STAGES)}
    assert set(pointer["bound"]) == beside | {"verdicts/srf.json", "data/sealed/demo.parquet"}
    assert all(said["bound"][path] == pointer["bound"][path] for path in beside)
    assert said["bound"]["checkpoints/srf/iterate"] == tree_md5(Path("checkpoints/srf/iterate"))[0]
    for path in beside | {"data/srf/evaluate/records.parquet"}:
        assert said["bound"][path] == hashlib.md5(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("path", ["checkpoints/srf/iterate/model.safetensors", "data/srf/evaluate/records.parquet",
                                  "metrics/srf/gates/rl.json", "expectations/srf/rl.json",
                                  "data/common/baseline/records.parquet", "data/evaluation/demo.parquet"])
def test_what_the_stages_did_not_run_on_is_not_released(path):
    candidate = offer("one", 8)
    locked()
    assert settle(candidate)["decision"] == "passed"
    before = state()
    if path.endswith("records.parquet"):
        records(path, 7)
    elif path.endswith(("rl.json", "demo.parquet")):
        Path(path).write_text(Path(path).read_text() + "\n")
    else:
        Path(path).write_text("onf")  # one bit of "one"
    with pytest.raises(UserError, match=r"is not what (srf:evaluate|srf:gate@rl|baseline) ran on"):
        settle(candidate)
    assert state() == before


@pytest.mark.parametrize("unknown", ["checkpoints/srf/iterate", "data/srf/evaluate", "metrics/srf/gates/rl.json",
                                     "data/evaluation", "metrics/srf/evaluate.json", "expectations/srf/rl.json"])
def test_in_a_dvc_repository_what_no_lock_records_is_not_judged(unknown):
    candidate = offer("one", 8)
    record_all(candidate)
    assert judge(candidate)["decision"] == "passed"
    lock = json.loads(Path("stages/srf/dvc.lock").read_text())
    ran = lock["stages"]["evaluate"]
    ran["outs"] = [out for out in ran["outs"] if not out["path"].startswith(unknown)]
    Path("stages/srf/dvc.lock").write_text(json.dumps(lock))
    with pytest.raises(UserError, match=f"{unknown}(.|\n)*no dvc.lock records it"):
        judge(candidate)


def test_evaluation_rows_that_nobody_evaluated_are_not_bound_to_a_judge():
    candidate = offer("one", 8)
    record_all(candidate)
    Path("data/evaluation/more.parquet").write_text("rows")
    with pytest.raises(UserError, match="is not what srf:evaluate ran on"):
        judge(candidate)


@pytest.mark.parametrize("missing", ["metrics/srf/gates/rl.json", "data/srf/evaluate/records.parquet",
                                     "data/srf/sft/records.parquet", "data/common/baseline/records.parquet",
                                     "metrics/srf/evaluate.json"])
def test_a_missing_input_stops_with_nothing_changed(missing):
    settle(offer("one", 8))
    candidate = offer("two", 4)
    Path(missing).unlink()
    before = state()
    with pytest.raises(UserError, match=missing):
        settle(candidate)
    assert state() == before


def test_lost_records_of_the_last_release_are_not_taken_for_no_release():
    settle(offer("one", 8))
    for path in (FOLDER / "records").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="records of a model released before are missing"):
        settle(offer("two", 4))


def test_a_damaged_copy_of_the_released_model_is_mended():
    said = settle(offer("one", 8))
    whole = state()
    (FOLDER / "model" / said["version"] / "model.safetensors").write_text("torn")
    settle(offer("one", 8))
    assert state() == whole


def test_an_empty_model_is_refused():
    candidate = offer("one", 8)
    shutil.rmtree(candidate.model)
    candidate.model.mkdir()
    with pytest.raises(UserError, match="holds no files"):
        settle(candidate)


def test_no_verdict_yet():
    with pytest.raises(UserError, match="no such file"):
        confirm(VERDICT)
