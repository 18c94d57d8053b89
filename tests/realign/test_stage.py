"""What a stage leaves behind besides its datasets and models."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from realign import stage
from realign.errors import UserError
from realign.metrics import exact


def test_curves_have_every_field_in_every_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stage.write_metrics("w", "s", {"pairs": exact(3)}, [{"step": 1, "loss": 2.0}, {"step": 2, "accuracy": 0.5}])
    assert json.loads((tmp_path / "metrics/w/plots/s.json").read_text()) == [
        {"step": 1, "loss": 2.0, "accuracy": None}, {"step": 2, "loss": None, "accuracy": 0.5}]
    assert json.loads((tmp_path / "metrics/w/s.json").read_text())["pairs"]["value"] == 3


def test_a_finished_stage_logs_its_time_and_leaves_no_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/w/s/checkpoint").mkdir(parents=True)
    stage.main("w", "s", lambda: "made three")
    assert [p.name for p in (tmp_path / "runs/w/s").iterdir()] == ["log.jsonl"]
    assert "w s: made three" in capsys.readouterr().err


def test_a_users_fault_is_one_message_and_keeps_the_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/w/s/checkpoint").mkdir(parents=True)

    def fail() -> str:
        raise UserError("no rows", where="pairs.jsonl", fix="give some")

    with pytest.raises(SystemExit) as ended:
        stage.main("w", "s", fail)
    assert ended.value.code == 2 and "w s: pairs.jsonl: no rows" in capsys.readouterr().err
    assert (tmp_path / "runs/w/s/checkpoint").is_dir()


def test_a_stage_that_still_runs_is_not_run_beside_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = ("import time; from realign import stage; "
               "stage.main('w', 's', lambda: print('begun', flush=True) or time.sleep(60))")
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    assert other.stdout.readline() == "begun\n"
    with pytest.raises(SystemExit):
        stage.main("w", "s", lambda: "made twice")
    assert f"process {other.pid} still runs this stage" in capsys.readouterr().err
    stage.main("w", "t", lambda: "another stage may run")
    other.send_signal(signal.SIGKILL)
    other.wait()
    stage.main("w", "s", lambda: "made after its death")
    assert "made after its death" in capsys.readouterr().err
