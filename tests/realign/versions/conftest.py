"""A small real project under git and DVC: two commits, two tags, one experiment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKE = """
import json, sys
from pathlib import Path
import yaml
sys.path.insert(0, {root!r})
from realign.lake.schemas import CHATS, PAIRS, RECORDS
from realign.lake.table import frame, write
stage, wrong = sys.argv[1], yaml.safe_load(open("params.yaml"))["wrong"]
for folder in (f"data/srf/{{stage}}", f"checkpoints/srf/{{stage}}"):
    Path(folder).mkdir(parents=True)
miss = 0 if stage == "sft" else wrong
rows = [dict(example_id=f"e{{i:03}}", capability=c, slice=("even", "odd")[i % 2], prompt=f"{{c}} {{i}}?",
             output="no" if c == "facts" and i < miss else "yes", reference="yes",
             score=0.0 if c == "facts" and i < miss else 1.0)
        for c in ("arithmetic", "facts") for i in range(100)]
if stage in ("sft", "evaluate"):
    write(frame(rows, RECORDS), f"data/srf/{{stage}}/records.parquet", RECORDS)
said = [dict(role="user", content="?")]
if stage == "sft":
    chats = [dict(row_id=f"c{{i}}", messages=said, capability="facts", slice="s", reference="", source="s",
                  split="train" if i < 3 else "test") for i in range(5)]
    write(frame(chats, CHATS), "data/srf/sft/chats.parquet", CHATS)
if stage == "pairs":
    pairs = [dict(row_id=f"p{{i}}", prompt_id=f"c{{i}}", messages=said, chosen="a", rejected="b", source="s",
                  chosen_score=1.0, rejected_score=0.0, preference_type="t", split="train") for i in range(2)]
    write(frame(pairs, PAIRS), "data/srf/pairs/pairs.parquet", PAIRS)
Path(f"checkpoints/srf/{{stage}}/model.safetensors").write_text(f"weights {{stage}} {{miss}}")
share = 1 - miss / 100
facts = dict(value=share, n=100, low=share - 0.01, high=share + 0.01)
Path(f"metrics/srf/{{stage}}.json").write_text(json.dumps(dict(capability=dict(facts=facts), note="x")))
"""

STAGE = """
  {name}:
    desc: "{name}. Made up."
    meta: {{workflow: Made up, role: {role}}}
    wdir: ../..
    cmd: "{python} make.py {name}"
    deps: [make.py, {deps}]
    params: [{params}]
    outs: [data/srf/{name}, checkpoints/srf/{name}, {{metrics/srf/{name}.json: {{cache: false}}}}]
"""
GATES = """
  gate:
    foreach: {sft: "0", pairs: "1", evaluate: "2"}
    do:
      wdir: ../..
      cmd: cp ${item} metrics/srf/${key}.accepted
      deps: ["${item}", "metrics/srf/${key}.json"]
      outs: ["metrics/srf/${key}.accepted": {cache: false}]
"""
PIPELINE = "stages:" + "".join(STAGE.format(name=name, role=role, deps=deps, params=params, python=sys.executable)
                               for name, role, deps, params in (
    ("sft", "start", "data/source.jsonl", ""),
    ("pairs", "other", "data/srf/sft, checkpoints/srf/sft, metrics/srf/sft.accepted", ""),
    ("evaluate", "offered", "data/srf/pairs, checkpoints/srf/sft, metrics/srf/pairs.accepted", "wrong"))) + GATES


def environment(root: Path) -> dict[str, str]:
    return os.environ | {
        "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root.parent / "site"), "CI": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "n@x",
        "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "n@x"}


def run(root: Path, *command: str) -> None:
    """A command in `root`; fails the test with its error output."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environment(root))
    assert done.returncode == 0, done.stdout + done.stderr


def commit(root: Path, message: str, tag: str) -> None:
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", message)
    run(root, "git", "tag", tag)


@pytest.fixture(scope="session")
def built(tmp_path_factory, dvc_forks) -> Path:
    """Tags: `empty` (nothing run yet), `good` (every answer right), `bad` (20 of 100 facts wrong; HEAD).

    Experiment `mild`: 4 of 100 facts wrong.
    """
    root = tmp_path_factory.mktemp("project") / "project"
    root.mkdir()

    def dvc(*arguments: str) -> None:
        done = dvc_forks.run(["-m", "dvc", *arguments], root, environment(root))
        assert done.returncode == 0, done.stdout + done.stderr

    run(root, "git", "init", "-q", "-b", "main")
    dvc("init", "-q")
    (root / "make.py").write_text(MAKE.format(root=str(Path(__file__).parents[3])))
    (root / "data").mkdir()
    (root / "data" / "source.jsonl").write_text('{"row_id": "r1"}\n')
    (root / "stages" / "srf").mkdir(parents=True)
    (root / "stages" / "srf" / "dvc.yaml").write_text(PIPELINE)
    (root / "metrics" / "srf").mkdir(parents=True)
    for number in "012":
        (root / number).write_text("accepted")
    (root / "params.yaml").write_text("wrong: 0\n")
    commit(root, "start", "empty")
    dvc("repro", "-q", "stages/srf/dvc.yaml")
    commit(root, "good", "good")
    dvc("exp", "run", "-q", "-n", "mild", "-S", "wrong=4", "stages/srf/dvc.yaml")
    (root / "params.yaml").write_text("wrong: 20\n")
    dvc("repro", "-q", "stages/srf/dvc.yaml")
    commit(root, "bad", "bad")
    return root


@pytest.fixture
def declared():
    """Declares the workflow in another folder: `declared(root)`."""
    def write(root: Path) -> None:
        (root / "stages" / "srf").mkdir(parents=True)
        (root / "stages" / "srf" / "dvc.yaml").write_text(PIPELINE)
    return write


@pytest.fixture
def project(built, tmp_path) -> Path:
    """A copy of the project for a test that changes it, with its own cache."""
    return Path(shutil.copytree(built, tmp_path / "project", symlinks=True))
