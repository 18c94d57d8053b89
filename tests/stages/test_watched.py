"""A model that the parameters name by its directory: DVC sees it change, or the run stops and says what to set."""

import logging
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from realign import params
from realign.errors import UserError
from stages import watched
from stages.srf.reward_model import RewardModel

ROOT = Path(__file__).parents[2]
# stage: the parameters that name a directory and say that DVC watches it
NAMED = {
    "reward_model": {"reward_model": {"trunk": "models/own", "files": "models/own"}},
    "preference_data": {"scorer": "reward:models/own", "scorer_files": "models/own"},
    "evaluate": {"scorer": "reward:models/own", "scorer_files": "models/own"},
}


def changed(parameters: dict, folder: Path) -> None:
    """Write the project's params.yaml into `folder`, with these of `srf` changed."""
    yaml = YAML()
    tree = yaml.load(ROOT / "params.yaml")
    for key, value in parameters.items():
        if isinstance(value, dict):
            tree["srf"][key].update(value)
        else:
            tree["srf"][key] = value
    yaml.dump(tree, folder / "params.yaml")


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/own").mkdir(parents=True)
    (tmp_path / "models/own/model.safetensors").write_text("one")
    return tmp_path


def test_a_directory_must_be_the_one_that_dvc_watches(directory):
    watched.require("models/own", "./models/own/", ("srf.scorer", "reward:models/own"), "srf.scorer_files")
    watched.require("org/name", "data/base", ("model.base", "org/name"), "model.files")  # a hub id
    with pytest.raises(UserError) as raised:
        watched.require("models/own", "data/world", ("srf.scorer", "reward:models/own"), "srf.scorer_files")
    for part in ("params.yaml: srf.scorer_files", "found 'data/world'", "'models/own'",
                 "-S srf.scorer=reward:models/own -S srf.scorer_files=models/own"):
        assert part in str(raised.value)


def test_a_scorer_that_is_not_watched_stops_the_stage(directory):
    from stages.srf import judge

    changed({}, directory)
    assert judge.scorer().__name__ == "by_reference"
    changed({"scorer": "reward:models/own"}, directory)
    with pytest.raises(UserError, match=r"srf\.scorer_files.*found 'data/world'"):
        judge.scorer()
    changed(NAMED["evaluate"], directory)
    with pytest.raises(UserError, match=r"no head\.safetensors"):  # watched, so it goes on to load it
        judge.scorer()


def test_a_trunk_that_is_not_watched_is_found_as_its_section_is_read(directory):
    changed({"reward_model": {"trunk": "models/own"}}, directory)
    with pytest.raises(UserError, match=r"srf\.reward_model\.files: found 'checkpoints/srf/sft'"):
        params.load("srf.reward_model", RewardModel)
    changed(NAMED["reward_model"], directory)
    assert params.load("srf.reward_model", RewardModel).files == "models/own"


@pytest.fixture
def pipeline(directory, monkeypatch):
    """A copy of the pipeline in a repository of DVC's, in which nothing has been run."""
    from dvc.repo import Repo

    # Another test's handler writes to what pytest captured then, and is closed by now.
    monkeypatch.setattr(logging.getLogger("dvc"), "handlers", [])
    for room in ("realign", "stages"):
        shutil.copytree(ROOT / room, directory / room, ignore=shutil.ignore_patterns("__pycache__", "dvc.lock"))
    shutil.copy(ROOT / "dvc.yaml", directory)
    subprocess.run(["git", "init", "-q"], cwd=directory, check=True)
    Repo.init(str(directory)).close()
    return directory


def finish(project: Path, name: str) -> None:
    """Put a file wherever a stage reads or writes, and let DVC take that for its run."""
    from dvc.repo import Repo

    repo = Repo(str(project))
    for stage in repo.stage.collect(f"stages/srf/dvc.yaml:{name}"):
        for entry in [*stage.deps, *stage.outs]:
            path = Path(entry.fs_path) if hasattr(entry, "fs_path") else None
            if path is None or path.exists() or type(entry).__name__ == "ParamsDependency":
                continue
            made = path if path.suffix in (".json", ".accepted") else path / "file"
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text("{}")
    repo.close()
    repo = Repo(str(project))
    repo.commit(f"stages/srf/dvc.yaml:{name}", force=True)
    repo.close()


def status(project: Path, name: str) -> str:
    """What `dvc status` says of a stage."""
    from dvc.repo import Repo

    repo = Repo(str(project))
    found = repo.status([f"stages/srf/dvc.yaml:{name}"])
    repo.close()
    return str(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_dvc_sees_the_named_directory_change(name, pipeline):
    changed(NAMED[name], pipeline)
    finish(pipeline, name)
    assert status(pipeline, name) == "{}"
    (pipeline / "models/own/model.safetensors").write_text("two")
    assert re.search(r"models/own'?: 'modified'", status(pipeline, name))
    (pipeline / "models/own/model.safetensors").write_text("one")
    assert status(pipeline, name) == "{}"
