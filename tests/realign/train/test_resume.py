"""Killed with SIGKILL again and again, every objective ends with the bytes of an unbroken run."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).parent / "interrupted.py"
# Steps of each objective, and how many apart its checkpoints are.
RUNS = {"sft": (20, 3), "reward": (20, 4), "ppo": (24, 8), "a2c": (12, 2), "dpo": (20, 3), "grpo": (24, 4)}
KILLS = 8
FORGOTTEN = ("optimizer", "critic", "best", "history")  # faults of what a checkpoint gives back


@pytest.fixture(scope="module")
def live():
    """`live(folder, objective, how, at, fault)`: the exit status of one life of interrupted.py."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          cwd=ROOT, env=env) as lives:
        def once(folder: Path, objective: str, how: str = "", at: int = 0, fault: str = "") -> int:
            print(json.dumps([objective, str(folder), how, str(at), fault]), file=lives.stdin, flush=True)
            return int(lives.stdout.readline())

        yield once


@pytest.fixture(scope="module")
def unbroken(live, tmp_path_factory):
    """`unbroken(objective, fault)`: what an unbroken run comes to. It restores nothing, so what a restoring forgets is
    no fault in it."""
    known = {}

    def found(objective: str, fault: str = "") -> tuple[dict, list[str]]:
        key = objective, "" if fault in FORGOTTEN else fault
        if key not in known:
            folder = tmp_path_factory.mktemp("whole") / "run"
            assert live(folder, objective, fault=key[1]) == 0
            known[key] = outcome(folder)
        return known[key]

    return found


def outcome(folder: Path) -> tuple[dict, list[str]]:
    """Hashes of the final state with the history, and the step and hash of every batch that was trained on,
    once where a step was repeated with the same."""
    said, batches = (folder.with_name(f"run.{name}").read_text() for name in ("said", "batches"))
    return json.loads(said), sorted(set(batches.splitlines()))


def deaths(objective: str) -> list[tuple[str, int]]:
    """Eight, each after a random step of its eighth of the run, so that every life gets to its own whatever those
    before left on disk. Where a checkpoint follows, one in four dies while writing it instead."""
    steps, every = RUNS[objective]
    rng = random.Random(objective)
    found = []
    for eighth in range(KILLS):
        step = rng.randint(steps * eighth // KILLS + 1, steps * (eighth + 1) // KILLS)
        follows = (step - 1) // every * every + every < steps
        found.append(("save", 1) if follows and eighth % 4 == 1 else ("step", step))
    return found


def test_deaths_are_of_both_kinds_and_all_over_the_run():
    for objective, (steps, every) in RUNS.items():
        found = deaths(objective)
        at = [step for how, step in found if how == "step"]
        assert len(found) == KILLS and 2 <= KILLS - len(at) <= KILLS // 2, objective
        assert min(at) <= every * 2 and max(at) > steps - every, objective


@pytest.mark.slow
@pytest.mark.parametrize("objective", sorted(RUNS))
def test_killed_eight_times_it_is_the_unbroken_run(objective, live, unbroken, tmp_path):
    steps, batches = RUNS[objective][0], tmp_path / "run.batches"
    for death in deaths(objective):
        assert live(tmp_path / "run", objective, *death) == -9, death
    before = len(batches.read_text().splitlines())
    assert live(tmp_path / "run", objective) == 0
    assert outcome(tmp_path / "run") == unbroken(objective)
    assert len(unbroken(objective)[1]) == steps
    assert len(batches.read_text().splitlines()) - before < steps  # the last life did not start over


@pytest.mark.parametrize("objective", ["sft", "ppo"])  # all of them eight times above, which `make test` leaves out
def test_killed_while_writing_and_near_the_end_it_is_the_unbroken_run(objective, live, unbroken, tmp_path):
    for death in [("save", 2), ("step", RUNS[objective][0] - 1)]:
        assert live(tmp_path / "run", objective, *death) == -9, death
    assert live(tmp_path / "run", objective) == 0
    assert outcome(tmp_path / "run") == unbroken(objective)


@pytest.mark.parametrize("method", ["lora", "qdora"])
def test_a_checkpoint_holds_the_adapters_alone_and_they_go_on(method, live, unbroken, tmp_path):
    assert live(tmp_path / "run", method, "step", 8) == -9  # checkpoints after 3, surely on disk, and 6
    saved = mx.load(str(tmp_path / "run" / "state.safetensors"))
    assert live(tmp_path / "run", method) == 0
    found = outcome(tmp_path / "run")
    assert found == unbroken(method)
    assert sorted(n.removeprefix("model.") for n in saved if n.startswith("model.")) == found[0]["trained"]
    assert {name.rpartition(".")[2] for name in found[0]["trained"]} <= {"lora_a", "lora_b", "m"}


@pytest.mark.parametrize("objective, fault", [
    *((objective, "optimizer") for objective in sorted(RUNS)), ("ppo", "critic"), ("a2c", "critic"),
    ("sft", "best"), ("dpo", "history"), ("sft", "random"), ("sft", "order"), ("grpo", "order"),
    ("ppo", "order")])
def test_a_resume_that_forgets_is_seen(objective, fault, live, unbroken, tmp_path):
    """Killed near the end: two checkpoints, one surely on disk, come after all that could be forgotten."""
    assert live(tmp_path / "run", objective, "step", RUNS[objective][0] - 1, fault) == -9
    assert live(tmp_path / "run", objective, fault=fault) == 0
    assert outcome(tmp_path / "run") != unbroken(objective, fault)


def test_a_checkpoint_written_over_the_one_before_is_seen(live, tmp_path):
    assert live(tmp_path / "run", "reward", "save", 2, "in_place") == -9
    assert live(tmp_path / "run", "reward", fault="in_place") == 1
