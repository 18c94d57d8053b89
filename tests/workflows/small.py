"""A small project on which every stage of every workflow really runs: a small world, few steps, the shipped base."""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from realign import params
from realign.files import read_yaml
from realign.stage import Stage
from stages.__main__ import module_of

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "demo.world": {"train": 20, "validation": 8, "prompts": 40, "test": 4, "development": 4,
                   "evaluation": 4, "reserve": 4, "sealed": 4},
    "common.sft": {"epochs": 1, "batch_size": 8, "evaluate_every": 16, "checkpoint_every": 8},
    "srf.preference_data": {"prompts": 48, "temperatures": [0.7, 1.3], "max_tokens": 32},
    "srf.reward_model": {"epochs": 1, "batch_size": 8, "evaluate_every": 4, "checkpoint_every": 2},
    "srf.reward_validation": {"prompts": 20, "temperatures": [0.7, 1.3], "max_tokens": 32},
    "srf.rl": {"rollouts": 4, "prompts_per_rollout": 8, "minibatch": 4, "epochs": 1, "max_tokens": 16,
               "heldout_prompts": 8, "attempts": 2, "kl_limit": 10.0, "entropy_low": 0.0, "entropy_high": 20.0,
               "verify_every": 2, "verify_prompts": 8, "gaming_fall": 1.0},
    "srf.iterate": {"rounds": 2, "prompts": 12, "rollouts": 1, "least_gain": -1.0},
    "srf.evaluate": {"prompts": 8, "max_tokens": 16},
}


@dataclass(frozen=True)
class Declared:
    """A stage as its dvc.yaml declares it: which it is, the sections of params.yaml that it names, what it makes (paths
    of outs, metrics and plots), and the options of its plots by path."""

    stage: Stage
    params: tuple[str, ...]
    made: tuple[str, ...]
    plots: dict[str, dict]

    def __str__(self) -> str:
        return f"{self.stage.workflow}.{self.stage.name}"


@dataclass(frozen=True)
class Ran:
    """What a run of a stage took: seconds, and the sections of params.yaml that it loaded."""

    seconds: float
    sections: frozenset[str]


def declared(file: Path) -> list[Declared]:
    """The stages of a dvc.yaml in their order, without those made by `foreach`."""
    return [_declared(entry) for entry in read_yaml(file)["stages"].values() if "foreach" not in entry]


def _declared(entry: Mapping) -> Declared:
    made = {path: options for kind in ("outs", "metrics", "plots") for item in entry.get(kind, [])
            for path, options in (item.items() if isinstance(item, dict) else [(item, {})])}
    plots = {path: made[path] for item in entry.get("plots", []) for path in item}
    *_, workflow, name = entry["cmd"].split()
    return Declared(Stage(workflow, name), tuple(entry.get("params", [])), tuple(made), plots)


def workflows(root: Path = ROOT) -> list[str]:
    """Names of the workflows: of the folders whose dvc.yaml has gates."""
    return [path.parent.name for path in sorted(root.glob("stages/*/dvc.yaml")) if "gate" in read_yaml(path)["stages"]]


def of(workflow: str, root: Path = ROOT) -> list[Declared]:
    """The stages of a workflow in their order."""
    return declared(root / "stages" / workflow / "dvc.yaml")


# All but the check of the knobs, which reads the whole repository (tests/stages/common/test_check.py).
SHARED = [stage for stage in declared(ROOT / "dvc.yaml") if stage.stage != Stage("common", "check")]
ALL = [*SHARED, *(stage for name in workflows() for stage in of(name))]


def make(folder: Path) -> Path:
    """What is there before the first stage runs."""
    for data in ("tables", "base"):
        shutil.copytree(ROOT / "data" / data, folder / "data" / data)
    shutil.copy(ROOT / "params.yaml", folder)
    set_params(folder, SMALL)
    return folder


def copy(project: Path, folder: Path, without: tuple[str, ...] = ()) -> Path:
    """A copy of a project without its run logs, and without these paths, to break."""
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("runs"), dirs_exist_ok=True)
    forget(folder, without)
    return folder


def run(stage: Stage) -> Ran:
    """Run a stage in this process, in the current directory."""
    started = time.monotonic()
    with recorded() as sections:
        stage.run(module_of(stage).run)
    return Ran(time.monotonic() - started, frozenset(sections))


@contextmanager
def recorded() -> Iterator[set[str]]:
    """The sections of params.yaml that are loaded inside the block, and those that they stand over."""
    found, convert = set(), params.convert

    def noted(tree, section, cls, path=params.PARAMS, over=""):
        found.update({section, over} - {""})
        return convert(tree, section, cls, path, over)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(params, "convert", noted)
        yield found


def process(stage: Stage) -> list[str]:
    """The command line that DVC runs a stage by."""
    return [sys.executable, "-m", "stages", stage.workflow, stage.name]


def environment() -> dict[str, str]:
    """Of such a process: one thread, as in this one, since the number of threads decides the bytes."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}


def set_params(project: Path, changes: Mapping[str, Mapping]) -> None:
    """Change keys of sections of params.yaml."""
    yaml = YAML()
    tree = yaml.load(project / "params.yaml")
    for section, values in changes.items():
        node = tree
        for key in section.split("."):
            node = node[key]
        node.update(values)
    yaml.dump(tree, project / "params.yaml")


def forget(project: Path, paths: Iterable[str]) -> None:
    """What DVC does before it runs a stage: its outputs go."""
    for path in (project / p for p in paths):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def hashes(project: Path, paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of every file at or below these paths, by path; raises where there is none at one of them."""
    found = {}
    for path in (project / p for p in paths):
        files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
        assert files, f"{path} is empty"
        found |= {f.relative_to(project).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    return found
