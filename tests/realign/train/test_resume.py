"""Killed with SIGKILL again and again, every objective ends with the bytes of an unbroken run."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).parent / "interrupted.py"
# Steps of each objective, and how many apart its checkpoints are.
RUNS = {"sft": (20, 3), "reward": (20, 4), "ppo": (24, 8), "a2c": (12, 2), "dpo": (20, 3), "grpo": (24, 4)}


def train(objective: str, folder: Path, *death: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(SCRIPT), objective, str(folder), *death], capture_output=True, text=True,
                          cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("objective", sorted(RUNS))
def test_killed_and_resumed_it_is_the_unbroken_run(objective, tmp_path):
    steps, every = RUNS[objective]
    unbroken = train(objective, tmp_path / "whole")
    assert unbroken.returncode == 0, unbroken.stderr
    rng = random.Random(objective)
    early, late = rng.randrange(1, every), rng.randrange(2 * every, steps)
    deaths = [("step", str(early)), ("save", "2"), ("step", str(late))]
    for death in deaths[objective != "sft":]:  # before the first checkpoint all begin alike
        assert train(objective, tmp_path / "run", *death).returncode == -9, death
    resumed = train(objective, tmp_path / "run")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout) == json.loads(unbroken.stdout)
    assert not list(tmp_path.glob(".*"))  # nor is anything half-written left behind


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["dpo", "grpo"])
def test_killed_at_many_steps_it_is_the_unbroken_run(objective, tmp_path):
    steps, every = RUNS[objective]
    unbroken = train(objective, tmp_path / "whole")
    # In rising order, so that every process gets beyond the death of the one before.
    for step in sorted(random.Random(objective).sample(range(every + 1, steps), 7)):
        assert train(objective, tmp_path / "run", "step", str(step)).returncode == -9, step
    resumed = train(objective, tmp_path / "run")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout) == json.loads(unbroken.stdout)
