"""What DVC does with stages and gates laid out as ours: a small project, really run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIPELINE = """\
stages:
  first:
    wdir: ../..
    cmd: python -m stages toy first
    deps: [data/answers.txt, stages/toy/first.py]
    outs: [checkpoints/toy/first]
    metrics: [metrics/toy/first.json: {cache: false}]
  second:
    wdir: ../..
    cmd: python -m stages toy second
    deps: [metrics/toy/gates/first.accepted, checkpoints/toy/first, stages/toy/second.py]
    outs: [checkpoints/toy/second]
  gate:
    foreach: {first: metrics/toy/first.json}
    do:
      wdir: ../..
      cmd: python gate.py toy ${key}
      deps: ["expectations/toy/${key}.json", "metrics/toy/${key}.json", "${item}"]
      outs: ["metrics/toy/gates/${key}.accepted": {cache: false}]
      metrics: ["metrics/toy/gates/${key}.json": {cache: false}]
"""
FIRST = """\
from pathlib import Path
from realign.metrics import Metric

def run(here):
    right = Path("data/answers.txt").read_text().split().count("right")
    here.checkpoint.mkdir(parents=True)
    (here.checkpoint / "model").write_text(f"model of {right}")
    here.report({"train_accuracy": Metric(right / 100, 100, right / 100 - 0.08, right / 100 + 0.08)})
    return f"{right} right"
"""
SECOND = """\
def run(here):
    here.checkpoint.mkdir(parents=True)
    (here.checkpoint / "model").write_text((here.of("first").checkpoint / "model").read_text() + ", tuned")
    return "tuned"
"""
# The gate as it is (what it reads, writes, takes back and keeps in its cache), but that a plain comparison stands for
# Great Expectations, which takes seconds to import.
GATE = """\
import json, sys
from realign.gates import __main__ as gates, run

def judge(workflow, stage, suite, root):
    found = json.loads((root / f"metrics/{workflow}/{stage}.json").read_text())["train_accuracy"]
    least = max(e["kwargs"].get("min_value", 0) for e in suite["expectations"]
                if e["kwargs"].get("column") == "train_accuracy")
    passed = found["value"] >= least
    check = {"metric": "train_accuracy", "observed": found["value"], "low": found["low"], "high": found["high"],
             "n": found["n"], "threshold": f"at least {least}", "severity": "critical", "passed": passed}
    return {"workflow": workflow, "stage": stage, "tier": "HIGH" if passed else "REJECT", "checks": [check],
            "remedy": ""}

run._judge = judge
sys.exit(gates.main(sys.argv[1:]))
"""


def suite(least):
    meta = {"evidence": {"*": 50}, "remedy": {"train_accuracy": "give more answers"}}
    return json.dumps({"name": "toy.first", "meta": meta, "expectations": [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "train_accuracy", "min_value": least},
         "severity": "critical"}]})


@pytest.fixture
def project(tmp_path, dvc):
    files = {"dvc.yaml": "stages: {}\n", "stages/__init__.py": "", "stages/toy/__init__.py": "",
             "stages/toy/dvc.yaml": PIPELINE, "stages/toy/first.py": FIRST, "stages/toy/second.py": SECOND,
             "gate.py": GATE, "expectations/toy/first.json": suite(0.7), "data/answers.txt": "right " * 80}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copy(ROOT / "stages/__main__.py", tmp_path / "stages")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert dvc(tmp_path, "init", "-q").returncode == 0
    return tmp_path


def environment():
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1",
                         "GX_ANALYTICS_ENABLED": "false"}


@pytest.fixture
def dvc(dvc_forks):
    """`dvc(folder, *arguments)`: that command in a folder."""
    return lambda folder, *arguments: dvc_forks.run(["-m", "dvc", *arguments], folder, environment())


@pytest.fixture
def repro(dvc):
    """`repro(folder, file)`: exit status, and the names of the stages whose command was run."""
    def run(folder, file="stages/toy/dvc.yaml"):
        done = dvc(folder, "repro", file)
        return done.returncode, re.findall(r"Running stage '(?:.*:)?([\w@]+)'", done.stdout)
    return run


@pytest.mark.slow
def test_only_what_changed_runs_and_a_rejection_stops_what_follows(project, repro):
    verdict, accepted = project / "metrics/toy/gates/first.json", project / "metrics/toy/gates/first.accepted"
    final = project / "checkpoints/toy/second/model"
    assert repro(project) == (0, ["first", "gate@first", "second"])
    assert final.read_text() == "model of 80, tuned"
    assert repro(project) == (0, [])

    (project / "expectations/toy/first.json").write_text(suite(0.75))
    assert repro(project) == (0, ["gate@first"])
    assert json.loads(verdict.read_text())["tier"] == "HIGH"

    (project / "data/answers.txt").write_text("right " * 60)
    code, ran = repro(project)
    assert code != 0 and ran == ["first", "gate@first"]
    assert json.loads(verdict.read_text())["tier"] == "REJECT" and not accepted.exists()
    assert (project / "checkpoints/toy/first/model").read_text() == "model of 60"
    assert final.read_text() == "model of 80, tuned"  # what was made before is still there

    code, ran = repro(project)  # it stays rejected, and nothing is trained for it
    assert code != 0 and ran == ["gate@first"]

    (project / "data/answers.txt").write_text("right " * 80)
    code, ran = repro(project)
    assert code == 0 and ran == ["gate@first"]  # the models come from DVC's cache
    assert accepted.exists() and json.loads(verdict.read_text())["tier"] == "HIGH"
    assert (project / "checkpoints/toy/first/model").read_text() == "model of 80"


FAILING = """\
stages:
  make: {cmd: mkdir -p shared/made && echo 1 > shared/made/model, outs: [shared/made]}
  use: {cmd: cp shared/made/model used, deps: [shared], outs: [used]}
  last: {cmd: test -f wanted, deps: [used]}
"""


def test_after_a_failure_what_was_made_before_stands(tmp_path, dvc, repro):
    (tmp_path / "dvc.yaml").write_text(FAILING)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert dvc(tmp_path, "init", "-q").returncode == 0
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    code, ran = repro(tmp_path, "dvc.yaml")
    assert code != 0 and ran == ["make", "use", "last"]
    code, ran = repro(tmp_path, "dvc.yaml")
    assert code != 0 and ran == ["last"]
    (tmp_path / "wanted").touch()
    assert repro(tmp_path, "dvc.yaml") == (0, ["last"])
    assert repro(tmp_path, "dvc.yaml") == (0, [])
