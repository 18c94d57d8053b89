"""Verdict and confirmation as they run: by convention's paths, under DVC, and killed at every step."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from realign.errors import UserError
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, write
from realign.workflow import find, workflows
from stages.common import confirm, verdict

ROOT = Path(__file__).parents[3]
HERE = SimpleNamespace(workflow="made", name="verdict")
STAGES = ("look", "train", "evaluate")
DECLARED = """\
stages:
  look: {desc: A look. Measures the start., meta: {workflow: Made up, role: start}, cmd: x}
  train: {desc: Training. Makes the model., meta: {role: offered}, cmd: x}
  evaluate: {desc: Evaluation. Measures the end., cmd: x}
  gate:
    foreach: {look: x, train: x, evaluate: x}
    do: {cmd: x}
"""


def make(root: Path, weights: str, wrong: int) -> None:
    """What the workflow leaves before its verdict: a model, records, metrics, verdicts.

    Of 100 facts the base model answers 1 wrong, the start 3, the candidate `wrong`.
    """
    for home, misses in (("common/baseline", 1), ("made/look", 3), ("made/evaluate", wrong)):
        rows = [{"example_id": f"e{i}", "capability": "facts", "slice": "s", "prompt": f"{i}?", "output": "o",
                     "reference": "r", "score": float(i >= misses)} for i in range(100)]
        write(frame(rows, RECORDS), root / "data" / home / "records.parquet", RECORDS)
    for name in ("common/baseline/reserve", "made/evaluate/reserve", "made/evaluate/reserve_of_start"):
        write(frame([], RECORDS), root / "data" / f"{name}.parquet", RECORDS)
    model = root / "checkpoints/made/train"
    model.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "config.json"):
        (model / name).write_text(f"{name} {weights}")
    gates = root / "metrics/made/gates"
    gates.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        check = {"metric": "kl", "severity": "critical", "passed": True}
        (gates / f"{stage}.json").write_text(json.dumps({"tier": "HIGH", "checks": [check]}))
        suite = root / "expectations/made" / f"{stage}.json"
        suite.parent.mkdir(parents=True, exist_ok=True)
        suite.write_text("{}")
    (root / "data/evaluation").mkdir(exist_ok=True)
    (root / "data/evaluation/demo.parquet").write_text("rows")
    (root / "metrics/made/look.json").write_text('{"capability": {}}')
    (root / "metrics/made/evaluate.json").write_text("{}")


def declare(root: Path) -> None:
    (root / "stages/made").mkdir(parents=True)
    (root / "stages/made/dvc.yaml").write_text(DECLARED)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    declare(tmp_path)
    return tmp_path


def test_base_model_start_and_every_gate_are_asked(project):
    make(project, "one", 5)
    found = verdict.candidate(find(project))
    assert list(found.gates) == list(found.suites) == list(STAGES)
    assert found.evaluation == (Path("data/evaluation/demo.parquet"),)
    assert found.suites["look"] == Path("expectations/made/look.json")
    assert found.model == Path("checkpoints/made/train")
    assert found.baseline == Path("data/common/baseline/records.parquet")
    assert found.start == Path("data/made/look/records.parquet")


def test_a_start_that_measured_no_capability_is_not_compared(project):
    make(project, "one", 5)
    (project / "metrics/made/look.json").write_text("{}")
    assert verdict.candidate(find(project)).start is None
    verdict.run(HERE)
    assert list(json.loads((project / "released/made/decision.json").read_text())["comparisons"]) == ["baseline"]


def test_lost_records_of_the_start_are_not_taken_for_none(project):
    make(project, "one", 5)
    (project / "data/made/look/records.parquet").unlink()
    with pytest.raises(UserError, match=r"data/made/look/records.parquet"):
        verdict.run(HERE)


@pytest.mark.parametrize("name", workflows(ROOT))
def test_a_workflow_of_the_project_offers_what_its_stages_make(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    workflow = find(ROOT, name)
    found = verdict.candidate(workflow)
    assert list(found.gates) == list(workflow.stages) and all(path.is_file() for path in found.suites.values())
    assert found.model.name == workflow.offered and found.start.parent.name == workflow.start


def test_a_blocked_release_ends_well_and_its_confirmation_does_not(project):
    make(project, "bad", 40)
    assert verdict.run(HERE).startswith("blocked, version ")
    with pytest.raises(UserError, match=r"facts was lost against the model that later stages started from"):
        confirm.run(HERE)
    make(project, "good", 4)
    assert verdict.run(HERE).startswith("released, version ")
    assert confirm.run(HERE).endswith(" is released")


def test_what_is_not_known_is_told_before_anything_else(project):
    make(project, "one", 8)
    first, second, third, *_ = verdict.run(HERE).splitlines()[1:]
    assert first == "  - kept 0 of 1 capability against the base model; not known yet: facts"
    assert second.startswith("  - kept 0 of 1 capability against the model that later stages started from; not known")
    assert third == "  - not known yet against the base model (too few to tell): facts"


def test_a_missing_input_is_one_message(project):
    make(project, "one", 5)
    shutil.rmtree(project / "checkpoints")
    with pytest.raises(UserError, match="checkpoints/made/train"):
        verdict.run(HERE)


# Runs the verdict in forked children that die, uncleaned, at their first, second, … change to the disk.
KILLER = """
import hashlib, json, os, shutil, sys
from pathlib import Path
from realign.versions.bound import tree_md5
from types import SimpleNamespace
from stages.common.verdict import run

def changes(event, arguments):
    "Whether this audit event is about to change the disk."
    if event == "open":
        return isinstance(arguments[1], str) and bool(set(arguments[1]) & set("wax+"))
    if event == "os.mkdir":
        return not os.path.exists(arguments[0])
    if event == "os.remove":  # within rmtree the name is relative to its folder
        return arguments[1] != -1 or os.path.exists(arguments[0])
    return event in ("os.rename", "os.rmdir", "ctypes.call_function")

def child(die_at, home):
    pid = os.fork()
    if pid == 0:
        os.chdir(home)
        seen = 0
        def watch(event, arguments):
            nonlocal seen
            if changes(event, arguments):
                seen += 1
                if seen == die_at:
                    os._exit(9)
        sys.addaudithook(watch)
        run(SimpleNamespace(workflow="made", name="verdict"))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def state(home):
    files = [p for p in sorted((home / "released").rglob("*")) if p.is_file()]
    return {p.relative_to(home).as_posix(): hashlib.md5(p.read_bytes()).hexdigest() for p in files}

def whole(home):
    pointer = home / "released/made/pointer.json"
    named = json.loads(pointer.read_text()) if pointer.exists() else {}
    if named:
        assert tree_md5(home / named["model"]["path"])[0] == named["model"]["md5"]
        records = (home / named["records"]["path"]).read_bytes()
        assert hashlib.md5(records).hexdigest() == named["records"]["md5"]
    return named.get("version")

start, work, warm = Path("start"), Path("work"), Path("warm")
shutil.copytree(start, warm)
os.chdir(warm)
run(SimpleNamespace(workflow="made", name="verdict"))  # imports and starts what a child would
os.chdir("..")
shutil.copytree(start, work)
assert child(0, work) == 0
unbroken, versions, deaths = state(work), set(), 0
while True:
    shutil.rmtree(work)
    shutil.copytree(start, work)
    ended = child(deaths + 1, work)
    versions.add(whole(work))
    if ended == 0:
        break
    assert ended == 9, ended
    deaths += 1
    (work / "released/made/decision.json").unlink(missing_ok=True)  # as DVC does before it runs a stage again
    assert child(0, work) == 0
    assert state(work) == unbroken, deaths
print(json.dumps([deaths, sorted(str(v) for v in versions)]))
"""


@pytest.mark.parametrize("earlier", [False, True])
def test_killed_at_any_step_it_leaves_a_whole_release_and_ends_the_same(tmp_path, monkeypatch, earlier):
    start = tmp_path / "start"
    start.mkdir()
    declare(start)
    if earlier:
        make(start, "one", 5)
        monkeypatch.chdir(start)
        verdict.run(HERE)
    make(start, "two", 4)
    done = subprocess.run([sys.executable, "-c", KILLER], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0, done.stderr
    deaths, versions = json.loads(done.stdout)
    assert deaths >= 8 and len(versions) == 2  # only ever the old version (or none) and the new one


PIPELINE = """
stages:
  work:
    cmd: "{python} work.py"
    params: [weights, wrong]
    outs: [data/common/baseline, data/made/look, data/made/evaluate, data/evaluation, checkpoints/made/train,
           metrics/made/look.json, metrics/made/evaluate.json, {judged}]
  verdict:
    foreach: [made]
    do:
      cmd: "{python} judge.py"
      deps: [data/common/baseline, data/made/look, data/made/evaluate, checkpoints/made/train, {judged}]
      outs:
      - released/made/decision.json: {{cache: false}}
      - released/made/pointer.json: {{cache: false, persist: true}}
      - released/made/records: {{cache: false, persist: true}}
      - released/made/model: {{persist: true}}
"""
JUDGE = """
from stages.common import verdict
from tests_make import HERE
print(verdict.run(HERE))
"""
WORK = """
import yaml
from pathlib import Path
from tests_make import make
values = yaml.safe_load(open("params.yaml"))
make(Path("."), values["weights"], values["wrong"])
"""


def test_under_dvc_the_pointer_outlives_a_blocked_release(tmp_path):
    shutil.copy(__file__, tmp_path / "tests_make.py")
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "judge.py").write_text(JUDGE)
    declare(tmp_path)
    # DVC must not take the declaration for stages to run
    (tmp_path / ".dvcignore").write_text("stages\n")
    (tmp_path / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable, judged=", ".join(
        f"{folder}/{stage}.json" for folder in ("metrics/made/gates", "expectations/made") for stage in STAGES)))
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
                                "PYTHONPATH": f"{ROOT}:{tmp_path}"}

    def dvc(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=tmp_path, capture_output=True,
                              text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def repro(weights: str, wrong: int) -> tuple[str, str | None]:
        (tmp_path / "params.yaml").write_text(f"weights: {weights}\nwrong: {wrong}\n")
        dvc("repro", "-q")
        decision = json.loads((tmp_path / "released/made/decision.json").read_text())["decision"]
        pointer = json.loads((tmp_path / "released/made/pointer.json").read_text())
        if not pointer:
            return decision, None
        return decision, (tmp_path / pointer["model"]["path"] / "model.safetensors").read_text().split()[1]

    dvc("init", "-q", "--no-scm")
    assert repro("bad", 50) == ("blocked", None)
    assert repro("one", 5) == ("released", "one")
    # the same inputs as in an earlier run: DVC must not bring back that run's pointer
    assert repro("bad", 50) == ("blocked", "one")
    assert "up to date" in dvc("repro")
