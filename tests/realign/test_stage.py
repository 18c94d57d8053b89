"""A stage: its places and knobs, what it reports, and what it leaves behind besides its datasets and models."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from realign.errors import UserError
from realign.lake import atomic
from realign.metrics import Metric, exact
from realign.params import Count, Rate
from realign.stage import Stage

HERE = Stage("w", "s")
PARAMS = """\
common:
  s: {seed: 1, rate: 0.5}
w:
  s: {seed: 2}
  other: {seed: 3, rate: 0.1}
v:
  s: {seed: 4, rate: 0.2}
"""


@dataclass(frozen=True)
class Knobs:
    seed: Count
    rate: Rate


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def test_places_follow_from_its_names():
    assert [path.as_posix() for path in (HERE.dataset("pairs"), HERE.checkpoint, HERE.scratch)] == [
        "data/w/s/pairs.parquet", "checkpoints/w/s", "runs/w/s"]
    assert HERE.of("t").checkpoint == Path("checkpoints/w/t")
    assert HERE.of("t", "v") == Stage("v", "t")


def test_knobs_are_its_own_unless_another_section_is_named():
    assert HERE.params(Knobs, "other") == Knobs(3, 0.1)
    assert HERE.of("s", "v").params(Knobs) == Knobs(4, 0.2)
    assert HERE.params(Knobs, over="common.s") == Knobs(2, 0.5)
    with pytest.raises(UserError, match=r"w\.s\.rate: missing key"):
        HERE.params(Knobs)


def test_a_report_holds_metrics_and_what_the_stage_settled_itself(folder):
    HERE.report({"accuracy": Metric(0.51234567, 10, 0.2, 0.8), "by": {"facts": exact(3)}}, settled={"rate": 0.05})
    assert json.loads((folder / "metrics/w/s.json").read_text()) == {
        "accuracy": {"value": 0.512346, "n": 10, "low": 0.2, "high": 0.8},
        "by": {"facts": {"value": 3, "n": 3, "low": 3, "high": 3}}, "settled": {"rate": 0.05}}
    assert not (folder / "metrics/w/plots").exists()
    HERE.report({"pairs": exact(1)}, settled={})
    assert json.loads((folder / "metrics/w/s.json").read_text()).keys() == {"pairs"}


def test_curves_have_every_field_in_every_record(folder):
    HERE.report({"pairs": exact(3)}, [{"step": 1, "loss": 2.0}, {"step": 2, "accuracy": float("nan")}])
    assert json.loads((folder / "metrics/w/plots/s.json").read_text()) == [
        {"step": 1, "loss": 2.0, "accuracy": None}, {"step": 2, "loss": None, "accuracy": None}]


def test_a_finished_stage_logs_its_time_and_leaves_no_checkpoint(folder, capsys):
    (folder / "runs/w/s/checkpoint").mkdir(parents=True)
    HERE.run(lambda here: f"made three of {here.name}")
    assert [p.name for p in (folder / "runs/w/s").iterdir()] == ["log.jsonl"]
    assert capsys.readouterr().err == "w s: made three of s (0 s)\n"
    HERE.run(lambda here: "made again")
    first, second = map(json.loads, (folder / "runs/w/s/log.jsonl").read_text().splitlines())
    assert first.keys() == second.keys() == {"seconds", "peak_memory_mib", "ended"}
    assert second["peak_memory_mib"] > 10


def test_a_stage_that_fails_keeps_its_checkpoint_and_logs_nothing(folder, capsys):
    (folder / "runs/w/s/checkpoint").mkdir(parents=True)

    def fail(here):
        raise UserError("no rows", where="pairs.jsonl", fix="give some")

    with pytest.raises(UserError, match=r"pairs\.jsonl: no rows"):
        HERE.run(fail)
    assert [p.name for p in (folder / "runs/w/s").iterdir()] == ["checkpoint"]
    assert not capsys.readouterr().err
    HERE.run(lambda here: "made after all")  # the lock is free again


def test_of_processes_launched_together_the_first_alone_logs(folder, monkeypatch, capsys):
    monkeypatch.setenv(atomic.RANK, "1")
    HERE.run(lambda here: "made beside the first")
    assert not (folder / "runs").exists() and not capsys.readouterr().err


def test_a_stage_that_still_runs_is_not_run_beside_itself(capsys):
    program = ("import time; from realign.stage import Stage; "
               "Stage('w', 's').run(lambda here: print('begun', flush=True) or time.sleep(60))")
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    assert other.stdout.readline() == "begun\n"
    with pytest.raises(UserError, match=f"process {other.pid} still runs this stage"):
        HERE.run(lambda here: "made twice")
    HERE.of("t").run(lambda here: "another stage may run")
    other.send_signal(signal.SIGKILL)
    other.wait()
    HERE.run(lambda here: "made after its death")
    assert "made after its death" in capsys.readouterr().err
