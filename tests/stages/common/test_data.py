"""What a workflow works on: where its rows and models come from, and that DVC watches what the parameters name."""

import json
import logging
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from realign.errors import UserError
from realign.evaluate import scorers
from realign.gates import needs
from realign.lake.schemas import CHATS, PAIRS
from realign.lake.table import frame, write
from realign.stage import Stage
from stages.common import data
from tests.workflows.small import ROOT, set_params

HERE = Stage("srf", "evaluate")
OWN = {"name": "models/own", "files": "models/own"}
LABELLED = {"srf.data": {"source": "pairs.jsonl"}}


def store(rows, path, schema):
    write(frame(rows, schema), path, schema)


def scored_by(name, files="models/own"):
    return {"srf.scorer": {"name": name, "files": files}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project's parameters, and a model of one's own, in the current directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "models/own").mkdir(parents=True)
    (tmp_path / "models/own/model.safetensors").write_text("one")
    return tmp_path


def test_a_directory_must_be_the_one_that_dvc_watches(project):
    assert data.Model("reward:models/own", "./models/own/").watched("models/own", "srf.scorer") == "models/own"
    assert data.Model("org/name", "data/base").watched("org/name", "model.base") == "org/name"  # a hub id
    with pytest.raises(UserError) as raised:
        data.Model("reward:models/own", "demo/world").watched("models/own", "srf.scorer")
    for part in ("params.yaml: srf.scorer.files", "found 'demo/world'", "'models/own'",
                 "-S srf.scorer.name=reward:models/own -S srf.scorer.files=models/own"):
        assert part in str(raised.value)


def test_the_base_model_is_watched(project):
    assert data.base_model() == "data/base"  # a hub id, where there is no such directory
    set_params(project, {"model.base": {"name": "models/own"}})
    with pytest.raises(UserError, match=r"model\.base\.files: found 'data/base'"):
        data.base_model()
    set_params(project, {"model.base": OWN})
    assert data.base_model() == "models/own"


def test_a_scorer_that_is_not_watched_stops_the_stage(project):
    assert data.scorer(HERE) is scorers.by_reference
    set_params(project, scored_by("reward:models/own", "demo/world"))
    with pytest.raises(UserError, match=r"srf\.scorer\.files: found 'demo/world'"):
        data.scorer(HERE)
    set_params(project, scored_by("reward:models/own"))
    with pytest.raises(UserError, match=r"no head\.safetensors"):  # watched, so it goes on to load it
        data.scorer(HERE)
    set_params(project, scored_by("nobody"))
    with pytest.raises(UserError, match=r"params\.yaml: srf\.scorer: unknown scorer 'nobody'"):
        data.scorer(HERE)
    set_params(project, scored_by("reward:"))
    with pytest.raises(UserError, match=r"srf\.scorer: unknown scorer 'reward:'; known are reference"):
        data.scorer(HERE)


@pytest.mark.parametrize("changes, there", [
    ({}, True), (scored_by("reward:models/own"), True), (LABELLED, False),
    (LABELLED | scored_by("reward:models/own"), True)])
def test_an_independent_scorer_is_there_where_it_is_another_than_the_reward(changes, there, project, monkeypatch):
    set_params(project, changes)
    monkeypatch.setattr(data, "scorer", lambda here: "the scorer")
    assert data.independent_scorer(HERE) == ("the scorer" if there else None)
    suite = {"meta": {"needs": {"score_gain": "scorer"}}}
    HERE.report({})
    missing = needs.unmeasured(suite, HERE.workflow, HERE.name, project)
    assert bool(missing) is not there  # the gates say the same


def chat(name, split="evaluation", asked="", reference="{}"):
    return {"row_id": name, "messages": [{"role": "user", "content": asked or f"What is {name}?"}],
            "capability": "facts", "slice": "", "reference": reference, "split": split, "source": "test"}


HARBOURS = {"evaluation": "Which harbour is the oldest of Norway?", "reserve": "Which harbour is the oldest of Crete?",
            "sealed": "Which harbour is the oldest of Chile?", "development": "Which harbour is the oldest of Ghana?"}


@pytest.fixture
def suites(project):
    """All suites, each of one question; that of the gates has an answer, too."""
    for name, asked in HARBOURS.items():
        reference = json.dumps({"answer": "It was Bergen, long before others"} if name == "evaluation" else {})
        store([chat(name, asked=asked, reference=reference)], project / f"data/{name}/demo.parquet", CHATS)


def test_evaluation_rows_are_those_of_every_suite_by_name(project):
    with pytest.raises(UserError, match="data/evaluation: holds no evaluation rows"):
        data.evaluation_rows()
    store([chat("of b")], project / "data/evaluation/b.parquet", CHATS)
    store([chat("of a"), chat("more of a")], project / "data/evaluation/a.parquet", CHATS)
    assert [row["row_id"] for row in data.evaluation_rows()] == ["of a", "more of a", "of b"]


def test_chats_that_hold_a_row_of_any_suite_are_contaminated(suites):
    asked = ["Which harbour is the oldest of Peru?", *(f"Well. {text.upper()} Say it." for text in HARBOURS.values()),
             "Is it so that it was Bergen, long before others?"]
    found = data.contaminated([chat(str(i), asked=text) for i, text in enumerate(asked)])
    assert found == {i: f"holds evaluation row {name} (100% of it)"
                     for i, name in enumerate([*HARBOURS, "evaluation"], 1)}


def test_without_one_of_the_suites_nothing_can_be_decontaminated(project, suites):
    (project / "data/sealed/demo.parquet").unlink()
    with pytest.raises(UserError, match=r"data/sealed: holds no evaluation rows"):
        data.contaminated([chat("one")])


def test_prompts_of_the_demo_are_those_of_the_split_and_contaminated_ones_are_not_trained_on(project, suites):
    store([chat("one", "prompts"), chat("two", "test", HARBOURS["sealed"]), chat("three", "prompts"),
           chat("four", "prompts", HARBOURS["sealed"])], project / "demo/world/prompts.parquet", CHATS)
    assert [row["row_id"] for row in data.prompts(HERE, "prompts")] == ["one", "three"]
    assert [row["row_id"] for row in data.prompts(HERE, "test")] == ["two"]
    share = data.training_prompts(HERE)[1]
    assert (share.value, share.n) == (pytest.approx(2 / 3), 3)


def pair(number, prompt, split):
    return {"row_id": f"row {number}", "prompt_id": prompt, "messages": chat(prompt)["messages"], "chosen": "Au.",
            "rejected": "Ag.", "chosen_score": 1.0, "rejected_score": 0.0, "preference_type": "right", "split": split,
            "source": "file"}


def test_prompts_of_labelled_pairs_are_asked_once_and_held_out_with_their_pairs(project, suites):
    set_params(project, LABELLED)
    dirty = pair(5, "harbour", "train") | {"messages": chat("", asked=HARBOURS["evaluation"])["messages"]}
    store([pair(1, "gold", "train"), pair(2, "gold", "train"), pair(3, "Peru", "validation"),
           pair(4, "Lima", "train"), dirty], HERE.of("sft").dataset("pairs"), PAIRS)
    found = {split: data.prompts(HERE, split) for split in ("prompts", "validation", "test")}
    assert {split: [row["row_id"] for row in rows] for split, rows in found.items()} == {
        "prompts": ["gold", "Lima"], "validation": ["Peru"], "test": ["Peru"]}
    assert all(row["split"] == split and row["slice"] == "right" for split, rows in found.items() for row in rows)


def test_labelled_pairs_without_held_out_prompts_are_named(project):
    set_params(project, LABELLED)
    store([pair(1, "gold", "train")], HERE.of("sft").dataset("pairs"), PAIRS)
    with pytest.raises(UserError, match=r"pairs\.jsonl: no prompts in the split validation"):
        data.prompts(HERE, "test")


@pytest.fixture
def pipeline(project, monkeypatch):
    """A copy of the pipeline in a repository of DVC's, in which nothing has been run."""
    from dvc.repo import Repo

    # Another test's handler writes to what pytest captured then, and is closed by now.
    monkeypatch.setattr(logging.getLogger("dvc"), "handlers", [])
    for room in ("realign", "stages"):
        shutil.copytree(ROOT / room, project / room, ignore=shutil.ignore_patterns("__pycache__", "dvc.lock"))
    shutil.copy(ROOT / "dvc.yaml", project)
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    Repo.init(str(project)).close()
    return project


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


@pytest.mark.parametrize("name, changes", [
    ("reward_model", {"srf.reward_model.trunk": OWN}), ("evaluate", scored_by("reward:models/own"))])
def test_dvc_sees_the_named_directory_change(name, changes, pipeline):
    set_params(pipeline, changes)
    finish(pipeline, name)
    assert status(pipeline, name) == "{}"
    (pipeline / "models/own/model.safetensors").write_text("two")
    assert re.search(r"models/own'?: 'modified'", status(pipeline, name))
    (pipeline / "models/own/model.safetensors").write_text("one")
    assert status(pipeline, name) == "{}"
