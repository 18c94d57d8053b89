"""`realign gate`: the stored verdict as a table, or the whole suite."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from realign.cli import gate
from realign.cli.app import app
from realign.errors import UserError
from realign.gates.members import with_members
from realign.gates.suite import read_suite, with_evidence
from realign.lake.hashes import file_md5

EXPECTATIONS = Path(__file__).parents[3] / "expectations"
CHECK = {"metric": "kl", "observed": 0.2, "low": 0.1, "high": 0.3, "n": 400, "expectation": "x", "threshold": "≤ 0.1",
         "severity": "critical", "passed": False, "evidence": False}


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copytree(EXPECTATIONS, tmp_path / "expectations")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(app, ["gate", *arguments])


def store(root: Path, tier: str) -> None:
    path = root / "metrics" / "srf" / "gates" / "rl.json"
    path.parent.mkdir(parents=True)
    suite = "expectations/srf/rl.json"
    path.write_text(json.dumps({"workflow": "srf", "stage": "rl", "tier": tier, "checks": [CHECK], "remedy": "halve",
                                "of": {suite: file_md5(root / suite)}}))


@pytest.mark.parametrize(("tier", "status"), [("HIGH", 0), ("MEDIUM", 0), ("REJECT", 1)])
def test_the_stored_verdict_is_shown(project, tier, status):
    store(project, tier)
    done = run("srf", "rl")
    assert done.exit_code == status
    assert f"srf/rl: {tier}" in done.stdout and "≤ 0.1" in done.stdout
    assert done.stderr == f"srf/rl {tier}; to do: halve\n"


@pytest.mark.parametrize("change", [lambda suite: suite.write_text("{}"), Path.unlink])
def test_a_verdict_on_other_files_than_those_at_hand_is_not_shown(project, change):
    store(project, "HIGH")
    change(project / "expectations/srf/rl.json")
    with pytest.raises(UserError, match="is on another expectations") as refused:
        gate.show("srf", "rl", project)
    assert "dvc repro: the gate judges anew" in str(refused.value)


@pytest.mark.parametrize(("stage", "words"), [("rl", "to do: dvc repro"), ("reward", "did you mean 'reward_model'"),
                                              ("../rl", "no name of a workflow or stage")])
def test_a_gate_that_has_not_run_is_named(project, stage, words):
    done = run("srf", stage)
    assert isinstance(done.exception, UserError) and words in str(done.exception)


@pytest.mark.parametrize("path", sorted(EXPECTATIONS.glob("*/*.json")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_whole_suite_is_one_that_great_expectations_builds(project, path):
    import great_expectations as gx

    (project / "metrics/common").mkdir(parents=True)
    figure = {"value": 0.9, "n": 600, "low": 0.88, "high": 0.92}
    baseline = {"capability": {"facts": figure}, "slice": {"facts/other": figure}, "undecided": {"facts": figure}}
    (project / "metrics/common/baseline.json").write_text(json.dumps(baseline))
    done = run(path.parent.name, path.stem, "--suite")
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    assert printed == with_evidence(with_members(read_suite(path), project))
    assert len(gx.ExpectationSuite(**printed).expectations) == len(printed["expectations"])
