"""The one runner of stages: what it runs, in which order it starts things, and how it ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stages
from realign.errors import UserError
from realign.stage import Stage
from stages.__main__ import main, module_of

ROOT = Path(__file__).parents[2]
# A stage that tells in which order things came.
TELLS = """\
import sys
from realign.models import backend

seen = backend._started is not None and "mlx.core" in sys.modules


def run(here):
    return f"{here.workflow} {here.name}, backend before its import: {seen}"
"""
FAILS = """\
from realign.errors import UserError


def run(here):
    raise UserError("no rows", where="pairs.jsonl", fix="give some")
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A project with the runner, a common stage and a workflow of its own."""
    files = {"__init__.py": "", "common/__init__.py": "", "common/shared.py": TELLS, "toy/__init__.py": "",
             "toy/own.py": TELLS, "toy/fails.py": FAILS}
    for name, text in files.items():
        path = tmp_path / "stages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(ROOT / "stages/__main__.py", tmp_path / "stages")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def process(*arguments):
    return subprocess.run([sys.executable, "-m", "stages", *arguments], text=True, capture_output=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_the_backend_starts_before_the_module_of_the_stage_is_imported(toy):
    done = process("toy", "own")
    assert done.returncode == 0, done.stderr
    first, last = done.stderr.splitlines()
    assert first.startswith("backend: MLX on ") and not done.stdout
    assert last.startswith("toy own: toy own, backend before its import: True (")


def test_a_users_fault_is_one_message_and_exit_2(toy):
    done = process("toy", "fails")
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.splitlines()[1:] == ["toy fails: pairs.jsonl: no rows", "  to do: give some"]


@pytest.fixture
def importable(toy, monkeypatch):
    """The toy's workflow, beside those of the project, in this process."""
    monkeypatch.setattr(stages, "__path__", [*stages.__path__, str(toy / "stages")])
    yield toy
    for name in [name for name in sys.modules if name.startswith("stages.toy")]:
        del sys.modules[name]


def test_a_stage_that_a_workflow_does_not_have_itself_is_the_common_one(importable):
    assert module_of(Stage("toy", "own")).__name__ == "stages.toy.own"
    assert module_of(Stage("toy", "baseline")).__name__ == "stages.common.baseline"
    assert module_of(Stage("nowhere", "baseline")).__name__ == "stages.common.baseline"


def test_an_unknown_stage_is_named(importable):
    with pytest.raises(UserError, match=r"no such stage\n.* stages\.toy\.gone or stages\.common\.gone"):
        module_of(Stage("toy", "gone"))


@pytest.mark.parametrize("arguments, found", [
    ([], "found 0 of 2 arguments"), (["srf"], "found 1 of 2"), (["srf", "rl", "more"], "found 3 of 2"),
    (["srf", "../rl"], "'../rl' is no name"), (["srf", "Rl"], "'Rl' is no name"), (["srf.rl", "x"], "'srf.rl' is no"),
    (["srf", ""], "'' is no name")])
def test_arguments_that_name_no_stage_are_one_message_and_exit_2(arguments, found, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and found in said
    assert "expected: python -m stages WORKFLOW STAGE" in said and "to do: " in said
