import os
import subprocess
import sys
from pathlib import Path

import pytest

from realign import check
from realign.errors import UserError

ROOT = Path(__file__).parents[3]
SECTIONS = ["common.sft", "demo.world", "dpo.sft", "model", "srf.data", "srf.reward_model", "srf.rl", "srf.scorer",
            "srf.sft"]


def test_every_section_is_found_with_the_class_that_reads_it(project):
    found = [(r.section, r.kind.__module__, r.kind.__name__, r.over)
             for r in check.readings(project()) if r.section != "srf.scorer"]
    assert sorted(found) == sorted({
        ("demo.world", "stages.demo.world", "World", ""),  # in the stage's own module
        ("model", "stages.common.data", "ModelKnobs", ""),  # imported there
        ("srf.data", "stages.common.data", "Data", ""),
        ("common.sft", "stages.common.sft", "Sft", ""),
        ("srf.sft", "stages.common.sft", "Sft", "common.sft"),
        ("dpo.sft", "stages.common.sft", "Sft", "common.sft"),  # its own module has none; by foreach
        ("srf.rl", "stages.srf.rl", "Rl", ""),
        ("srf.reward_model", "stages.srf.iterate", "RewardModel", ""),
    })


def test_a_section_may_be_a_single_value_and_what_is_no_knob_is_passed_over(project):
    """`Scorer` in the stage's module is a protocol; that of the common module says what the section may be."""
    [scorer] = [r.kind for r in check.readings(project()) if r.section == "srf.scorer"]
    assert scorer.__args__ == ("reference", "judge")


def test_foreach_and_matrix_are_written_out(project):
    root = project(("dvc.yaml", "stages:\n", "stages:\n  both:\n    matrix: {flow: [srf, dpo], what: [sft]}\n"
                    "    cmd: python -m stages ${item.flow} ${item.what}\n    params: [model]\n"
                    "  names:\n    foreach: [srf, dpo]\n    do: {cmd: \"python -m stages ${item} sft\"}\n"
                    "  late:\n    foreach: ${of.dvc}\n    do: {cmd: \"python -m stages ${item} sft\"}\n"))
    found = [(stage.modules[0], stage.sections) for stage in check.stages(root) if stage.file == root / "dvc.yaml"]
    assert found[:4] == [
        ("stages.srf.sft", ("model",)), ("stages.dpo.sft", ("model",)), ("stages.srf.sft", ()), ("stages.dpo.sft", ())]
    assert len(found) == 6  # with world and baseline


def test_a_stage_of_no_run_reads_the_section_of_its_name(project):
    root = project(("params.yaml", "demo:\n", "demo:\n  again: {seed: 0}\n"))
    with pytest.raises(UserError, match=r"demo\.again: unknown key"):
        check.check(root)
    (root / "Makefile").write_text("again:\n\t.venv/bin/python -m stages demo again\n")
    (root / "stages/demo/again.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass\nclass Again:\n    seed: int\n")
    assert check.check(root) == sorted([*SECTIONS, "demo.again"])


def test_a_project_that_is_well(project):
    assert check.check(project()) == SECTIONS


@pytest.mark.parametrize(("file", "old", "new", "message"), [
    ("params.yaml", "attempts:", "attempt:", r"srf\.rl\.attempt: unknown key\n.*\n.*did you mean 'attempts'"),
    ("params.yaml", "  rl:", "  rll:", r"params\.yaml: srf\.rll: unknown key\n.*\n.*did you mean 'rl'"),
    ("params.yaml", "model:\n", "speed: 3\nmodel:\n", r"params\.yaml: speed: unknown key"),
    ("params.yaml", "model:\n", "srff: {rl: {}}\nmodel:\n", r"srff: unknown key\n.*\n.*did you mean 'srf'"),
    ("params.yaml", "  scorer: reference", "  #", r"srf\.scorer: missing key"),
    ("params.yaml", "    attempts: 3\n", "", r"srf\.rl\.attempts: missing key\n  expected: a whole number, at least 0"),
    ("params.yaml", "train: 5", "train: a", r"demo\.world\.train: found 'a'.*\n  expected: a whole number"),
    ("params.yaml", "train: 5", "train: 0", r"demo\.world\.train: found '0' \(int\)\n  expected: .*at least 1"),
    ("params.yaml", "scorer: reference", "scorer: me", r"srf\.scorer: found 'me'.*\n  expected: one of reference, j"),
    ("params.yaml", "low: 0", "low: 2", r"srf\.data\.low: found '2' \(int\)\n  expected: a number from 0 to 1"),
    ("params.yaml", "low: 0, high: 1.0", "low: 1, high: 0", r"params\.yaml: srf\.data: low is above high"),
    ("params.yaml", "epochs: 3", "epochs: 0", r"srf\.sft\.epochs: found '0'"),
    ("params.yaml", "epochs: 2", "epochs: 0", r"common\.sft\.epochs: found '0'"),
    ("params.yaml", "epochs: 2", "epoch: 2", r"common\.sft\.epoch: unknown key"),
    ("params.yaml", "seed: 2", "seeds: 2", r"dpo\.sft\.seeds: unknown key"),
    ("params.yaml", "{seed: 2}", "{}", r"dpo\.sft\.seed: missing key"),  # in neither
    ("stages/srf/dvc.yaml", "[srf.data, srf.scorer,", "[srf.given, srf.scorer,",
     r"srf/dvc\.yaml: stages\.srf\.rl: no class reads the section 'srf\.given'\n"
     r"  expected: a dataclass Given in stages\.srf\.rl, stages\.srf\.given, stages\.common\.given, stages\.common\."),
    ("stages/srf/dvc.yaml", "srf rl,", "srf rll,", r"dvc\.yaml: no module stages\.srf\.rll\n.*write stages/srf/rll"),
], ids=str)
def test_one_message_for_a_mistake(project, file, old, new, message):
    with pytest.raises(UserError, match=message):
        check.check(project((file, old, new)))


def test_a_shared_section_that_a_stage_reads_alone_must_be_whole(project):
    """srf.sft and dpo.sft bring the seed; demo's world would have none."""
    reads = ("dvc.yaml", "params: [demo.world]", "params: [demo.world, common.sft]")
    with pytest.raises(UserError, match=r"common\.sft\.seed: missing key"):
        check.check(project(reads))


def test_a_section_read_by_two_classes_must_please_both(project):
    other = ("stages/srf/iterate.py", "class RewardModel:\n    epochs: Positive",
             "class RewardModel:\n    epochs: Positive\n\n@dataclass(frozen=True)\nclass Data:\n    low: Positive")
    names = ("stages/srf/dvc.yaml", "params: [srf.rl.seed,", "params: [srf.data,")
    with pytest.raises(UserError, match=r"srf\.data\.high: unknown key"):
        check.check(project(other, names))


def test_a_fault_in_a_stage_is_not_taken_for_a_missing_module(project):
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        check.check(project(("stages/srf/rl.py", "from typing import Protocol", "import nowhere")))


def test_outside_a_project_it_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match=r"no such file\n.*root of the repository"):
        check.check(tmp_path)


def test_a_project_whose_stages_are_run_otherwise(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: python a.py, params: [model]}}\n")
    (tmp_path / "params.yaml").write_text("model: 1\n")
    with pytest.raises(UserError, match=r"dvc\.yaml: no stage reads params\.yaml\n.*`python -m stages WORKFLOW STAGE`"):
        check.check(tmp_path)


def test_the_parameters_of_the_project_are_well():
    assert {"demo.world", "model.base", "srf.data", "srf.rl"} <= set(check.check(ROOT))


def realign(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "realign.cli", "check", *arguments], cwd=root, capture_output=True,
                          text=True, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_the_command(project):
    """In processes of its own, where MLX has not been started; a stage imports it."""
    root = project(("stages/srf/rl.py", "from typing import Protocol", "from typing import Protocol\nimport mlx.core"))
    assert realign(root).stdout == f"params.yaml: {len(SECTIONS)} sections, all well\n"
    shown = realign(root, "--explain", "srf.rl.clip")
    assert shown.stdout.splitlines() == [
        "knob  value  range                 meaning                      source",
        "clip  0.3    a number from 0 to 1  The surrogate's clip range.  the code's own default"]
    refused = realign(root, "srf.rl")
    assert refused.returncode == 2 and "goes with --explain" in refused.stderr


def test_the_other_commands_do_without_pydantic():
    code = "import sys, realign.cli.app; print('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
