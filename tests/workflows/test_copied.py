"""A second workflow from a copy of the first: its folder, its suites, its section of params.yaml, and its name in the
root's dvc.yaml. No other file is touched."""

import json
import logging
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import stages
from realign.cli import deps
from tests.workflows import small
from tests.workflows.conftest import finish

pytestmark = pytest.mark.xdist_group("small project")

ROOT = small.ROOT
FIRST, SECOND = "srf", "other"


def renamed(text: str) -> str:
    return re.sub(rf"\b{FIRST}\b", SECOND, text)


def copy_renamed(folder: Path) -> None:
    """A folder of text files beside itself under the other name."""
    made = folder.with_name(SECOND)
    made.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.name != "dvc.lock":
            (made / path.name).write_text(renamed(path.read_text(encoding="utf-8")), encoding="utf-8")


def add_workflow(project: Path) -> None:
    """What a person does to get a second workflow."""
    copy_renamed(project / "stages" / FIRST)
    copy_renamed(project / "expectations" / FIRST)
    add_section(project)
    root = (project / "dvc.yaml").read_text(encoding="utf-8")
    lists = re.findall(r"foreach: \[.*\]", root)
    assert len(lists) == 3 and all(FIRST in names for names in lists)
    (project / "dvc.yaml").write_text(re.sub(r"(foreach: \[.*)\]", rf"\1, {SECOND}]", root), encoding="utf-8")


def add_section(project: Path) -> None:
    knobs = (project / "params.yaml").read_text(encoding="utf-8")
    section = re.search(rf"^{FIRST}:\n(?:[ #].*\n|\n)*", knobs, re.MULTILINE)[0]
    (project / "params.yaml").write_text(knobs + renamed(section), encoding="utf-8")


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    """The project as it stands in git, with the second workflow."""
    project = tmp_path_factory.mktemp("declared")
    for room in ("realign", "stages", "expectations"):
        shutil.copytree(ROOT / room, project / room, ignore=shutil.ignore_patterns("__pycache__", "dvc.lock"))
    for file in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / file, project)
    add_workflow(project)
    return project


@pytest.fixture
def repo(declared, monkeypatch):
    """The same in a repository of DVC's."""
    from dvc.repo import Repo

    # Another test's handler writes to what pytest captured then, and is closed by now.
    monkeypatch.setattr(logging.getLogger("dvc"), "handlers", [])
    monkeypatch.chdir(declared)
    if not (declared / ".git").exists():
        subprocess.run(["git", "init", "-q"], check=True)
        Repo.init(".").close()
    repo = Repo(".")
    yield repo
    repo.close()


def test_dvc_knows_the_stages_of_both_and_their_order(repo):
    names = {stage.addressing.removesuffix(":") for stage in repo.index.stages}
    own = {name for name in names if FIRST in re.split(r"\W", name)}
    assert len(own) == 7 + 7 + 3
    assert {renamed(name) for name in own} == {name for name in names if SECOND in re.split(r"\W", name)}
    graph = repo.index.graph  # which raises where stages go round, or make one file
    after = {(stage.addressing, other.addressing) for stage, other in graph.edges}
    assert {(renamed(a), renamed(b)) for a, b in after if own & {a, b}} == {
        (a, b) for a, b in after if {renamed(name) for name in own} & {a, b}}
    assert not any(FIRST in re.split(r"\W", a) and SECOND in re.split(r"\W", b) for a, b in after)


def test_its_deps_are_the_rooms_that_its_stages_enter(declared):
    found = [stage for stage in deps.stages(declared) if stage.file == Path("stages", SECOND, "dvc.yaml")]
    assert len(found) == 7 + 1
    assert not [fault for stage in found for fault in stage.faults]


@pytest.fixture
def second(declared, monkeypatch):
    """The stages of the second workflow in their order, importable in this process."""
    monkeypatch.setattr(stages, "__path__", [*stages.__path__, str(declared / "stages")])
    return small.of(SECOND, declared)


def measured(folder: Path, workflow: str, names: list[str]) -> dict[str, dict]:
    """The stages' figures, but for the hashes of models: a card names its workflow."""
    found = {name: json.loads(renamed((folder / f"metrics/{workflow}/{name}.json").read_text())) for name in names}
    return {name: figures | {"of": {path: md5 for path, md5 in figures.get("of", {}).items()
                                    if not path.startswith("checkpoints/")}} for name, figures in found.items()}


@pytest.mark.slow
def test_its_stages_run_to_the_same_figures(second, labelled, tmp_path):
    project = small.copy(labelled.folder, tmp_path)
    add_section(project)
    finish(project, second)
    names = [declared.stage.name for declared in second]
    assert len(names) == 7 and measured(project, SECOND, names) == measured(labelled.folder, FIRST, names)
    assert [path for stage in second for path in small.hashes(project, stage.made)]


def test_it_takes_the_shared_model_too(second, project, finished):
    add_section(project)
    small.run(second[0].stage)
    assert measured(project, SECOND, ["sft"]) == measured(finished.folder, FIRST, ["sft"])
