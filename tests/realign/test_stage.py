"""What a stage leaves behind besides its datasets and models."""

import json

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
