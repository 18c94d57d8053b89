import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = ("mlx", "dvc", "ruamel", "numpy", "pandas", "polars", "pyarrow", "duckdb", "great_expectations",
         "transformers", "yaml")


def realign(folder, *args):
    return subprocess.run([sys.executable, "-m", "realign.cli", *args], cwd=folder, text=True,
                          capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("args", [("status",), ("report",), ("compare", "HEAD"), ("trace",)])
def test_what_the_user_can_put_right_is_one_message_and_exit_2(tmp_path, args):
    done = realign(tmp_path, *args)
    assert done.returncode == 2
    assert done.stderr == ("stages: no workflow\n  expected: stages/<workflow>/dvc.yaml with its gates\n"
                           "  to do: run in the root of the project\n")
    assert done.stdout == ""


def test_help_lists_the_commands(tmp_path):
    done = realign(tmp_path, "--help")
    assert done.returncode == 0
    assert all(f"  {name}  " in done.stdout for name in (
        "status", "report", "compare", "trace", "doctor", "check", "deps", "launch"))


def test_doctor_says_what_computes(tmp_path):
    done = realign(tmp_path, "doctor")
    assert done.returncode == 0
    assert done.stdout.startswith("backend: MLX on ") and done.stdout.count("\n") == 1


def test_help_imports_nothing_heavy():
    code = ("import sys; from realign.cli import app; "
            f"print(sorted(m for m in {HEAVY} if m in sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout == "[]\n"
