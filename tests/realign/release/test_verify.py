"""A released model and all it rests on, with one thing changed afterwards."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from realign.errors import UserError
from realign.lake.atomic import write_json
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, write
from realign.release.command import verify as command
from realign.release.decide import Candidate, decide
from realign.release.release import release

STAGES = ("sft", "pairs", "evaluate")
RECORDED = {"candidate": Path("data/srf/evaluate/records.parquet"), "start": Path("data/srf/sft/records.parquet"),
            "baseline": Path("data/common/baseline/records.parquet")}
RESERVE = {name: Path(f"data/srf/evaluate/reserve_{name}.parquet") for name in RECORDED}
EVALUATION, SEALED = Path("data/evaluation/demo.parquet"), Path("data/sealed/demo.parquet")
MODEL, POINTER = Path("checkpoints/srf/evaluate"), Path("released/srf/pointer.json")


def verdict(stage: str, tier: str, passed: bool) -> None:
    path = Path(f"metrics/srf/gates/{stage}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    check = {"metric": "kl", "severity": "critical", "passed": passed}
    path.write_text(json.dumps({"stage": stage, "tier": tier, "checks": [check]}))


@pytest.fixture
def released(tmp_path, monkeypatch, declared) -> Path:
    """The released model's folder; the working directory is its project."""
    monkeypatch.chdir(tmp_path)
    declared(tmp_path)
    MODEL.mkdir(parents=True)
    (MODEL / "model.safetensors").write_bytes(bytes(range(64)))
    (MODEL / "config.json").write_text("{}")
    rows = [{"example_id": f"e{i}", "capability": "facts", "slice": "s", "prompt": f"{i}?", "output": "o",
             "reference": "r", "score": 1.0} for i in range(600)]
    for path in (*RECORDED.values(), EVALUATION, SEALED):
        write(frame(rows, RECORDS), path, RECORDS)
    for path in RESERVE.values():
        write(frame([], RECORDS), path, RECORDS)
    suites = {stage: Path(f"expectations/srf/{stage}.json") for stage in STAGES}
    for stage, path in suites.items():
        verdict(stage, "HIGH", True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"min_value": 0.95}')
    metrics = Path("metrics/srf/evaluate.json")
    metrics.write_text("{}")
    gates = {s: Path(f"metrics/srf/gates/{s}.json") for s in STAGES}
    candidate = Candidate("srf", MODEL, *(RECORDED[name] for name in ("candidate", "baseline", "start")), RESERVE,
                          metrics, (EVALUATION,), gates, suites)
    said = decide(candidate, Path("released/srf"))
    assert said["decision"] == "passed"
    write_json("verdicts/srf.json", said)
    pointer = release(candidate, Path("released/srf"), Path("verdicts/srf.json"), [SEALED],
                      lambda name: pl.read_parquet(RECORDED[name]))
    return Path(pointer["model"]["path"])


@pytest.fixture(autouse=True)
def answers(monkeypatch):
    """Whether the model answers as recorded is tested with a real one, in tests/workflows."""
    monkeypatch.setattr("realign.release.verify.answered_again", lambda pointer, root: (50, []))


def verify() -> tuple[int, str]:
    """Exit code and output of `realign verify`."""
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, ["srf"])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def flip(path: Path) -> None:
    """Flips one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_record(path: Path) -> None:
    """Makes one wrong answer of a right one."""
    rows = pl.read_parquet(path)
    write(rows.with_columns(score=pl.when(pl.col("example_id") == "e7").then(0.0).otherwise(pl.col("score"))), path,
          RECORDS)


def test_what_was_released_is_verified(released):
    code, said = verify()
    assert code == 0 and "the model (2 files), its records and 15 files it was judged by" in said
    assert "3 tiers follow" in said


def test_the_next_training_does_not_matter_to_the_model_that_was_released(released):
    shutil.rmtree(MODEL)
    assert verify()[0] == 0


def test_one_flipped_bit_of_the_model_is_named(released):
    flip(released / "model.safetensors")
    code, said = verify()
    assert code == 1 and said.startswith(f"{released}/model.safetensors is not what was released: its MD5 is ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["released", "start", "baseline", "evaluation"])
def test_an_edited_record_or_evaluation_row_is_named(released, name):
    path = (Path(json.loads(POINTER.read_text())["records"]["path"]) if name == "released"
            else EVALUATION if name == "evaluation" else RECORDED[name])
    edit_record(path)
    code, said = verify()
    assert code == 1 and said.startswith(f"{path} is not what was released") and len(said.splitlines()) == 1


def test_an_edited_tier_is_named_twice_as_other_bytes_and_as_a_contradiction(released):
    verdict("pairs", "MEDIUM", True)
    code, said = verify()
    assert code == 1 and "metrics/srf/gates/pairs.json is not what was released" in said
    assert "metrics/srf/gates/pairs.json: says MEDIUM, but its checks make HIGH" in said


def test_a_verdict_that_became_another_is_named(released):
    verdict("pairs", "REJECT", False)
    assert "metrics/srf/gates/pairs.json: the gate of pairs is REJECT, was HIGH" in verify()[1]


def test_an_edited_suite_is_named(released):
    Path("expectations/srf/pairs.json").write_text('{"min_value": 0.5}')
    code, said = verify()
    assert code == 1 and said.startswith("expectations/srf/pairs.json is not what was released")


def test_what_is_missing_or_was_added_is_named(released):
    (released / "config.json").unlink()
    (released / "chat_template.jinja").write_text("x")
    EVALUATION.unlink()
    assert verify() == (1, f"{released}/chat_template.jinja was not released\n{released}/config.json is missing\n"
                           f"{EVALUATION} is missing\n")


def test_nothing_released_and_a_release_without_hashes_say_what_to_do(released):
    kept = json.loads(POINTER.read_text())
    del kept["bound"]
    POINTER.write_text(json.dumps(kept))
    with pytest.raises(UserError, match="without the hashes"):
        verify()
    POINTER.unlink()
    with pytest.raises(UserError, match="nothing has been released"):
        verify()


def test_an_opening_that_nobody_noted_is_named(released):
    Path("released/srf/openings.jsonl").unlink()
    assert verify() == (1, "released/srf/openings.jsonl: no opening 1 for this model that passed\n")


def test_what_was_committed_by_hand_after_the_release_is_named(released):
    tree = json.loads(POINTER.read_text())["model"]["md5"]
    Path("stages/srf/dvc.lock").write_text(json.dumps({"stages": {
        "evaluate": {"cmd": "x", "outs": [{"path": "checkpoints/srf/evaluate", "md5": tree}]},
        "sft": {"cmd": "x", "outs": [{"path": "data/srf/sft", "md5": "edited.dir"}]}}}))
    Path("metrics/srf/sft.json").write_text(json.dumps({"of": {"data/srf/sft": "made.dir"}}))
    code, said = verify()
    assert code == 1 and said.startswith("data/srf/sft was changed after sft had made it, and committed by hand")
