import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from realign.errors import UserError
from realign.lake.hashes import file_md5, tree_md5
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, write
from realign.release.release import Candidate, confirm, release
from realign.versions.load import load

STAGES = ("sft", "rl", "evaluate")
FOLDER, DECISION = Path("released/srf"), Path("released/srf/decision.json")
RESERVE = {"candidate": Path("data/srf/evaluate/reserve.parquet"),
           "baseline": Path("data/common/baseline/reserve.parquet"),
           "start": Path("data/srf/evaluate/reserve_of_start.parquet")}


def records(path: str, wrong: int, n: int = 600, slices: int = 1) -> None:
    """Answers to `n` facts, `wrong` of them (the last ones) wrong, and to `n` rows of a format that is never missed."""
    rows = []
    for capability, misses in (("facts", wrong), ("format", 0)):
        rows += [{"example_id": f"e{i:03}", "capability": capability, "slice": f"s{i * slices // 600}",
                  "prompt": f"{capability} {i}?", "reference": "yes", "output": "no" if i >= 600 - misses else "yes",
                  "score": float(i < 600 - misses)} for i in range(n)]
    write(frame(rows, RECORDS), path, RECORDS)


def gate(stage: str, tier: str) -> Path:
    """A verdict whose one check makes that tier."""
    path = Path(f"metrics/srf/gates/{stage}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    check = {"metric": "kl", "severity": {"REJECT": "critical"}.get(tier, "warning"), "passed": tier == "HIGH"}
    path.write_text(json.dumps({"workflow": "srf", "stage": stage, "tier": tier, "checks": [check]}))
    return path


def offer(weights: str, wrong: int, tiers=("HIGH", "MEDIUM", "HIGH"), n: int = 600, slices: int = 1) -> Candidate:
    """A candidate whose model answers `wrong` of 600 facts wrong, where the start answered 10 wrong, the base 6."""
    model = Path("checkpoints/srf/iterate")
    shutil.rmtree(model, ignore_errors=True)
    (model / "sub").mkdir(parents=True)
    (model / "model.safetensors").write_text(weights)
    (model / "config.json").write_text("{}")
    (model / "sub" / "tokenizer.json").write_text("{}")
    records("data/srf/evaluate/records.parquet", wrong, n, slices)
    records("data/srf/sft/records.parquet", 10, slices=slices)
    records("data/common/baseline/records.parquet", 6, slices=slices)
    for path in RESERVE.values():
        write(frame([], RECORDS), path, RECORDS)
    gates = {stage: gate(stage, tier) for stage, tier in zip(STAGES, tiers, strict=True)}
    suites = {stage: Path(f"expectations/srf/{stage}.json") for stage in STAGES}
    for path in (*suites.values(), Path("data/evaluation/demo.parquet")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path}")
    metrics = Path("metrics/srf/evaluate.json")
    metrics.write_text(json.dumps({"kl": {"value": wrong / 1000, "n": 9, "low": 0.0, "high": 1.0}}))
    return Candidate("srf", model, Path("data/srf/evaluate/records.parquet"),
                     Path("data/common/baseline/records.parquet"), Path("data/srf/sft/records.parquet"),
                     RESERVE, metrics, (Path("data/evaluation/demo.parquet"),), gates, suites)


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
    assert load("released").records.num_rows == 1200
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


def test_a_loss_is_blocked_and_says_what_fell_by_how_much_and_which_rows():
    release(offer("one", 8), FOLDER, DECISION)
    before = state()
    said = release(offer("bad", 90), FOLDER, DECISION)
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
    with pytest.raises(UserError, match=r"stays released(.|\n)*facts was lost"):
        confirm(DECISION)


def test_what_surely_fell_by_less_than_the_margin_is_kept():
    said = release(offer("one", 20), FOLDER, DECISION)  # 2.4% below the base model, surely less than 5%
    assert (said["decision"], said["warnings"], said["reasons"]) == ("released", [], [])
    assert said["summary"][0] == "kept 2 of 2 capabilities against the base model"


def test_open_within_the_margin_is_a_warning_and_above_it_blocks():
    said = release(offer("one", 31), FOLDER, DECISION)  # 4.2% below the base model
    assert said["decision"] == "released"
    assert said["warnings"] == [f"not known yet against {what} (open, within 5%): facts"
                                for what in ("the base model", "the model that later stages started from")]
    assert said["summary"][0].endswith("not known yet: facts")
    said = release(offer("two", 38), FOLDER, DECISION)  # 5.4% below
    assert said["decision"] == "blocked" and "facts may be lost against the base model" in said["reasons"][0]
    assert "examples would decide" in said["reasons"][0]


def test_too_few_to_tell_is_a_warning_unless_it_is_surely_lost():
    def last_150(wrong: int) -> dict:
        offered = replace(offer("one", wrong), start=None)
        for path in (offered.records, offered.baseline):
            write(pl.read_parquet(path).filter(pl.col("example_id") >= "e450"), path, RECORDS)
        return release(offered, FOLDER, DECISION)
    said = last_150(16)  # 6.9% below
    assert said["decision"] == "released"
    assert said["warnings"] == ["not known yet against the base model (too few to tell): facts"]
    assert last_150(38)["decision"] == "blocked"  # 22% below


def test_a_slice_that_vanishes_blocks_where_its_capability_is_kept():
    said = release(offer("one", 0, slices=10), FOLDER, DECISION)
    assert said["summary"][0] == "kept 2 of 2 capabilities and 20 of 20 slices against the base model"
    said = release(offer("two", 26, slices=10), FOLDER, DECISION)  # 4.3% of all, nearly half of one slice of ten
    assert said["decision"] == "blocked"
    assert any(r.startswith("facts, s9 was lost against the base model") for r in said["reasons"])
    assert not any(r.startswith("facts was lost") for r in said["reasons"])
    assert said["comparisons"]["baseline"]["lost"] == ["facts, s9"]


def test_without_records_of_the_start_the_base_model_and_the_last_release_are_left():
    said = release(replace(offer("one", 8), start=None), FOLDER, DECISION)
    assert said["decision"] == "released" and list(said["comparisons"]) == ["baseline"]
    said = release(replace(offer("two", 60), start=None), FOLDER, DECISION)
    assert said["decision"] == "blocked" and list(said["comparisons"]) == ["baseline", "released"]


def test_a_loss_against_the_last_release_alone_blocks():
    release(offer("one", 0), FOLDER, DECISION)
    before = state()
    said = release(offer("two", 33), FOLDER, DECISION)  # 5.5% below the release, 4.5% below the base model
    assert said["decision"] == "blocked" and state() == before
    assert said["comparisons"]["baseline"]["blocking"] == said["comparisons"]["start"]["blocking"] == []
    assert said["comparisons"]["released"]["blocking"] == ["facts"]


def test_slow_decay_over_releases_is_held_by_the_base_model():
    said = [release(offer(f"w{wrong}", wrong), FOLDER, DECISION)["decision"] for wrong in (10, 20, 30, 40)]
    assert said == ["released", "released", "released", "blocked"]


def test_blocked_before_any_release_leaves_no_model():
    said = release(offer("bad", 200), FOLDER, DECISION)
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


@pytest.mark.parametrize(("change", "message"), [
    ({"tier": "HIGH"}, "says HIGH, but its checks make REJECT"), ({"tier": "high"}, "says high, but"),
    ({"checks": []}, "no checks"), ({"checks": [{"severity": "grave", "passed": False}]}, "check 1 is none")])
def test_a_verdict_whose_tier_contradicts_its_checks_is_refused(change, message):
    candidate = offer("one", 8, ("HIGH", "REJECT", "HIGH"))
    path = candidate.gates["rl"]
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        release(candidate, FOLDER, DECISION)
    assert not FOLDER.exists()


def test_examples_left_out_of_the_evaluation_block():
    said = release(offer("one", 8, n=590), FOLDER, DECISION)
    assert said["decision"] == "blocked"
    assert "10 examples of facts were evaluated for the base model" in said["reasons"][0]


def test_decision_and_pointer_carry_the_hashes_of_all_that_the_release_rests_on():
    said = release(offer("one", 8), FOLDER, DECISION)
    pointer = json.loads((FOLDER / "pointer.json").read_text())
    beside = {"data/evaluation/demo.parquet", "data/common/baseline/records.parquet", "data/srf/sft/records.parquet",
              "data/srf/evaluate/reserve.parquet", "data/srf/evaluate/reserve_of_start.parquet",
              "data/common/baseline/reserve.parquet", "metrics/srf/evaluate.json",
              *(f"expectations/srf/{s}.json" for s in STAGES), *(f"metrics/srf/gates/{s}.json" for s in STAGES)}
    assert set(pointer["bound"]) == beside
    assert said["bound"].items() >= pointer["bound"].items()
    assert said["bound"]["checkpoints/srf/iterate"] == tree_md5(Path("checkpoints/srf/iterate"))[0]
    for path in beside | {"data/srf/evaluate/records.parquet"}:
        assert said["bound"][path] == hashlib.md5(Path(path).read_bytes()).hexdigest()


def locked() -> None:
    """The dvc.lock files of the stages that answered, evaluated and judged what is at hand."""
    def entry(path: str) -> dict:
        found = Path(path)
        md5 = tree_md5(found)[0] if found.is_dir() else hashlib.md5(found.read_bytes()).hexdigest()
        return {"path": path, "md5": md5}
    Path("stages/srf/dvc.lock").write_text(json.dumps({"stages": {
        "evaluate": {"cmd": "x", "deps": [entry("checkpoints/srf/iterate")], "outs": [entry("data/srf/evaluate")]},
        "gate@rl": {"cmd": "x", "deps": [entry("expectations/srf/rl.json")],
                    "outs": [entry("metrics/srf/gates/rl.json")]}}}))
    Path("dvc.yaml").write_text("stages: {baseline: {cmd: x}}")
    old = {"path": "checkpoints/srf/iterate", "md5": "of the model before"}
    Path("dvc.lock").write_text(json.dumps({"stages": {
        "baseline": {"cmd": "x", "deps": [entry("data/evaluation/demo.parquet")],
                     "outs": [entry("data/common/baseline")]},
        "verdict@srf": {"cmd": "x", "deps": [old]}}}))


@pytest.mark.parametrize("path", ["checkpoints/srf/iterate/model.safetensors", "data/srf/evaluate/records.parquet",
                                  "metrics/srf/gates/rl.json", "expectations/srf/rl.json",
                                  "data/common/baseline/records.parquet", "data/evaluation/demo.parquet"])
def test_what_the_stages_did_not_run_on_is_not_released(path):
    candidate = offer("one", 8)
    locked()
    assert release(candidate, FOLDER, DECISION)["decision"] == "released"
    before = state()
    if path.endswith("records.parquet"):
        records(path, 7)
    elif path.endswith(("rl.json", "demo.parquet")):
        Path(path).write_text(Path(path).read_text() + "\n")
    else:
        Path(path).write_text("onf")  # one bit of "one"
    with pytest.raises(UserError, match=r"is not what (srf:evaluate|srf:gate@rl|baseline) ran on"):
        release(candidate, FOLDER, DECISION)
    assert state() == before


def record_all(candidate: Candidate) -> None:
    """A dvc.lock that knows everything at hand."""
    folders = {path.parent for path in (candidate.records, candidate.baseline, candidate.start, *candidate.evaluation)}
    files = [candidate.metrics, *candidate.reserve.values(), *candidate.evaluation, *candidate.gates.values(),
             *candidate.suites.values()]
    outs = [{"path": p.as_posix(), "md5": tree_md5(p)[0] if p.is_dir() else file_md5(p)}
            for p in [candidate.model, *folders, *files]]
    Path("stages/srf/dvc.lock").write_text(json.dumps({"stages": {"evaluate": {"cmd": "x", "outs": outs}}}))
    Path(".dvc").mkdir(exist_ok=True)


@pytest.mark.parametrize("unknown", ["checkpoints/srf/iterate", "data/srf/evaluate", "metrics/srf/gates/rl.json",
                                     "data/evaluation", "metrics/srf/evaluate.json", "expectations/srf/rl.json"])
def test_in_a_dvc_repository_what_no_lock_records_is_not_released(unknown):
    candidate = offer("one", 8)
    record_all(candidate)
    assert release(candidate, FOLDER, DECISION)["decision"] == "released"
    lock = json.loads(Path("stages/srf/dvc.lock").read_text())
    ran = lock["stages"]["evaluate"]
    ran["outs"] = [out for out in ran["outs"] if not out["path"].startswith(unknown)]
    Path("stages/srf/dvc.lock").write_text(json.dumps(lock))
    with pytest.raises(UserError, match=f"{unknown}(.|\n)*no dvc.lock records it"):
        release(candidate, FOLDER, DECISION)


def test_evaluation_rows_that_nobody_evaluated_are_not_bound_to_a_release():
    candidate = offer("one", 8)
    record_all(candidate)
    Path("data/evaluation/more.parquet").write_text("rows")
    with pytest.raises(UserError, match="is not what srf:evaluate ran on"):
        release(candidate, FOLDER, DECISION)


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
