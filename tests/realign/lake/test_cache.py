import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from realign.errors import UserError
from realign.lake import cache
from realign.stage import Stage

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n['remote \"a\"']\n    url = /%s\n")
    return tmp_path


def make(here: Stage) -> str:
    for file in (here.checkpoint / "model.safetensors", here.dataset("pairs"), Path("checkpoints/srf/rl_critic/w")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 100)
    return "made"


def test_a_cache_without_room_for_what_a_stage_made_is_told(project, monkeypatch):
    asked = []

    def usage(path):
        asked.append(Path(path).absolute())
        return Usage(1000, 701, 299)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(UserError, match=r"has 299 bytes left\n  expected: 300,.*\n.*dvc commit -f"):
        Stage("srf", "rl").run(make)
    assert asked == [project / ".dvc"]  # the cache is not there yet
    (project / ".dvc/cache").mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1000, 700, 300))
    Stage("srf", "rl").run(make)


def test_the_cache_is_where_the_configuration_says(project):
    assert cache.cache_folder() == Path(".dvc/cache")
    (project / ".dvc/config.local").write_text("[cache]\n    dir = ../../big\n")
    assert cache.cache_folder() == Path(".dvc/../../big")
    (project / ".dvc/config.local").write_text("[cache]\n    dir = /mnt/big\n")
    assert cache.cache_folder() == Path("/mnt/big")


def test_without_dvc_there_is_nothing_to_ask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 0))
    Stage("srf", "rl").run(make)
