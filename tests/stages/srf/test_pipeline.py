"""Every stage of SRF as a process: it finishes, it can be killed at any moment, and bad input stops it at the door."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from tests.stages.srf.small import OUTPUTS, STAGES, environment, hashes, run, set_params

pytestmark = pytest.mark.slow


def forget(project, stage):
    """What DVC does before it runs a stage: its outputs go."""
    for out in OUTPUTS[stage]:
        path = project / out
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def test_all_stages_leave_metrics_with_intervals(finished):
    for stage in STAGES:
        metrics = json.loads((finished / f"metrics/srf/{stage}.json").read_text())
        leaves = [m for m in _leaves(metrics)]
        assert leaves and all(set(m) == {"value", "n", "low", "high"} for m in leaves), stage


def _leaves(tree):
    for value in tree.values():
        if "value" in value:
            yield value
        else:
            yield from _leaves(value)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_and_run_again_gives_the_same_bytes(stage, finished, project):
    rng = random.Random(stage)
    started = time.monotonic()
    forget(project, stage)
    assert run(project, f"stages.srf.{stage}").returncode == 0
    whole = time.monotonic() - started
    assert hashes(project, stage) == hashes(finished, stage)
    shutil.rmtree(project / "runs", ignore_errors=True)
    for _ in range(3):
        forget(project, stage)
        process = subprocess.Popen([sys.executable, "-m", f"stages.srf.{stage}"], cwd=project, env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * rng.uniform(0.3, 0.95))
        process.send_signal(signal.SIGKILL)
        process.wait()
    forget(project, stage)
    done = run(project, f"stages.srf.{stage}")
    assert done.returncode == 0, done.stderr
    assert hashes(project, stage) == hashes(finished, stage)


def test_labelled_pairs_take_the_place_of_the_world(project):
    rows = [{"prompt": f"Question {i}?", "chosen": f"Good answer {i}.", "rejected": f"Bad {i}."} for i in range(40)]
    lines = [json.dumps(row) for row in rows]
    lines[7] = '{"prompt": "broken'
    lines[9] = json.dumps({**rows[9], "rejected": rows[9]["chosen"]})
    (project / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    set_params(project, {"srf.data": {"pairs": "pairs.jsonl"}})
    for stage in STAGES:
        forget(project, stage)
        done = run(project, f"stages.srf.{stage}")
        assert done.returncode == 0, done.stderr
    counts = json.loads((project / "metrics/srf/sft.json").read_text())["rows"]
    assert counts["in"]["value"] == 40 == counts["kept"]["value"] + counts["rejected"]["value"]
    reasons = pq.read_table(project / "data/srf/sft/rejected.parquet").column("reason").to_pylist()
    assert sorted(reasons) == ["broken_json", "identical_sides"]


@pytest.mark.parametrize(("change", "says"), [
    ({"srf.data": {"pairs": "nowhere.jsonl"}}, "nowhere.jsonl"),
    ({"model": {"base": "no/such/model"}}, "no/such/model"),
    ({"srf.sft": {"learning_rat": 1.0}}, "learning_rate"),
    ({"srf.sft": {"window": 4}}, "window"),
])
def test_bad_input_is_one_message_and_loses_nothing(change, says, project):
    set_params(project, change)
    before = hashes(project, "sft")
    done = run(project, "stages.srf.sft")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert says in done.stderr
    assert hashes(project, "sft") == before


@pytest.mark.parametrize("fault", ["truncated", "empty", "column"])
def test_broken_lake_is_one_message(fault, project):
    path = project / "data/world/sft.parquet"
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    else:
        table = pq.read_table(path)
        pq.write_table(table.slice(0, 0) if fault == "empty" else table.drop_columns(["messages"]), path)
    done = run(project, "stages.srf.sft")
    assert done.returncode == 2 and "sft.parquet" in done.stderr and "Traceback" not in done.stderr, done.stderr
