import json

import pytest
from typer.testing import CliRunner

from realign.cli.app import app
from realign.cli.status import deciding
from realign.report.sources import load

STAGES = ("look", "pairs", "polish", "evaluate")
DECLARED = """\
stages:
  look: {desc: A look. Shows the start., meta: {workflow: Tidying up, role: start}}
  pairs: {desc: Pairs. Makes pairs.}
  polish: {desc: Polishing. Makes the model better., meta: {role: offered}}
  evaluate: {desc: Evaluation. Compares.}
  gate: {foreach: {look: x, pairs: x, polish: x, evaluate: x}, do: {cmd: x}}
"""


@pytest.fixture(autouse=True)
def declared(tmp_path):
    (tmp_path / "stages" / "made").mkdir(parents=True)
    (tmp_path / "stages" / "made" / "dvc.yaml").write_text(DECLARED)


def check(metric, observed, threshold, *, half=0.02, severity="critical", passed=True):
    return {"metric": metric, "observed": observed, "low": observed - half, "high": observed + half, "n": 400,
            "expectation": "expect_column_values_to_be_between", "threshold": threshold, **bounds(threshold),
            "severity": severity, "passed": passed, "evidence": metric.endswith(".n")}


def bounds(threshold):
    """"≥ 0.5 and ≤ 2" as a verdict's numbers."""
    ends = {"max" if part[0] in "≤<" else "min": float(part[2:]) for part in threshold.split(" and ")}
    return {"min": None, "max": None} | ends


def gate(root, stage, *checks, tier="HIGH", remedy=""):
    home = root / "metrics" / "made"
    (home / "gates").mkdir(parents=True, exist_ok=True)
    (home / f"{stage}.json").write_text('{"kl": {"value": 0.05, "n": 400, "low": 0.04, "high": 0.06}}')
    (home / "gates" / f"{stage}.json").write_text(json.dumps(
        {"workflow": "made", "stage": stage, "tier": tier, "checks": list(checks), "remedy": remedy}))


def status(root, monkeypatch, *args):
    monkeypatch.chdir(root)
    return CliRunner().invoke(app, ["status", *args])


def row(output, stage):
    return next(line.split() for line in output.splitlines() if line.startswith(stage + " "))


def test_all_gates_passed(tmp_path, monkeypatch):
    for stage in STAGES:
        gate(tmp_path, stage, check("kl", 0.2345, "≤ 0.3"))
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "made.html").write_text("<html>")
    result = status(tmp_path, monkeypatch)
    assert row(result.output, "polish")[:4] == ["polish", "HIGH", "kl", "0.2345"]
    assert "0.2145" not in result.output
    result = status(tmp_path, monkeypatch, "--details")
    assert result.exit_code == 0
    assert row(result.output, "polish")[:7] == ["polish", "HIGH", "kl", "0.2345", "0.2145", "to", "0.2545"]
    assert row(result.output, "polish")[-1] == "0.3"
    assert [s for s in STAGES if row(result.output, s)] == list(STAGES)
    # the pipeline's report follows its verdict: what lies there without one is of an earlier run
    assert "report of this run: `realign report made` writes it\n" in result.output
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts/made.json").write_text(
        json.dumps({"decision": "passed", "version": "2", "earlier": {}, "summary": []}))
    assert "report: report/made.html\n" in status(tmp_path, monkeypatch).output
    assert "released model" not in result.output


def test_a_rejection_names_figure_and_remedy_and_hides_what_an_earlier_run_left(tmp_path, monkeypatch):
    gate(tmp_path, "look", check("heldout_loss_drop.low", 0.5, "> 0"))
    gate(tmp_path, "pairs", check("preference_gap", 0.1234, "≥ 0.15", passed=False), tier="REJECT",
         remedy="higher temperature")
    gate(tmp_path, "polish", check("kl", 0.05, "≤ 0.1"))
    result = status(tmp_path, monkeypatch)
    assert result.exit_code == 1
    assert row(result.output, "pairs")[1:4] == ["REJECT", "preference_gap", "0.1234"]
    assert "pairs REJECT, to do: higher temperature" in result.output
    assert row(result.output, "polish") == ["polish", "not", "reached"]


def test_what_is_of_an_older_run_is_out_of_date_and_decides_nothing(tmp_path, monkeypatch):
    for stage in STAGES:
        gate(tmp_path, stage, check("kl", 0.2345, "≤ 0.3"))
    (tmp_path / "stages/made/dvc.lock").write_text(json.dumps({"stages": {
        "look": {"cmd": "x", "outs": [{"path": "model", "md5": "new"}]},
        "pairs": {"cmd": "x", "deps": [{"path": "model", "md5": "old"}]}}}))
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts/made.json").write_text(json.dumps({"decision": "passed", "version": "2", "earlier": {},
                                                             "summary": ["kept 5 of 5 capabilities"]}))
    found = status(tmp_path, monkeypatch).output
    assert row(found, "look")[1] == "HIGH" and row(found, "pairs") == ["pairs", "out", "of", "date"]
    assert row(found, "polish") == ["polish", "not", "reached"] and "kept 5" not in found
    assert "pairs is out of date (made:pairs ran on another stages/made/model than made:look has made since" in found


def test_a_stage_that_has_not_run_is_no_rejection(tmp_path, monkeypatch):
    gate(tmp_path, "look", check("heldout_loss_drop.low", 0.5, "> 0"))
    result = status(tmp_path, monkeypatch)
    assert result.exit_code == 0
    assert row(result.output, "pairs") == ["pairs", "not", "run"]


def test_the_report_and_the_released_model_are_pointed_at(tmp_path, monkeypatch):
    gate(tmp_path, "look", check("heldout_loss_drop.low", 0.5, "> 0"))
    (tmp_path / "released" / "made").mkdir(parents=True)
    pointer = tmp_path / "released" / "made" / "pointer.json"
    pointer.write_text('{"version": "1", "model": {"path": "released/made/model/1"}}')
    assert ("released model: released/made/model/1, which is not here: `dvc checkout` brings it\n"
            in status(tmp_path, monkeypatch).output)
    (tmp_path / "released/made/model/1").mkdir(parents=True)
    assert "released model: released/made/model/1\n" in status(tmp_path, monkeypatch).output


def test_a_candidate_that_is_not_released_is_told_from_the_model_that_is(tmp_path, monkeypatch):
    for stage in STAGES:
        gate(tmp_path, stage, check("kl", 0.05, "≤ 0.1"))
    said = tmp_path / "verdicts" / "made.json"
    said.parent.mkdir()
    said.write_text(json.dumps({"decision": "passed", "version": "2", "earlier": {}, "summary": []}))
    unreleased = "this candidate, version 2, is not released: `realign release made`"
    assert unreleased in status(tmp_path, monkeypatch).output
    (tmp_path / "released" / "made").mkdir(parents=True)
    pointer = tmp_path / "released" / "made" / "pointer.json"
    pointer.write_text('{"version": "1", "model": {"path": "released/made/model/1"}}')
    shown = status(tmp_path, monkeypatch).output
    assert unreleased in shown and "version 1 was released after its verdict" in shown
    pointer.write_text('{"version": "2", "model": {"path": "released/made/model/2"}}')
    assert "is not released" not in status(tmp_path, monkeypatch).output


def test_a_blocked_candidate_says_why_and_that_the_older_model_stays(tmp_path, monkeypatch):
    for stage in STAGES:
        gate(tmp_path, stage, check("kl", 0.05, "≤ 0.1"))
    (tmp_path / "released" / "made").mkdir(parents=True)
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "made.json").write_text(json.dumps(
        {"decision": "blocked", "warnings": ["not known yet against the base model (too few to tell): refusal"],
         "summary": ["kept 1 of 3 capabilities against the base model; lost: facts; not known yet: refusal"],
         "reasons": ["facts was lost against the base model"], "remedy": "lower the learning rate",
         "comparisons": {"baseline": {"visible": "a drop of 8% would have been seen", "slices": [], "capabilities": [
             {"capability": "facts", "slice": "", "a": 0.9, "b": 0.8, "said": "lost", "needed": None,
              "drop": {"value": 0.111111, "n": 600, "low": 0.08, "high": 0.14}}]}}}))
    pointer = tmp_path / "released" / "made" / "pointer.json"
    pointer.write_text('{"version": "1", "model": {"path": "released/made/model/1"}}')
    (tmp_path / "released/made/model/1").mkdir(parents=True)
    result = status(tmp_path, monkeypatch)
    assert result.exit_code == 1
    assert result.output.splitlines()[:2] == [
        "kept 1 of 3 capabilities against the base model; lost: facts; not known yet: refusal",
        "blocked: facts was lost against the base model, to do: lower the learning rate"]
    assert "Against" not in result.output
    detailed = status(tmp_path, monkeypatch, "--details").output
    assert " ".join(row(detailed, "facts")) == "facts 0.9000 0.8000 −11.1% −14.0% to −8.0% 600 lost –"
    assert "too few to tell" in detailed and "a drop of 8% would have been seen" in detailed
    assert "released model: released/made/model/1\n" in result.output
    pointer.unlink()
    assert "released model" not in status(tmp_path, monkeypatch).output


def test_the_narrowest_figure_decides_where_none_failed(tmp_path):
    gate(tmp_path, "polish", check("entropy", 1.2, "≥ 0.5 and ≤ 2", half=0.1),
         check("kl", 0.09, "≤ 0.1", half=0.01),
         check("kl.n", 101, "≥ 100", half=0.01), check("reward_gain.low", 0.4, "> 0", half=0.1))
    for stage in STAGES[:2]:
        gate(tmp_path, stage, check("kl", 0.2345, "≤ 0.3"))
    assert [d.metric for d in deciding(load(tmp_path).stages[2])] == ["kl"]


def test_every_failed_figure_decides_and_the_gravest_stands_first(tmp_path):
    gate(tmp_path, "look", check("heldout_loss_drop.low", 0.5, "> 0"),
         check("data_quality", 0.75, "≥ 0.8", severity="warning", passed=False),
         check("preference_gap", 0.05, "≥ 0.1", passed=False), tier="REJECT")
    decided = [(d.metric, d.failed) for d in deciding(load(tmp_path).stages[0])]
    assert decided == [("preference_gap", "critical"), ("data_quality", "warning")]


@pytest.mark.parametrize(("args", "message"), [((), "no gate of made has run"),
                                               (("--workflow", "maed"), "did you mean made?")])
def test_nothing_to_show(tmp_path, monkeypatch, args, message):
    assert message in str(status(tmp_path, monkeypatch, *args).exception)
