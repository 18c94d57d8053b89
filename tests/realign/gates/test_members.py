"""The members of a group are those that the base model has, whatever they are called."""

import json

import pytest

from realign.errors import UserError
from realign.gates.expectation import table
from realign.gates.members import CONTAIN, with_members
from realign.gates.run import run_gate


def figure(value):
    return {"value": value, "n": 600, "low": value, "high": value}


OWN = {"capability": {"triage": figure(0.8), "poems": figure(0.0)}, "slice": {"triage/other": figure(0.8)},
       "undecided": {"triage": figure(0.0), "poems": figure(0.01)}}


def wanted(project, stage):
    suite = with_members(project.suite(stage), project.root)
    return {table(e): e["kwargs"]["value_set"] for e in suite["expectations"] if e["type"] == CONTAIN}


def test_capabilities_of_the_evaluation_rows_are_demanded_by_their_own_names(project):
    """What the base model cannot do at all is measured, but there is nothing of it to retain."""
    project.baseline(OWN)
    assert wanted(project, "sft") == {"capability": ["triage", "poems"], "retention": ["triage"],
                                      "slice_retention": ["triage/other"], "undecided": ["triage", "poems"]}
    assert wanted(project, "evaluate").items() >= {"retention": ["triage"], "slice_retention": ["triage/other"]}.items()
    assert wanted(project, "reward_model") == {}


@pytest.mark.parametrize("lost", [None, "triage", "poems"])
def test_a_capability_of_the_base_model_that_was_not_measured_is_rejected(lost, project, clean):
    project.keep("sft")
    project.baseline(OWN)
    good = {"value": 1.0, "n": 600, "low": 0.99, "high": 1.0}
    groups = {"capability": {name: good for name in OWN["capability"] if name != lost},
              "retention": {"triage": good, "another": good}, "slice_retention": {"triage/other": good},
              "undecided": dict.fromkeys(OWN["undecided"], figure(0.0))}
    if lost == "triage":
        del groups["retention"]["triage"]
    project.metrics("sft", clean("sft") | groups)
    verdict = run_gate("srf", "sft", project.root)
    assert verdict["tier"] == ("REJECT" if lost else "HIGH")
    assert not lost or f"measure {lost} before" in verdict["remedy"]


def test_a_changed_baseline_changes_a_cached_verdict(project):
    project.keep("rl")
    assert run_gate("srf", "rl", project.root)["tier"] == "HIGH"
    project.baseline(OWN)
    assert run_gate("srf", "rl", project.root)["tier"] == "REJECT"
    assert json.loads(project.verdict_file("rl").read_text())["tier"] == "REJECT"


@pytest.mark.parametrize("figures", [None, {"capability": {"poems": figure(0.0)}}])
def test_without_anything_to_compare_with_there_is_no_verdict(figures, project):
    project.keep("rl")
    if figures is None:
        (project.root / "metrics/common/baseline.json").unlink()
    else:
        project.baseline(figures)
    with pytest.raises(UserError, match=r"metrics/common/baseline\.json"):
        run_gate("srf", "rl", project.root)
    assert not project.accepted_file("rl").exists()


def test_members_that_are_always_the_same_are_named_in_the_suite_and_asked_before_their_group(project):
    group = [e for e in with_members(project.suite("evaluate"), project.root)["expectations"]
             if table(e) == "distinct_ratio"]
    assert group[0]["type"] == CONTAIN and group[0]["kwargs"]["value_set"] == ["greedy", "sampled"]
    assert group[0]["severity"] == "critical" and CONTAIN not in {e["type"] for e in group[1:]}


def test_a_changed_shared_remedy_changes_a_cached_verdict(project, clean):
    project.keep("rl")
    metrics = clean("rl")
    metrics["kl"] |= {"value": 0.2, "low": 0.19, "high": 0.21}
    project.metrics("rl", metrics)
    assert "halve the learning rate" in run_gate("srf", "rl", project.root)["remedy"]
    path = project.root / "expectations/remedies.json"
    path.write_text(path.read_text().replace("halve the learning rate", "stop"))
    verdict = run_gate("srf", "rl", project.root)
    assert "stop, raise the KL penalty" in verdict["remedy"] and "expectations/remedies.json" in verdict["of"]
