import shutil
import subprocess

import pyarrow as pa
import pytest

from realign.errors import UserError
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, write
from realign.versions.git import resolve
from realign.versions.load import collect, load, read_pointer, read_records
from tests.realign.versions.reruns import rerun


def wrong(version) -> int:
    return sum(1 for row in version.records.to_pylist() if row["score"] == 0)


def state(root) -> str:
    return subprocess.run(["git", "status", "--porcelain=v2"], cwd=root, check=True,
                          capture_output=True, text=True).stdout


def test_each_kind_of_name_gives_the_records_and_metrics_of_that_version(built):
    before = state(built)
    found = {name: load(name, built) for name in ("good", "bad", "HEAD", "mild", "workspace", "good:sft")}
    assert {name: wrong(v) for name, v in found.items()} == {
        "good": 0, "bad": 20, "HEAD": 20, "mild": 4, "workspace": 20, "good:sft": 0}
    assert found["mild"].metrics["evaluate.capability.facts"]["value"] == pytest.approx(0.96)
    assert found["good"].metrics["evaluate.capability.facts"]["value"] == 1.0
    assert found["workspace"].revision == "" and found["bad"].revision == resolve(built, "HEAD")
    assert "evaluate.note" not in found["good"].metrics
    assert state(built) == before


def test_the_base_model_s_records_are_those_that_all_workflows_share(project):
    rows = [record(), record(example_id="2", score=0.0)]
    write(frame(rows, RECORDS), project / "data/common/baseline/records.parquet", RECORDS)
    with pytest.raises(UserError, match=r"no dvc.lock records it"):
        load("workspace:baseline", project)
    shutil.rmtree(project / ".dvc")
    assert wrong(load("workspace:baseline", project)) == 1


def test_records_of_the_work_tree_that_are_not_those_of_its_lock_are_refused(project):
    """Edited by hand, or of another branch: `git checkout` without `dvc checkout`."""
    rows = load("bad", project).records.to_pylist()
    path = project / "data/srf/evaluate/records.parquet"
    path.unlink()
    write(frame([row | {"score": 0.0} for row in rows], RECORDS), path, RECORDS)
    with pytest.raises(UserError, match=r"data/srf/evaluate of workspace: is not what dvc.lock has.*\n.*\n.*checkout"):
        load("workspace", project)
    assert wrong(load("bad", project)) == 20


@pytest.mark.parametrize("committed", [False, True])
def test_records_of_an_older_run_than_the_model_they_rest_on_are_refused(project, committed):
    """A run that stopped at a gate, so that `evaluate` has not run."""
    rerun(project, "sft")
    name = "workspace"
    if committed:
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=n@x", "commit", "-qam", "x"], cwd=project,
                       check=True)
        name = "HEAD"
    with pytest.raises(UserError, match=f"srf:evaluate of {name} is out of date\n.*srf:pairs ran on another "
                                        r"checkpoints/srf/sft than srf:sft has made since"):
        load(name, project)
    assert wrong(load("good", project)) == 0


def test_metrics_are_those_of_the_stages_that_the_records_rest_on(built):
    assert {name.split(".")[0] for name in load("workspace:sft", built).metrics} == {"sft"}
    assert {name.split(".")[0] for name in load("good:sft", built).metrics} == {"sft"}
    assert {name.split(".")[0] for name in load("good", built).metrics} == {"sft", "pairs", "evaluate"}


def test_an_unknown_name_is_answered_with_close_ones(built):
    with pytest.raises(UserError, match="did you mean mild") as error:
        load("mlid", built)
    assert "no such revision" in str(error.value)
    with pytest.raises(UserError, match="did you mean good"):
        load("gooood", built)


def test_a_name_that_looks_like_an_option_is_a_name(built):
    with pytest.raises(UserError, match="no such revision"):
        load("--all", built)


def test_records_absent_at_a_revision(built):
    with pytest.raises(UserError, match="absent at this revision"):
        load("empty", built)
    with pytest.raises(UserError, match=r"data/srf/rl/records.parquet at good: absent"):
        load("good:rl", built)


def test_records_that_are_not_in_the_cache_say_so(project):
    for path in (project / ".dvc" / "cache" / "files").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(UserError, match="dvc pull"):
        load("good", project)


def test_two_experiments_of_one_name_must_be_told_apart(project):
    commits = [resolve(project, name) for name in ("good", "bad")]
    for number, sha in enumerate(commits):
        ref = f"refs/exps/{number:02}/{'a' * 38}/twin"
        subprocess.run(["git", "update-ref", ref, sha], cwd=project, check=True)
    with pytest.raises(UserError, match="2 experiments") as error:
        load("twin", project)
    assert all(sha[:10] in str(error.value) for sha in commits)


def test_nothing_released_yet(built):
    with pytest.raises(UserError, match="nothing has been released"):
        load("released", built)


def record(**changed) -> dict:
    return {"example_id": "1", "capability": "facts", "slice": "", "prompt": "p", "output": "o", "score": 1.0,
            "reference": "r"} | changed


@pytest.mark.parametrize(("rows", "message"), [
    ([record(), record()], "stands 2 times"),
    ([record(score=float("nan"))], "has score nan"),
    ([record(score=1.5)], "has score 1.5"),
])
def test_records_that_would_mislead_a_comparison_are_refused(tmp_path, rows, message):
    write(frame(rows, RECORDS), tmp_path / "r.parquet", RECORDS)
    with pytest.raises(UserError, match=message):
        read_records(tmp_path / "r.parquet")


def test_one_example_id_may_recur_in_another_capability(tmp_path):
    write(frame([record(), record(capability="format")], RECORDS), tmp_path / "r.parquet", RECORDS)
    assert read_records(tmp_path / "r.parquet").num_rows == 2
    assert isinstance(read_records(tmp_path / "r.parquet"), pa.Table)


def test_a_broken_metrics_file_is_named():
    with pytest.raises(UserError, match=r"metrics/srf/rl.json: broken JSON"):
        collect({"rl": lambda: b"{"}, "metrics/srf")


def test_a_pointer_that_names_nothing_is_no_release_and_half_a_one_is_named(tmp_path):
    path = tmp_path / "pointer.json"
    assert read_pointer(tmp_path) is None
    path.write_text("{}")
    assert read_pointer(tmp_path) is None
    for half in ('{"version": "1"}', '{"model": {"path": "x"}}', '{"version": "1", "model": "x"}'):
        path.write_text(half)
        with pytest.raises(UserError, match=r"pointer.json: names no released model"):
            read_pointer(tmp_path)
