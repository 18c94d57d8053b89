"""The small project, run once, and copies of it to break."""

import shutil
from pathlib import Path

import pytest

from tests.stages.srf.small import ROOT, SMALL, STAGES, run, set_params


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The project with every stage run once, unbroken."""
    project = tmp_path_factory.mktemp("srf")
    shutil.copy(ROOT / "params.yaml", project)
    shutil.copytree(ROOT / "data" / "tables", project / "data" / "tables")
    set_params(project, SMALL)
    shutil.copytree(ROOT / "data" / "base", project / "data" / "base")
    for module in ("stages.demo.world", *(f"stages.srf.{stage}" for stage in STAGES)):
        assert (done := run(project, module)).returncode == 0, done.stderr
    return project


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project without its run logs, to break."""
    return Path(shutil.copytree(finished, tmp_path / "project", ignore=shutil.ignore_patterns("runs")))
