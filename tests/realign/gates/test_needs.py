"""What a run cannot measure is named and weighs as a warning; what it could measure and left out is an error."""

import json

import pytest

from realign.errors import UserError
from realign.gates import __main__ as command
from realign.gates.suite import read_suite

LABELS = ("pairs.jsonl", "reference")
OWN_SCORER = ("pairs.jsonl", "reward:models/own")
DEMO = ("demo", "reference")
TAKES = [("rl", "score_gain"), ("iterate", "score_gain"), ("evaluate", "win_rate"),
         ("preference_data", "preference_gap")]


def judged(project, stage):
    """The exit status of a gate, and its verdict where it made one."""
    try:
        status = command.main(["srf", stage], project.root)
    except SystemExit as end:
        status = end.code
    file = project.verdict_file(stage)
    return status, json.loads(file.read_text()) if file.is_file() else None


def labelled(project, pairs):
    """The pairs with the scores of bare labels."""
    count = len(pairs["chosen_score"])
    project.pairs(pairs | {"chosen_score": [1.0] * count, "rejected_score": [0.0] * count})


@pytest.fixture
def left_out(project, pairs, clean):
    """Call it with a stage and a metric: the stage's metrics are clean, and that one is not there."""
    def leave_out(stage, metric):
        project.keep(stage)
        labelled(project, pairs)
        metrics = clean(stage)
        del metrics[metric]
        project.metrics(stage, metrics)
        return metrics

    return leave_out


@pytest.mark.parametrize(("stage", "metric"), TAKES)
def test_what_labels_cannot_tell_is_a_warning_with_its_name(stage, metric, project, left_out):
    left_out(stage, metric)
    project.params(*LABELS)
    status, verdict = judged(project, stage)
    assert (status, verdict["tier"]) == (0, "MEDIUM")
    failed, = (check for check in verdict["checks"] if not check["passed"] and check["severity"] != "info")
    assert (failed["metric"], failed["observed"], failed["n"], failed["severity"]) == (metric, None, 0, "warning")
    assert verdict["remedy"].startswith(f"{metric} was not measured, as label")


@pytest.mark.parametrize("run", [DEMO, OWN_SCORER], ids=["demo", "scorer"])
@pytest.mark.parametrize(("stage", "metric"), TAKES[:3])
def test_where_there_is_a_scorer_the_same_metric_must_be_there(run, stage, metric, project, left_out, capsys):
    left_out(stage, metric)
    project.params(*run)
    assert judged(project, stage) == (2, None)
    assert f"does not write: '{metric}" in capsys.readouterr().err
    assert not project.accepted_file(stage).exists()


def test_where_one_pair_has_a_score_the_gap_must_be_there(project, pairs, left_out):
    left_out("preference_data", "preference_gap")
    count = len(pairs["chosen_score"])
    project.pairs(pairs | {"chosen_score": [1.0] * (count - 1) + [0.9], "rejected_score": [0.0] * count})
    project.params(*LABELS)
    assert judged(project, "preference_data") == (2, None)


@pytest.mark.parametrize(("stage", "metric"), TAKES)
def test_nothing_else_may_be_left_out(stage, metric, project, left_out):
    metrics = left_out(stage, metric)
    project.params(*LABELS)
    for other in set(metrics) & {"kl", "reward_gain", "retention", "data_quality"}:
        project.metrics(stage, {name: found for name, found in metrics.items() if name != other})
        assert judged(project, stage) == (2, None)


def test_a_metric_that_is_there_is_judged_as_ever(project, clean):
    """A score that surely fell in the rounds rejects, whatever params.yaml says of a scorer."""
    project.keep("iterate")
    project.params(*LABELS)
    project.metrics("iterate", clean("iterate") | {"score_gain": {"value": -0.3, "n": 200, "low": -0.4, "high": -0.2}})
    assert judged(project, "iterate")[0] == 1


def test_beside_a_rejection_its_own_remedy_stands_alone(project, left_out):
    metrics = left_out("rl", "score_gain")
    project.params(*LABELS)
    project.metrics("rl", metrics | {"kl": {"value": 0.4, "n": 400, "low": 0.38, "high": 0.42}})
    status, verdict = judged(project, "rl")
    assert (status, verdict["tier"]) == (1, "REJECT")
    assert {c["metric"] for c in verdict["checks"] if not c["passed"]} == {"kl", "score_gain"}
    assert verdict["remedy"] == "halve the learning rate, raise the KL penalty"


def test_a_scorer_named_later_is_no_longer_excused_by_the_cache(project, left_out):
    left_out("rl", "score_gain")
    project.params(*LABELS)
    assert judged(project, "rl")[0] == 0
    project.params(*OWN_SCORER)
    assert judged(project, "rl") == (2, None)


def test_null_is_no_leaving_out(project, left_out):
    project.params(*LABELS)
    project.metrics("rl", left_out("rl", "score_gain") | {"score_gain": None})
    assert judged(project, "rl")[0] == 1


def test_a_suite_may_excuse_only_what_it_judges_and_by_a_known_need(project):
    for wrong in ({"score": "scorer"}, {"score_gain": "luck"}):
        suite = project.suite("rl")
        suite["meta"]["needs"] = wrong
        project.write_suite("rl", suite)
        with pytest.raises(UserError, match="needs"):
            read_suite(project.suites / "rl.json")
