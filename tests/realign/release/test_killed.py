"""`realign release`, killed at every step."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.realign.release.offered import judge, offer, settle

ROOT = Path(__file__).parents[3]

# Runs the release in forked children that die, uncleaned, at their first, second, … change to the disk.
KILLER = """
import hashlib, json, os, pickle, shutil, sys
from pathlib import Path
import duckdb, pandas, pyarrow.pandas_compat, pyarrow.parquet, ruamel.yaml  # once for all children
from realign.lake.hashes import tree_md5
from realign.release import release as module
import pytest

from tests.realign.release.offered import FOLDER, SEALED, VERDICT, ask

# What is compared changes no disk, and takes most of the time.
module.decide = lambda candidate, folder: json.loads(VERDICT.read_text())
module._compared = lambda candidate, before, alpha, asked: (asked("candidate"), {})
module._unasked = lambda candidate, sealed: []

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
        module.release(candidate, FOLDER, VERDICT, [SEALED], ask)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def state(home):
    files = [p for p in sorted((home / "released").rglob("*")) if p.is_file()]
    return {p.relative_to(home).as_posix(): hashlib.md5(p.read_bytes()).hexdigest() for p in files}

def whole(home):
    pointer = home / "released/srf/pointer.json"
    named = json.loads(pointer.read_text()) if pointer.exists() else {}
    if named:
        assert tree_md5(home / named["model"]["path"])[0] == named["model"]["md5"]
        for kept in (named["records"], named["sealed"]):
            assert hashlib.md5((home / kept["path"]).read_bytes()).hexdigest() == kept["md5"]
    return named.get("version")

start, work = Path("start").resolve(), Path("work").resolve()
candidate = pickle.loads(Path("candidate").read_bytes())
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
    assert child(0, work) == 0
    assert state(work) == unbroken, deaths
print(json.dumps([deaths, sorted(str(v) for v in versions)]))
"""


@pytest.mark.slow
def test_killed_at_any_step_it_leaves_a_whole_release_and_ends_the_same(tmp_path, monkeypatch, declared):
    declared(tmp_path / "start")
    monkeypatch.chdir(tmp_path / "start")  # in this process: a thread of polars would not outlive a fork
    settle(offer("one", 8))
    candidate = offer("two", 4)
    judge(candidate)
    (tmp_path / "candidate").write_bytes(pickle.dumps(candidate))
    done = subprocess.run([sys.executable, "-c", KILLER], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0, done.stderr
    deaths, versions = json.loads(done.stdout)
    assert deaths >= 12 and len(versions) == 2  # only ever the old version and the new one
