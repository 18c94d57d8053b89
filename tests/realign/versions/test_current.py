import json

import pytest

from realign.errors import UserError
from realign.lake.hashes import file_md5, tree_md5
from realign.versions.current import check_current, out_of_date, passed_by
from realign.versions.lock import Step


def step(name: str, inputs: dict[str, str], outputs: dict[str, str]) -> Step:
    return Step(name, "", {}, inputs, outputs, {})


def chain(**changed: str) -> list[Step]:
    """rows → model → answers, each by its hash; `changed` is what a user has read in place of what was made."""
    return [step("make", {}, {"rows": "r"}), step("train", {"rows": changed.get("train", "r")}, {"model": "m"}),
            step("ask", {"model": changed.get("ask", "m")}, {"answers": "a"})]


def test_a_run_from_end_to_end_belongs_together():
    assert passed_by(chain()) == []


def test_a_stage_that_ran_on_something_made_anew_since_is_named_and_what_needs_it_is_out_of_date():
    ran = chain(train="old")
    assert passed_by(ran) == ["train ran on another rows than make has made since (was make run alone?)"]
    assert out_of_date(ran, ran[2]) == passed_by(ran)  # though `ask` itself read what `train` made
    assert out_of_date(ran, ran[0]) == []


@pytest.fixture
def inside(tmp_path):
    """A file made inside a directory that another stage reads, and a file read inside a directory that one made."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "made.parquet").write_text("rows")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "read.parquet").write_text("answers")
    hashes = {path: file_md5(tmp_path / path) for path in ("suite/made.parquet", "data/read.parquet")}
    trees = {path: tree_md5(tmp_path / path)[0] for path in ("suite", "data")}
    ran = [step("make", {}, {"suite/made.parquet": hashes["suite/made.parquet"], "data": trees["data"]}),
           step("use", {"suite": trees["suite"], "data/read.parquet": hashes["data/read.parquet"]}, {})]
    return tmp_path, ran


def test_a_directory_read_is_set_against_a_file_made_in_it_and_the_other_way_round(inside):
    root, ran = inside
    assert passed_by(ran, root) == [] == passed_by(ran)
    for planted, told in (
            ([ran[0], step("use", ran[1].inputs | {"suite": "old.dir"}, {})], "another suite than make"),
            ([ran[0], step("use", ran[1].inputs | {"data/read.parquet": "old"}, {})], "data/read.parquet than make"),
            ([step("make", {}, ran[0].outputs | {"suite/made.parquet": "new"}), ran[1]], "another suite than make"),
            ([step("make", {}, ran[0].outputs | {"data": "new.dir"}), ran[1]], "another data/read.parquet than make")):
        found = passed_by(planted, root)
        assert len(found) == 1 and told in found[0]


def test_what_is_not_of_the_run_that_made_the_rest_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"answers of workspace: no dvc\.lock records it"):
        check_current(chain()[:2], "answers", "workspace")
    with pytest.raises(UserError, match="ask of main is out of date\n  - ask ran on another model"):
        check_current(chain(ask="old"), "answers", "main")
    (tmp_path / "answers").write_text(json.dumps("edited"))
    with pytest.raises(UserError, match=r"is not what dvc\.lock has of ask"):
        check_current(chain(), "answers", "workspace", tmp_path)
    assert check_current(chain(), "answers", "main") == {"rows", "model", "answers"}
