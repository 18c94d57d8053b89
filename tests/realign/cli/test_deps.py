"""The rooms that a stage's imports reach, against the `deps` of its dvc.yaml."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from realign.cli import deps
from realign.errors import UserError

ROOT = Path(__file__).parents[3]
PIPELINE = """\
stages:
  a:
    cmd: python -m stages toy a
    deps: [data/in, realign/gone, "${model.files}"]
    outs: [data/a]
  b:
    cmd: python -m realign.check toy
    deps: [data/a, realign/check]
  gate:
    foreach: {a: data/a, b: data/b}
    do:
      cmd: python -m realign.check toy ${key} ${item}
      deps: ["${item}", realign/lake]
  each:
    foreach: [toy, other]
    do:
      cmd: python -m stages ${item} told
      deps: [stages/common/told.py]
  copied:
    cmd: cp data/a data/b
"""


@pytest.fixture
def project(tmp_path):
    """Files by path; a Python file that is not named is an empty package."""
    def make(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            for parent in path.parents:
                if parent != tmp_path and parent.is_relative_to(tmp_path) and name.startswith(deps.CODE):
                    (parent / "__init__.py").touch()
        return tmp_path

    return make


@pytest.fixture
def pipeline(project):
    return project({"dvc.yaml": PIPELINE, "stages/toy/a.py": "import realign.lake.table", "realign/lake/table.py": "1",
                    "stages/common/told.py": "1", "realign/check/__main__.py": "from realign.lake import table"})


def reached(root, module="stages.toy.a"):
    return deps.reached(module, deps.modules(root))


@pytest.mark.parametrize("path, room", [
    ("realign/lake/table.py", "realign/lake"), ("realign/models/deep/inner.py", "realign/models"),
    ("realign/metrics.py", "realign/metrics.py"), ("realign/objectives/sft.py", "realign/objectives/sft.py"),
    ("realign/objectives/losses/policy.py", "realign/objectives/losses"), ("stages/srf/rl.py", "stages/srf/rl.py"),
    ("stages/__main__.py", ""), ("realign/errors.py", ""), ("realign/params.py", ""), ("realign/stage.py", "")])
def test_a_room_is_a_directory_an_objective_or_a_module_of_the_stages(path, room):
    assert deps.room_of(path) == room


def test_imports_are_followed_wherever_they_stand(project):
    root = project({
        "stages/toy/a.py": "import json, realign.one\ndef run():\n    from realign import two\n    if 0:\n"
                           "        from realign.three import name\n",
        "realign/one.py": "1", "realign/two.py": "from realign.four.x import x as y", "realign/three.py": "name = 1",
        "realign/four/x.py": "x = 1", "realign/unused.py": "import realign.one"})
    assert reached(root) == ["realign/four", "realign/one.py", "realign/three.py", "realign/two.py",
                             "stages/toy/a.py"]


def test_relative_imports_mean_the_package_around_the_module(project):
    root = project({
        "stages/toy/a.py": "import realign.room.inner\nfrom . import b\nfrom ..common.c import value",
        "stages/toy/b.py": "1", "stages/common/c.py": "value = 1",
        "realign/room/inner.py": "from ..top import value", "realign/top.py": "value = 1"})
    assert reached(root) == ["realign/room", "realign/top.py", "stages/common/c.py", "stages/toy/a.py",
                             "stages/toy/b.py"]


def test_a_package_counts_if_its_init_has_content(project):
    root = project({"stages/toy/a.py": "from realign.objectives.x import f", "realign/objectives/x.py": "f = 1",
                    "realign/two/y.py": "1"})
    assert reached(root) == ["realign/objectives/x.py", "stages/toy/a.py"]
    (root / "realign/objectives/__init__.py").write_text("from realign.two import y\n")
    assert reached(root) == ["realign/objectives/__init__.py", "realign/objectives/x.py", "realign/two",
                             "stages/toy/a.py"]


def test_what_only_a_type_checker_sees_is_no_dependency(project):
    root = project({"stages/toy/a.py": "import typing\nif typing.TYPE_CHECKING:\n    import realign.one\nelse:\n"
                                       "    import realign.two\n",
                    "realign/one.py": "1", "realign/two.py": "1"})
    assert reached(root) == ["realign/two.py", "stages/toy/a.py"]


def test_modules_that_import_each_other_end(project):
    root = project({"stages/toy/a.py": "import realign.one", "realign/one.py": "import realign.two",
                    "realign/two.py": "import realign.one"})
    assert reached(root) == ["realign/one.py", "realign/two.py", "stages/toy/a.py"]


@pytest.mark.parametrize("command, module", [
    ("python -m stages toy a", "stages.toy.a"), ("A=1 python -m stages toy told", "stages.common.told"),
    ("python -m realign.check toy a", "realign.check.__main__")])
def test_the_module_of_a_command(command, module, pipeline):
    assert deps.module_of(command, deps.modules(pipeline)) == module


@pytest.mark.parametrize("command, wanted", [
    ("python -m stages toy gone", r"stages\.toy\.gone or stages\.common\.gone"),
    ("python -m realign.gone", r"realign\.gone\.__main__ or realign\.gone")])
def test_a_command_without_a_module_is_named(command, wanted, pipeline):
    with pytest.raises(UserError, match=rf"no module for `{command}`\n  expected: {wanted}"):
        deps.module_of(command, deps.modules(pipeline))


def test_missing_and_surplus_rooms_are_told_apart_and_data_is_none(pipeline):
    found = {entry.name: entry for entry in deps.stages(pipeline)}
    assert {name: entry.faults for name, entry in found.items()} == {
        "a": ["missing realign/lake", "missing stages/toy/a.py", "surplus realign/gone"],
        "b": ["missing realign/lake"], "gate": ["missing realign/check"], "each": []}
    assert {entry.file for entry in found.values()} == {Path("dvc.yaml")}


def test_the_command_lists_the_faults_and_exits_1_until_there_are_none(pipeline):
    # From the repository's own code, not from the toy `realign` in the current directory.
    code = "import sys; from realign.cli import main; import os; os.chdir(sys.argv.pop()); main()"

    def run():
        return subprocess.run([sys.executable, "-c", code, "deps", str(pipeline)], text=True, cwd=ROOT,
                              capture_output=True, env=os.environ)

    done = run()
    assert done.returncode == 1, done.stderr
    assert "dvc.yaml: a: surplus realign/gone\n" in done.stdout
    assert "dvc.yaml: b: missing realign/lake\n" in done.stdout
    mended = PIPELINE.replace("realign/gone", "realign/lake, stages/toy/a.py").replace(
        "data/a, realign/check]", "data/a, realign/check, realign/lake]").replace(
        "realign/lake]\n  each", "realign/check, realign/lake]\n  each")
    (pipeline / "dvc.yaml").write_text(mended)
    done = run()
    assert (done.returncode, done.stdout) == (0, "every stage lists the code that it imports\n"), done.stderr
