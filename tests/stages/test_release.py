"""The release stage as it runs: by convention's paths, under DVC, and killed at every step."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from realign.errors import UserError
from realign.lake.schemas import RECORDS
from realign.lake.table import write_table
from realign.report.words import WORKFLOWS
from stages.release import candidate, main

ROOT = Path(__file__).parents[2]


def make(root: Path, weights: str, wrong: int) -> None:
    """What the workflow leaves before its release: a model, records, metrics, verdicts."""
    for stage, misses in (("sft", 5), ("evaluate", wrong)):
        rows = [dict(example_id=f"e{i}", capability="facts", slice="s", prompt=f"{i}?", output="o",
                     reference="r", score=float(i >= misses)) for i in range(100)]
        write_table(rows, root / f"data/srf/{stage}/records.parquet", RECORDS)
    model = root / "checkpoints/srf/iterate"
    model.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "config.json"):
        (model / name).write_text(f"{name} {weights}")
    gates = root / "metrics/srf/gates"
    gates.mkdir(parents=True, exist_ok=True)
    for stage in WORKFLOWS["srf"]:
        (gates / f"{stage}.json").write_text(json.dumps({"tier": "HIGH"}))
    (root / "metrics/srf/evaluate.json").write_text("{}")


def test_every_gate_of_the_workflow_is_asked():
    assert list(candidate("srf").gates) == list(WORKFLOWS["srf"]) and len(candidate("srf").gates) == 7


def test_unknown_workflow():
    with pytest.raises(UserError, match="unknown workflow"):
        candidate("sfr")


def test_a_blocked_release_ends_well_and_its_confirmation_does_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "bad", 40)
    assert main(["srf"]) == 0
    assert "blocked" in capsys.readouterr().out
    assert main(["srf", "--confirm"]) == 2
    assert "facts is 36.8% below the baseline" in capsys.readouterr().err
    make(tmp_path, "good", 4)
    assert main(["srf"]) == 0 and main(["srf", "--confirm"]) == 0


def test_a_missing_input_is_one_message(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["srf"]) == 2
    assert "checkpoints/srf/iterate" in capsys.readouterr().err


# Runs the release in forked children that die, uncleaned, at their first, second, … change to the disk.
KILLER = """
import hashlib, json, os, shutil, sys
from pathlib import Path
import duckdb, pyarrow.parquet
from realign.versions.release import tree_md5
from stages.release import run

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
        run("srf")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def state(home):
    files = [p for part in ("released", "metrics") for p in sorted((home / part).rglob("*")) if p.is_file()]
    return {p.relative_to(home).as_posix(): hashlib.md5(p.read_bytes()).hexdigest() for p in files}

def whole(home):
    pointer = home / "released/srf/pointer.json"
    named = json.loads(pointer.read_text()) if pointer.exists() else {}
    if named:
        assert tree_md5(home / named["model"]["path"])[0] == named["model"]["md5"]
        records = (home / named["records"]["path"]).read_bytes()
        assert hashlib.md5(records).hexdigest() == named["records"]["md5"]
    return named.get("version")

start, work = Path("start"), Path("work")
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
    (work / "metrics/srf/release.json").unlink(missing_ok=True)  # as DVC does before it runs a stage again
    assert child(0, work) == 0
    assert state(work) == unbroken, deaths
print(json.dumps([deaths, sorted(str(v) for v in versions)]))
"""


@pytest.mark.parametrize("earlier", [False, True])
def test_killed_at_any_step_it_leaves_a_whole_release_and_ends_the_same(tmp_path, monkeypatch, earlier):
    start = tmp_path / "start"
    start.mkdir()
    if earlier:
        make(start, "one", 5)
        monkeypatch.chdir(start)
        assert main(["srf"]) == 0
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
    outs:
    - data/srf
    - checkpoints/srf/iterate
    - metrics/srf/evaluate.json: {{cache: false}}
    - metrics/srf/gates: {{cache: false}}
  release_srf:
    cmd: "{python} -m stages.release srf"
    deps: [data/srf/sft/records.parquet, data/srf/evaluate/records.parquet, checkpoints/srf/iterate,
           metrics/srf/evaluate.json, metrics/srf/gates]
    outs:
    - metrics/srf/release.json: {{cache: false}}
    - released/srf/pointer.json: {{cache: false, persist: true}}
    - released/srf/records: {{cache: false, persist: true}}
    - released/srf/model: {{persist: true}}
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
    (tmp_path / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable))
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
        decision = json.loads((tmp_path / "metrics/srf/release.json").read_text())["decision"]
        pointer = json.loads((tmp_path / "released/srf/pointer.json").read_text())
        if not pointer:
            return decision, None
        return decision, (tmp_path / pointer["model"]["path"] / "model.safetensors").read_text().split()[1]

    dvc("init", "-q", "--no-scm")
    assert repro("bad", 50) == ("blocked", None)
    assert repro("one", 5) == ("released", "one")
    # the same inputs as in an earlier run: DVC must not bring back that run's pointer
    assert repro("bad", 50) == ("blocked", "one")
    assert "up to date" in dvc("repro")
