"""The command: exit codes, files, and a cache that is never wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from realign.gates import __main__ as command
from realign.gates import run
from tests.workflows.clean import EXPECTATIONS

STAGES = sorted(path.stem for path in (EXPECTATIONS / "srf").glob("*.json"))


def main(arguments: list[str], root: Path) -> int:
    """The exit status of the command."""
    try:
        return command.main(arguments, root)
    except SystemExit as end:
        return end.code


@pytest.fixture
def unjudged(monkeypatch):
    """Call it, and from then on a verdict must come from the cache."""
    def refuse(*_):
        raise AssertionError("the verdict was not in the cache")

    return lambda: monkeypatch.setattr(run, "_judge", refuse)


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def drift(project, clean) -> None:
    project.metrics("rl", clean("rl") | {"kl": {"value": 0.4, "n": 400, "low": 0.38, "high": 0.42}})


def test_accepted(project, capsys):
    project.keep("rl")
    before = files(project.root)
    assert main(["srf", "rl"], project.root) == 0
    verdict = json.loads(project.verdict_file("rl").read_text())
    assert (verdict["workflow"], verdict["stage"], verdict["tier"]) == ("srf", "rl", "HIGH")
    assert project.accepted_file("rl").read_text() == "accepted\n"
    shown = capsys.readouterr()
    assert shown.out.startswith("srf/rl: HIGH (") and len(shown.out.splitlines()) == 1
    assert shown.err == ""
    new = files(project.root) - before
    assert {f for f in new if not f.startswith(".realign/gates/")} == {"metrics/srf/gates/rl.json",
                                                                       "metrics/srf/gates/rl.accepted"}


def test_warning_is_accepted_and_says_what_to_do(project, clean, capsys):
    project.keep("preference_data")
    gap = {"value": 0.12, "n": 1200, "low": 0.1, "high": 0.14}
    project.metrics("preference_data", clean("preference_data") | {"preference_gap": gap})
    assert main(["srf", "preference_data"], project.root) == 0
    assert project.accepted_file("preference_data").is_file()
    shown = capsys.readouterr()
    assert "MEDIUM" in shown.out and "higher temperature" in shown.err


def test_reject_takes_the_acceptance_back_and_keeps_the_verdict(project, clean, capsys):
    project.ask("rl", "kl")
    assert main(["srf", "rl"], project.root) == 0
    drift(project, clean)
    assert main(["srf", "rl"], project.root) == 1
    assert not project.accepted_file("rl").exists()
    assert json.loads(project.verdict_file("rl").read_text())["tier"] == "REJECT"
    shown = capsys.readouterr()
    assert "srf/rl: REJECT" in shown.out
    assert "halve the learning rate, raise the KL penalty" in shown.err


def test_a_rejected_verdict_from_the_cache_rejects_too(project, clean, unjudged):
    project.ask("rl", "kl")
    drift(project, clean)
    assert main(["srf", "rl"], project.root) == 1
    unjudged()
    assert main(["srf", "rl"], project.root) == 1
    assert not project.accepted_file("rl").exists()


def remove_metrics(project):
    (project.root / "metrics" / "srf" / "preference_data.json").unlink()


def remove_table(project):
    project.pairs_file.unlink()


def break_suite(project):
    (project.suites / "preference_data.json").write_text("{")


def rename_metric(project):
    suite = project.suite("preference_data")
    first = suite["expectations"][0]
    suite["expectations"].append(first | {"kwargs": first["kwargs"] | {"column": "preference_gip"}})
    suite["meta"]["remedy"] = {"preference_gip": "mend it"}
    project.write_suite("preference_data", suite)


BROKEN = {remove_metrics: "metrics/srf/preference_data.json", remove_table: "pairs.parquet",
          break_suite: "broken JSON", rename_metric: "did you mean 'preference_gap'"}


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda f: f.__name__)
def test_nothing_to_judge_is_an_error_and_no_acceptance(project, capsys, break_it):
    project.keep("preference_data")
    assert main(["srf", "preference_data"], project.root) == 0
    break_it(project)
    capsys.readouterr()
    assert main(["srf", "preference_data"], project.root) == 2
    assert BROKEN[break_it] in capsys.readouterr().err
    assert not project.accepted_file("preference_data").exists()
    assert not project.verdict_file("preference_data").exists()


def test_another_number_of_arguments_is_told_how(project, capsys):
    assert main(["srf"], project.root) == 2
    assert "WORKFLOW STAGE" in capsys.readouterr().err


@pytest.mark.parametrize(("workflow", "stage", "words"), [("srf", "reward", "did you mean 'reward_model'"),
                                                          ("srg", "rl", "no suite"), ("..", "rl", "no name"),
                                                          ("srf", "../../x", "no name")])
def test_unknown_names(project, capsys, workflow, stage, words):
    assert main([workflow, stage], project.root) == 2
    assert words in capsys.readouterr().err


def test_same_input_hits_the_cache_with_the_same_bytes(project, unjudged):
    project.ask("rl", "kl")
    assert main(["srf", "rl"], project.root) == 0
    first = project.verdict_file("rl").read_bytes()
    project.verdict_file("rl").unlink()
    unjudged()
    assert main(["srf", "rl"], project.root) == 0
    assert project.verdict_file("rl").read_bytes() == first


def test_judged_and_judged_ahead_have_the_same_bytes(project, unjudged):
    project.keep("rl", "iterate")
    for stage in ("rl", "iterate"):
        project.narrow(stage)
    assert main(["srf", "rl"], project.root) == 0
    judged = project.verdict_file("rl").read_bytes()
    for entry in (project.root / ".realign" / "gates").glob("*.json"):
        entry.unlink()
    assert main(["srf", "iterate"], project.root) == 0
    unjudged()
    assert main(["srf", "rl"], project.root) == 0
    assert project.verdict_file("rl").read_bytes() == judged


def test_the_first_gate_judges_the_others_ahead(project, unjudged):
    for stage in STAGES:
        project.narrow(stage)
    assert main(["srf", "sft"], project.root) == 0
    assert [p.name for p in project.verdict_file("sft").parent.glob("*.json")] == ["sft.json"]
    unjudged()
    assert [main(["srf", stage], project.root) for stage in STAGES] == [0] * len(STAGES)


def change_threshold(project):
    suite = project.suite("preference_data")
    for expectation in suite["expectations"]:
        if expectation["kwargs"].get("column") == "preference_gap":
            expectation["meta"]["warning"]["min_value"] = 0.6
    project.write_suite("preference_data", suite)


def change_metric(project):
    path = project.root / "metrics" / "srf" / "preference_data.json"
    metrics = json.loads(path.read_text())
    metrics["preference_gap"] |= {"value": 0.149, "low": 0.12}
    path.write_text(json.dumps(metrics))


def change_score(project):
    pairs = pl.read_parquet(project.pairs_file)
    pairs.with_columns(chosen_score=pl.lit(2.0)).write_parquet(project.pairs_file)
    project.of()


@pytest.mark.parametrize(("change", "tier"), [(change_threshold, "MEDIUM"), (change_metric, "MEDIUM"),
                                              (change_score, "REJECT")])
def test_a_changed_input_changes_the_verdict(project, change, tier):
    project.keep("preference_data")
    assert main(["srf", "preference_data"], project.root) == 0
    change(project)
    main(["srf", "preference_data"], project.root)
    assert json.loads(project.verdict_file("preference_data").read_text())["tier"] == tier


def test_two_stages_with_the_same_bytes_keep_their_own_verdicts(project, clean):
    project.ask("rl", "kl")
    project.metrics("rl2", clean("rl"))
    project.write_suite("rl2", project.suite("rl"))
    project.write_suite("rl", project.suite("rl"))
    assert [main(["srf", stage], project.root) for stage in ("rl", "rl2")] == [0, 0]
    assert json.loads(project.verdict_file("rl2").read_text())["stage"] == "rl2"


DAMAGE = {"failure made a pass": lambda b: b.replace(b'"passed": false', b'"passed":  true'),
          "cut short": lambda b: b[:-9], "empty": lambda b: b"", "foreign": lambda b: b"null\n{}",
          "not text": lambda b: b"\xff" + b}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache_entry_is_judged_again(project, clean, damage):
    project.ask("rl", "kl")
    drift(project, clean)
    assert main(["srf", "rl"], project.root) == 1
    first = project.verdict_file("rl").read_bytes()
    for entry in (project.root / ".realign" / "gates").glob("*.json"):
        entry.write_bytes(damage(entry.read_bytes()))
    assert main(["srf", "rl"], project.root) == 1
    assert project.verdict_file("rl").read_bytes() == first


def test_a_broken_neighbour_stops_its_own_gate_only(project, capsys):
    project.keep("rl", "evaluate")
    (project.suites / "evaluate.json").write_text("{")
    assert main(["srf", "rl"], project.root) == 0
    assert "srf/evaluate cannot be judged yet" in capsys.readouterr().err
    assert main(["srf", "evaluate"], project.root) == 2


def test_stages_not_yet_measured_are_left_alone(project, capsys):
    project.keep("rl", "preference_data")
    project.pairs_file.unlink()
    assert main(["srf", "rl"], project.root) == 0
    assert capsys.readouterr().err == ""


def test_rows_that_the_metrics_are_not_of_are_refused(project, capsys):
    project.keep("preference_data")
    pl.read_parquet(project.pairs_file).reverse().write_parquet(project.pairs_file)
    assert main(["srf", "preference_data"], project.root) == 2 and not project.accepted_file("preference_data").exists()
    assert "other rows than those that the metrics are of" in capsys.readouterr().err


def test_a_cached_gate_imports_nothing_heavy(project):
    project.keep("preference_data")
    assert main(["srf", "preference_data"], project.root) == 0
    code = ("import sys, runpy\nsys.argv = ['gates', 'srf', 'preference_data']\n"
            "try:\n    runpy.run_module('realign.gates', run_name='__main__')\n"
            "except SystemExit as end:\n"
            "    heavy = {'great_expectations', 'pandas', 'pyarrow', 'numpy', 'polars'}\n"
            "    print(end.code, sorted(heavy & set(sys.modules)))")
    environment = os.environ | {"PYTHONPATH": str(Path(run.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], cwd=project.root, env=environment,
                          capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
