"""Workflows as their dvc.yaml declares them, the project's own and made-up ones."""

from pathlib import Path

import pytest

from realign import paths
from realign.errors import UserError
from realign.workflow import EVALUATE, Words, find, workflows

ROOT = Path(__file__).parents[2]
KNOWN = workflows(ROOT)
DECLARED = """\
stages:
  look:
    desc: A look. Counts what is there. Twice.
    meta: {workflow: Tidying, role: start}
    cmd: x
  tidy:
    desc: Tidying up. Puts it where it belongs.
    meta: {role: offered}
    cmd: x
  evaluate: {desc: Evaluation. Compares., cmd: x}
  gate:
    foreach: {look: a, tidy: b, evaluate: c}
    do: {cmd: x}
"""


def declare(root, name="tidying", text=DECLARED):
    path = root / "stages" / name / "dvc.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_order_words_title_and_marks_are_read(tmp_path):
    declare(tmp_path)
    found = find(tmp_path, "tidying")
    assert list(found.stages) == ["look", "tidy", "evaluate"]
    assert found.stages["look"] == Words("A look", "Counts what is there. Twice.")
    assert (found.name, found.title, found.start, found.offered) == ("tidying", "Tidying", "look", "tidy")


def test_one_stage_may_have_both_roles(tmp_path):
    declare(tmp_path, text=DECLARED.replace("role: start", "role: [start, offered]").replace("{role: offered}", "{}"))
    found = find(tmp_path)
    assert (found.start, found.offered) == ("look", "look")


def test_a_dvc_yaml_without_gates_is_no_workflow(tmp_path):
    declare(tmp_path)
    declare(tmp_path, "common", "stages:\n  world: {cmd: x}\n")
    declare(tmp_path, "empty", "vars: [params.yaml]\n")
    assert list(workflows(tmp_path)) == ["tidying"]
    assert workflows(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(("old", "new", "message"), [
    ("role: start", "note: x", "role `start` stands at no stage.*\n.*later stages started from"),
    ("role: offered", "note: x", "role `offered` stands at no stage.*\n.*may be released"),
    ("role: offered", "role: [start, offered]", "role `start` stands at look, tidy"),
    ("desc: Tidying up. Puts it where it belongs.", "deps: []", "dvc.yaml: tidy: no `desc`"),
    ("Tidying up. Puts it where it belongs.", "Tidying up", "tidy: found 'Tidying up'"),
    ("workflow: Tidying, ", "", "dvc.yaml: look: the workflow has no title"),
    ("tidy: b", "tdiy: b", "a gate for 'tdiy'.*\n.*look, tidy, evaluate\n.*did you mean tidy"),
    ("tidy: b, ", "", "no gate behind tidy.*\n.*add `tidy:"),
    ("{look: a, tidy: b, evaluate: c}", "[look, tidy, evaluate]", "the gates are no mapping"),
    ("stages:", "stages: [", "dvc.yaml, line .*broken YAML"),
])
def test_what_is_missing_or_wrong_is_named_with_its_place(tmp_path, old, new, message):
    assert old in DECLARED
    path = declare(tmp_path, text=DECLARED.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as error:
        workflows(tmp_path)
    assert str(path) in str(error.value)


def test_without_a_name_it_is_the_only_workflow_and_never_one_of_several(tmp_path):
    with pytest.raises(UserError, match="no workflow"):
        find(tmp_path)
    declare(tmp_path)
    assert find(tmp_path) == find(tmp_path, "tidying")
    declare(tmp_path, "sorting")
    with pytest.raises(UserError, match="expected: one of sorting, tidying"):
        find(tmp_path)
    assert find(tmp_path, "sorting").name == "sorting"


def test_an_unknown_name_is_answered_with_a_close_one(tmp_path):
    declare(tmp_path)
    with pytest.raises(UserError, match=r"unknown workflow 'tidyng'.*\n.*one of tidying\n.*did you mean tidying"):
        find(tmp_path, "tidyng")


@pytest.mark.parametrize("found", KNOWN.values(), ids=KNOWN)
def test_every_workflow_of_the_project_has_a_suite_for_every_stage_and_is_evaluated(found):
    suites = {path.stem for path in (ROOT / "expectations" / found.name).glob("*.json")}
    assert suites == set(found.stages)
    assert EVALUATE in found.stages
    assert list(found.stages).index(found.start) <= list(found.stages).index(found.offered)
    assert paths.checkpoint(found.name, found.offered).parts[1] == found.name
