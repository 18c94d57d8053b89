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
  # why a comes first
  a:
    cmd: python -m stages.a --fast
    deps:
      - data/in
      - realign/gone.py
      - ${model.files}
    outs: [{data/a: {cache: false}}]  # kept

  b:
    cmd: python -m realign.b
    outs: [data/b]
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
                if parent != tmp_path and parent.is_relative_to(tmp_path) and name.startswith(deps.ROOMS):
                    (parent / "__init__.py").touch()
        return tmp_path

    return make


def reached(root, module="stages.a"):
    return deps.reached(module, deps.modules(root))


def test_imports_are_followed_wherever_they_stand(project):
    root = project({
        "stages/a.py": "import json, realign.one\ndef run():\n    from realign import two\n    if 0:\n"
                       "        from realign.three import name\n",
        "realign/one.py": "1", "realign/two.py": "from realign.four import x as y", "realign/three.py": "name = 1",
        "realign/four.py": "x = 1", "realign/unused.py": "import realign.one"})
    assert reached(root) == ["realign/four.py", "realign/one.py", "realign/three.py", "realign/two.py",
                             "stages/a.py"]


def test_relative_imports_mean_the_package_around_the_module(project):
    root = project({
        "stages/a.py": "import realign.room.inner",
        "realign/room/inner.py": "from . import sister\nfrom .deep import thing\nfrom ..top import value",
        "realign/room/sister.py": "1", "realign/room/deep.py": "thing = 1", "realign/top.py": "value = 1"})
    assert reached(root) == ["realign/room/deep.py", "realign/room/inner.py", "realign/room/sister.py",
                             "realign/top.py", "stages/a.py"]


def test_a_package_counts_if_its_init_has_content(project):
    root = project({"stages/a.py": "from realign.full.x import f\nfrom realign.empty.x import g",
                    "realign/full/x.py": "f = 1", "realign/empty/x.py": "g = 1", "realign/two.py": "1"})
    (root / "realign/full/__init__.py").write_text("from . import y\nfrom realign import two\n")
    (root / "realign/full/y.py").write_text("1")
    assert reached(root) == ["realign/empty/x.py", "realign/full/__init__.py", "realign/full/x.py",
                             "realign/full/y.py", "realign/two.py", "stages/a.py"]


def test_what_only_a_type_checker_sees_is_no_dependency(project):
    root = project({"stages/a.py": "import typing\nif typing.TYPE_CHECKING:\n    import realign.one\nelse:\n"
                                   "    import realign.two\n",
                    "realign/one.py": "1", "realign/two.py": "1"})
    assert reached(root) == ["realign/two.py", "stages/a.py"]


def test_data_files_belong_to_the_module_that_looks_beside_itself(project):
    files = {"realign/sql/view.py": "HERE = __file__", "realign/sql/words.py": "1", "realign/sql/v.sql": "select 1",
             "realign/sql/README.md": "", "realign/sql/dvc.yaml": "", "realign/sql/.gitignore": ""}
    root = project(files | {"stages/a.py": "import realign.sql.view", "stages/b.py": "import realign.sql.words"})
    assert reached(root) == ["realign/sql/v.sql", "realign/sql/view.py", "stages/a.py"]
    assert reached(root, "stages.b") == ["realign/sql/words.py", "stages/b.py"]


def test_modules_that_import_each_other_end(project):
    root = project({"stages/a.py": "import realign.one", "realign/one.py": "import realign.two",
                    "realign/two.py": "import realign.one"})
    assert reached(root) == ["realign/one.py", "realign/two.py", "stages/a.py"]


def test_a_package_runs_by_its_main(project):
    root = project({"realign/gates/__main__.py": "import realign.one", "realign/one.py": "1"})
    assert reached(root, "realign.gates") == ["realign/gates/__main__.py", "realign/one.py"]


@pytest.mark.parametrize("command, module", [
    ("python -m stages.a x --fast", "stages.a"), ("A=1 B_C= python -m realign.gates srf sft", "realign.gates"),
    ("bash run.sh", None), (["python -m stages.a", "bash run.sh"], None)])
def test_the_module_of_a_command(command, module):
    assert deps.module_of(command) == module


def test_an_unknown_module_is_named(project):
    root = project({"stages/a.py": "1"})
    with pytest.raises(UserError, match="no module 'stages.b'"):
        reached(root, "stages.b")


def test_missing_and_surplus_are_told_apart_and_written(project):
    root = project({"dvc.yaml": PIPELINE, "stages/a.py": "import realign.b", "realign/b.py": "1"})
    first, second = deps.stages(root)
    assert first.faults == ["missing realign/b.py", "missing stages/a.py", "surplus realign/gone.py"]
    assert second.faults == ["missing realign/b.py"]
    assert deps.write(root) == [Path("dvc.yaml")]
    expected = PIPELINE.replace("      - realign/gone.py\n", "").replace(
        "      - ${model.files}\n", "      - ${model.files}\n      - realign/b.py\n      - stages/a.py\n").replace(
        "realign.b\n    outs", "realign.b\n    deps:\n      - realign/b.py\n    outs")
    assert (root / "dvc.yaml").read_text() == expected
    assert not any(stage.faults for stage in deps.stages(root))
    assert deps.write(root) == []


def test_a_list_that_cannot_be_rewritten_is_left_alone(project):
    text = "stages:\n  a:\n    cmd: python -m stages.a\n    deps: [data/in]\n"
    root = project({"dvc.yaml": text, "stages/a.py": "1"})
    with pytest.raises(UserError, match="one a line"):
        deps.write(root)
    assert (root / "dvc.yaml").read_text() == text


def test_the_command_lists_the_faults_and_exits_1_until_they_are_written(project):
    root = project({"dvc.yaml": PIPELINE, "stages/a.py": "import realign.b", "realign/b.py": "1"})
    # From the repository's own code, not from the toy `realign` in the current directory.
    code = "import sys; from realign.cli import main; import os; os.chdir(sys.argv.pop()); main()"

    def run(*args):
        return subprocess.run([sys.executable, "-c", code, "deps", *args, str(root)], text=True, cwd=ROOT,
                              capture_output=True, env=os.environ)

    done = run()
    assert done.returncode == 1
    assert "dvc.yaml: a: surplus realign/gone.py\n" in done.stdout
    assert "dvc.yaml: b: missing realign/b.py\n" in done.stdout
    assert run("--write").returncode == 0
    assert run().returncode == 0
