import json
import subprocess

import pytest
import typer
import yaml
from typer.testing import CliRunner

from realign.errors import UserError
from realign.lake.hashes import tree_md5
from realign.lake.schemas import CHATS
from realign.lake.table import frame, write
from realign.versions.command import trace as command
from realign.versions.git import resolve
from realign.versions.lock import Step, steps, upstream
from realign.versions.trace import row_lines, trace_model, trace_row
from tests.realign.versions.reruns import rerun


def save(root, message: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=n@x"]
    subprocess.run(["git", *who, "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", *who, "commit", "-qm", message], cwd=root, check=True)
    return resolve(root, "HEAD")


@pytest.fixture
def released(project):
    """The project with its evaluated checkpoint released, committed."""
    tree, files = tree_md5(project / "checkpoints/srf/evaluate")
    folder = project / "released" / "srf"
    folder.mkdir(parents=True)
    (folder / "pointer.json").write_text(json.dumps({
        "version": tree[:12], "gates": {"evaluate": "HIGH"},
        "model": {"from": "checkpoints/srf/evaluate", "md5": tree, "path": "x", "files": files}}))
    save(project, "release")
    return project


def test_a_step_knows_its_paths_from_the_root(built):
    found = {s.name: s for s in steps(built)}
    gates = [f"srf:gate@{name}" for name in ("evaluate", "pairs", "sft")]
    assert list(found) == ["srf:evaluate", *gates, "srf:pairs", "srf:sft"]
    assert set(found["srf:pairs"].inputs) == {"make.py", "data/srf/sft", "checkpoints/srf/sft",
                                              "metrics/srf/sft.accepted"}
    assert set(found["srf:gate@sft"].inputs) == {"0", "metrics/srf/sft.json"}  # from its entry's `do`
    assert found["srf:gate@sft"].sizes == {
        path: (built / path).stat().st_size for path in ("0", "metrics/srf/sft.json", "metrics/srf/sft.accepted")}
    assert found["srf:evaluate"].params == {"params.yaml": {"wrong": 20}}
    at_good = {s.name: s for s in steps(built, resolve(built, "good"))}
    assert at_good["srf:evaluate"].params == {"params.yaml": {"wrong": 0}}
    assert at_good["srf:sft"].outputs == found["srf:sft"].outputs
    assert steps(built, resolve(built, "empty")) == []
    assert steps(built, resolve(built, "bad")) == steps(built)


def test_from_the_released_model_to_stages_gates_and_rows(released):
    found = trace_model("workspace", released)
    assert [s.name for s in found.made] == ["srf:sft", "srf:gate@sft", "srf:pairs", "srf:gate@pairs", "srf:evaluate"]
    assert found.commit == "" and found.gates == {"evaluate": "HIGH"}
    assert found.datasets == {"data/srf/pairs/pairs.parquet": 2, "data/srf/sft/chats.parquet": 5,
                              "data/srf/sft/records.parquet": 200}


def test_after_a_blocked_run_the_run_that_made_the_model_is_found(released):
    maker = resolve(released, "HEAD")
    lock = released / "stages/srf/dvc.lock"
    md5 = tree_md5(released / "checkpoints/srf/evaluate")[0]
    lock.write_text(lock.read_text().replace(md5, "0" * 32 + ".dir"))
    save(released, "a later run")
    found = trace_model("workspace", released)
    assert found.commit == maker and [s.name for s in found.made][-1] == "srf:evaluate"
    assert sum(found.datasets.values()) == 207  # read from the cache of that commit
    assert trace_model("HEAD", released) == found


def test_stages_that_have_run_again_since_are_not_taken_for_those_that_made_the_model(released):
    """The lock still holds the released model, but the SFT model it came from is another one there."""
    maker = resolve(released, "HEAD")
    rerun(released, "sft")
    found = trace_model("workspace", released)
    assert found.commit == maker
    assert "0" * 32 + ".dir" not in {md5 for step in found.made for md5 in step.outputs.values()}


def test_where_every_lock_that_holds_the_model_has_moved_on_nothing_is_invented(released, monkeypatch):
    rerun(released, "sft")
    torn = steps(released)
    monkeypatch.setattr("realign.versions.trace.steps", lambda root, commit="": torn)
    with pytest.raises(UserError, match=r"holds the run that made the model .*\n  - srf:pairs ran on another"):
        trace_model("workspace", released)


def test_entries_that_need_each_other_are_walked_once():
    a, b, c = (Step(name, "", {}, {need: ""}, {made: ""}, {}) for name, need, made in (
        ("a", "z", "x"), ("b", "x", "y"), ("c", "y", "z")))
    assert [s.name for s in upstream([a, b, c], c)] == ["a", "b", "c"]


def test_a_lock_without_the_dvc_yaml_beside_it_is_named(project):
    (project / "stages/srf/dvc.yaml").unlink()
    with pytest.raises(UserError, match=r"stages/srf/dvc.yaml: no such file"):
        steps(project)
    with pytest.raises(UserError, match=r"^at [0-9a-f]{10}: stages/srf/dvc.yaml: no such file"):
        steps(project, save(project, "declaration lost"))


def test_nothing_released_or_no_run_known(released):
    with pytest.raises(UserError, match="nothing has been released"):
        trace_model("good", released)
    path = released / "released/srf/pointer.json"
    tree, _ = tree_md5(released / "checkpoints/srf/evaluate")
    path.write_text(path.read_text().replace(tree, "f" * 32 + ".dir"))
    with pytest.raises(UserError, match=r"no dvc.lock from workspace back"):
        trace_model("workspace", released)


@pytest.mark.parametrize("at", ["workspace", "HEAD"])
def test_from_a_row_to_the_models_it_reached(released, at):
    found = trace_row("c1", at, released)
    assert {(h.dataset, h.rows, h.splits) for h in found.held} == {
        ("data/srf/sft/chats.parquet", 1, ("train",)), ("data/srf/pairs/pairs.parquet", 1, ("train",))}
    assert {(r.checkpoint, r.how, r.released) for r in found.reached} == {
        ("checkpoints/srf/sft", "read", False), ("checkpoints/srf/pairs", "read", False),
        ("checkpoints/srf/evaluate", "read", True)}


def test_a_row_made_later_does_not_reach_earlier_models(released):
    found = trace_row("p0", "workspace", released)
    assert [h.dataset for h in found.held] == ["data/srf/pairs/pairs.parquet"]
    assert {r.checkpoint for r in found.reached} == {"checkpoints/srf/pairs", "checkpoints/srf/evaluate"}


def test_a_held_out_row_was_not_trained_on(released):
    found = trace_row("c4", "workspace", released)
    assert found.held[0].splits == ("test",) and not found.reached
    assert row_lines(found)[-1] == "measured, not trained on"


@pytest.mark.parametrize(("suite", "use"), [
    ("evaluation", "what models are measured by"), ("reserve", "asked where the verdict needs more examples"),
    ("sealed", "asked by `realign release` alone"), ("development", "to choose checkpoints and methods by")])
def test_a_row_of_a_suite_was_not_trained_on_though_training_stages_read_the_suite(released, suite, use):
    path = released / "data" / suite / "demo.parquet"
    row = {"row_id": "e000", "messages": [{"role": "user", "content": "?"}], "capability": "facts", "slice": "even",
           "reference": "", "source": "s", "split": "evaluation"}
    write(frame([row], CHATS), path, CHATS)
    lock = released / "stages/srf/dvc.lock"
    found = yaml.safe_load(lock.read_text())
    for stage in ("sft", "evaluate"):  # to leave out of training what looks like one of its rows
        found["stages"][stage]["deps"].append({"path": f"data/{suite}", "md5": tree_md5(path.parent)[0]})
    lock.write_text(yaml.safe_dump(found))
    traced = trace_row("e000", "workspace", released)
    assert {h.use for h in traced.held} == {use, "an answer to it"} and not traced.reached
    assert row_lines(traced)[-1] == "measured, not trained on"


def test_a_stage_that_ran_on_other_rows_than_stand_here_has_not_seen_the_row(released):
    lock = released / "stages/srf/dvc.lock"
    found = yaml.safe_load(lock.read_text())
    dep = next(d for d in found["stages"]["evaluate"]["deps"] if d["path"] == "data/srf/pairs")
    dep["md5"] = "0" * 32 + ".dir"
    lock.write_text(yaml.safe_dump(found))
    assert {r.checkpoint for r in trace_row("p0", "workspace", released).reached} == {"checkpoints/srf/pairs"}


def test_weights_hand_a_row_on(project):
    lock = project / "stages/srf/dvc.lock"
    found = yaml.safe_load(lock.read_text())
    dep = next(d for d in found["stages"]["evaluate"]["deps"] if d["path"] == "data/srf/pairs")
    # as if evaluate read no rows of pairs, only weights
    dep |= {"path": "checkpoints/srf/pairs", "md5": tree_md5(project / "checkpoints/srf/pairs")[0]}
    lock.write_text(yaml.safe_dump(found))
    how = {r.checkpoint: r.how for r in trace_row("p0", "workspace", project).reached}
    assert how == {"checkpoints/srf/pairs": "read", "checkpoints/srf/evaluate": "inherited"}


def test_what_neither_git_nor_dvc_keeps_is_passed_over_at_a_revision(released):
    lock = released / "stages/srf/dvc.lock"
    found = yaml.safe_load(lock.read_text())
    found["stages"]["sft"]["deps"] += [{"path": path, "md5": "0" * 32}
                                       for path in ("../../../mine.parquet", "own.parquet")]
    lock.write_text(yaml.safe_dump(found))
    save(released, "run on a file beside the project, and on one that nobody added")
    assert trace_row("c1", "HEAD", released).reached


def test_a_row_in_no_dataset(built):
    with pytest.raises(UserError, match="no dataset holds this row"):
        trace_row("nowhere", "workspace", built)


def test_lost_content_is_not_an_absent_row(project):
    for path in (project / ".dvc" / "cache" / "files").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(UserError, match="in no cache"):
        trace_row("c1", "good", project)


def test_the_command(released, monkeypatch):
    monkeypatch.chdir(released)
    app = typer.Typer()
    app.command()(command)
    shown = CliRunner().invoke(app, []).output
    for part in ("srf:pairs", "data/srf/sft/chats.parquet 5", "evaluate HIGH",
                 "x, which is not here: `dvc checkout` brings it", "knobs: as params.yaml has them now\n"):
        assert part in shown
    assert max(map(len, shown.splitlines())) <= 100 and len(shown.splitlines()) < 20
    (released / "params.yaml").write_text("wrong: 4\n")
    (released / "x").mkdir()
    shown = CliRunner().invoke(app, ["--code"]).output
    for part in ("    wrong = 20\n", "    reads make.py  ", "but for wrong = 20 (now 4)\n", ": x\n"):
        assert part in shown
    assert "checkpoints/srf/evaluate" in CliRunner().invoke(app, ["c1"]).output
    assert json.loads(CliRunner().invoke(app, ["c1", "--json"]).output)["row_id"] == "c1"


def test_the_tree_hash_is_the_one_in_dvc_lock(built):
    lock = (built / "stages/srf/dvc.lock").read_text()
    assert tree_md5(built / "checkpoints/srf/evaluate")[0] in lock
