"""`dvc repro` killed together with its stage, and called again: dvc.lock is that of an unbroken run."""

import json
import re
import shutil
import signal
import subprocess

import pytest

from tests.test_dvc_behaviour import ROOT, environment

pytestmark = pytest.mark.slow

PIPELINE = """\
stages:
  rows:
    wdir: ../..
    cmd: python -m stages toy rows
    deps: [stages/toy/rows.py]
    outs: [data/toy/rows.txt]
  trained:
    wdir: ../..
    cmd: python -m stages toy trained
    deps: [data/toy/rows.txt, stages/toy/trained.py]
    outs: [checkpoints/toy/trained]
    metrics: [{metrics/toy/trained.json: {cache: false}}]
  used:
    wdir: ../..
    cmd: python -m stages toy used
    deps: [checkpoints/toy/trained, stages/toy/used.py]
    outs: [data/toy/used]
"""
# The file `death` says where to die: DVC and its stage are one process group, so nothing survives.
DEATH = """\
import os, pathlib, signal

def here(place):
    file = pathlib.Path("death")
    if file.exists() and file.read_text() == place:
        file.unlink()
        os.killpg(0, signal.SIGKILL)
"""
ROWS = """\
import pathlib, random
from stages.toy import death

def run(here):
    rng = random.Random(0)
    pathlib.Path("data/toy").mkdir(parents=True, exist_ok=True)
    with open("data/toy/rows.txt", "w") as file:
        for i in range(40):
            print(*rng.choices(range(1, 32), k=rng.randrange(3, 12)), file=file, flush=True)
            death.here(f"row {i}")
    return "40 rows"
"""
TRAINED = """\
import pathlib
import mlx.core as mx
from mlx.utils import tree_flatten, tree_map
from realign.lake.atomic import atomic_directory
from realign.metrics import exact
from realign.models import build
from realign.models.batches import batch_of
from realign.models.chat import Encoded
from realign.objectives import sft
from realign.train import checkpoint, loop
from realign.train.batches import RowBatches
from stages.toy import death

CONFIG = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32, "head_dim": 8,
    "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "vocab_size": 32,
    "rope_theta": 1e4, "max_position_embeddings": 64, "tie_word_embeddings": True}
steps = []

def bar(step, *_):
    steps.append(step)
    death.here(f"step {step}")

def run(here):
    lines = pathlib.Path("data/toy/rows.txt").read_text().splitlines()
    rows = [Encoded([int(t) for t in line.split()], [0] + [1] * line.count(" ")) for line in lines]
    model = build.create(CONFIG, 0)
    batches = RowBatches.of(rows, batch_of, sft.weigh, 8, 4, 0)
    settings = loop.Settings(1e-2, checkpoint_every=4)
    state = loop.train(model, sft.loss, batches, settings, scratch=here.scratch / "checkpoint", run_id="toy",
                       progress_bar=bar)
    with atomic_directory(here.checkpoint) as new:
        mx.save_safetensors(str(new / "model.safetensors"), dict(tree_flatten(model.parameters())))
        death.here("output")
    here.report({"loss": exact(state.history[-1]["loss"], 1)})
    return f"trained from step {steps[0]}"
"""
USED = """\
import hashlib, pathlib
from stages.toy import death

def run(here):
    made = pathlib.Path("data/toy/used")
    made.mkdir(parents=True)
    (made / "half").write_text("half")
    death.here("used")
    (made / "half").unlink()
    model = (here.of("trained").checkpoint / "model.safetensors").read_bytes()
    (made / "whole").write_text(hashlib.sha256(model).hexdigest())
    return "used"
"""
FORGETFUL = """\
restore = checkpoint.restore

def forgetful(folder, run_id):
    found = restore(folder, run_id)
    if found:
        found[0]["optimizer"] = tree_map(mx.zeros_like, found[0]["optimizer"])
    return found

checkpoint.restore = forgetful
steps = []
"""
# DVC dies with the stage's outputs in its cache and nothing in dvc.lock.
BEFORE_THE_LOCK = """\
import os, signal, sys
from dvc import dvcfile
from dvc.cli import main

dump = dvcfile.Lockfile.dump_stages

def die(self, stages, **kwargs):
    if stages[0].name == "trained":
        os.killpg(0, signal.SIGKILL)
    dump(self, stages, **kwargs)

dvcfile.Lockfile.dump_stages = die
sys.exit(main(["repro", "stages/toy/dvc.yaml"]))
"""


@pytest.fixture(scope="module")
def make(tmp_path_factory, dvc_forks):
    """`make(**files)`: a project in a repository of DVC's, in which nothing was run; `files` take the
    place of its own."""
    def project(**changed):
        folder = tmp_path_factory.mktemp("project")
        files = {"rows": ROWS, "trained": TRAINED, "used": USED, "death": DEATH, "__init__": ""} | changed
        (folder / "stages/toy").mkdir(parents=True)
        (folder / "stages/__init__.py").write_text("")
        for name, text in files.items():
            (folder / f"stages/toy/{name}.py").write_text(text)
        (folder / "stages/toy/dvc.yaml").write_text(PIPELINE)
        shutil.copy(ROOT / "stages/__main__.py", folder / "stages")
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        assert dvc_forks.run(["-m", "dvc", "init", "-q"], folder, environment()).returncode == 0
        return folder

    return project


@pytest.fixture(scope="module")
def repro(dvc_forks):
    """`repro(folder, death, program)`: exit status, stages whose command was run, and all that was said."""
    def run(folder, death=None, program=("-m", "dvc", "repro", "stages/toy/dvc.yaml")):
        if death:
            (folder / "death").write_text(death)
        done = dvc_forks.run(program, folder, environment())
        return done.returncode, re.findall(r"Running stage '(?:.*:)?(\w+)'", done.stdout), done.stdout + done.stderr
    return run


@pytest.fixture(scope="module")
def unbroken(make, repro):
    folder = make()
    assert repro(folder)[:2] == (0, ["rows", "trained", "used"])
    return folder


def lock(folder):
    return (folder / "stages/toy/dvc.lock").read_text()


def test_killed_in_every_stage_it_ends_with_the_lock_of_an_unbroken_run(make, unbroken, repro):
    folder, killed = make(), -signal.SIGKILL
    stale = folder / ".dvc/tmp/rwlock"

    def dies(ran, *how, **program):
        code, stages, said = repro(folder, *how, **program)
        assert (code, stages) == (killed, ran) and not (folder / "death").exists(), said
        if how:  # inside a stage: the dead process still holds what it makes
            assert json.loads(stale.read_text())["write"]
        return said

    dies(["rows"], "row 20")
    dies(["rows", "trained"], "step 7")
    dies(["trained"], "step 14")
    dies(["trained"], "output")
    said = dies(["trained"], program=("-c", BEFORE_THE_LOCK))
    assert int(re.search(r"trained from step (\d+)", said)[1]) in (13, 17)  # the last may not have been on disk yet
    assert (folder / "checkpoints/toy/trained/model.safetensors").exists()
    assert "checkpoints/toy/trained" not in lock(folder)
    dies(["used"], "used")  # the model comes from DVC's cache
    assert (folder / "data/toy/used/half").exists()
    code, stages, said = repro(folder)
    assert (code, stages) == (0, ["used"]), said
    assert "had been killed. Auto removed it from the lock file" in said
    assert lock(folder) == lock(unbroken)
    assert not (folder / "data/toy/used/half").exists()
    assert repro(folder)[:2] == (0, [])


def test_a_resume_that_forgets_is_seen_in_the_lock(make, unbroken, repro):
    """The same pipeline, its stage without optimiser when it goes on; unbroken it makes the same model."""
    def model(folder):
        return (folder / "checkpoints/toy/trained/model.safetensors").read_bytes()

    changed = TRAINED.replace("steps = []\n", FORGETFUL)
    assert changed != TRAINED
    folder = make(trained=changed)
    shutil.copytree(folder, whole := folder.with_name("whole"))
    assert repro(whole)[0] == 0 and model(whole) == model(unbroken)
    assert repro(folder, "step 14")[0] == -signal.SIGKILL and repro(folder)[0] == 0
    assert lock(folder) != lock(whole)
