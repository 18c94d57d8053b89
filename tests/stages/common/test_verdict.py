"""Verdict and confirmation as they run, by convention's paths."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from dvc.compare import show_metrics

from realign.errors import UserError
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, write
from realign.workflow import find, workflows
from stages.common import confirm, verdict

ROOT = Path(__file__).parents[3]
HERE = SimpleNamespace(workflow="made", name="verdict")
STAGES = ("look", "train", "evaluate")
DECLARED = """\
stages:
  look: {desc: A look. Measures the start., meta: {workflow: Made up, role: start}, cmd: x}
  train: {desc: Training. Makes the model., meta: {role: offered}, cmd: x}
  evaluate: {desc: Evaluation. Measures the end., cmd: x}
  gate:
    foreach: {look: x, train: x, evaluate: x}
    do: {cmd: x}
"""


def make(root: Path, weights: str, wrong: int) -> None:
    """What the workflow leaves before its verdict: a model, records, metrics, verdicts.

    Of 100 facts the base model answers 1 wrong, the start 3, the candidate `wrong`.
    """
    for home, misses in (("common/baseline", 1), ("made/look", 3), ("made/evaluate", wrong)):
        rows = [{"example_id": f"e{i}", "capability": "facts", "slice": "s", "prompt": f"{i}?", "output": "o",
                     "reference": "r", "score": float(i >= misses)} for i in range(100)]
        write(frame(rows, RECORDS), root / "data" / home / "records.parquet", RECORDS)
    for name in ("common/baseline/reserve", "made/evaluate/reserve", "made/evaluate/reserve_of_start"):
        write(frame([], RECORDS), root / "data" / f"{name}.parquet", RECORDS)
    model = root / "checkpoints/made/train"
    model.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "config.json"):
        (model / name).write_text(f"{name} {weights}")
    gates = root / "metrics/made/gates"
    gates.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        check = {"metric": "kl", "severity": "critical", "passed": True}
        (gates / f"{stage}.json").write_text(json.dumps({"tier": "HIGH", "checks": [check]}))
        suite = root / "expectations/made" / f"{stage}.json"
        suite.parent.mkdir(parents=True, exist_ok=True)
        suite.write_text("{}")
    (root / "data/evaluation").mkdir(exist_ok=True)
    (root / "data/evaluation/demo.parquet").write_text("rows")
    (root / "metrics/made/look.json").write_text('{"capability": {}}')
    (root / "metrics/made/evaluate.json").write_text("{}")


def declare(root: Path) -> None:
    (root / "stages/made").mkdir(parents=True)
    (root / "stages/made/dvc.yaml").write_text(DECLARED)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    declare(tmp_path)
    return tmp_path


def test_base_model_start_and_every_gate_are_asked(project):
    make(project, "one", 5)
    found = verdict.candidate(find(project))
    assert list(found.gates) == list(found.suites) == list(STAGES)
    assert found.evaluation == (Path("data/evaluation/demo.parquet"),)
    assert found.suites["look"] == Path("expectations/made/look.json")
    assert found.model == Path("checkpoints/made/train")
    assert found.baseline == Path("data/common/baseline/records.parquet")
    assert found.start == Path("data/made/look/records.parquet")


def test_a_start_that_measured_no_capability_is_not_compared(project):
    make(project, "one", 5)
    (project / "metrics/made/look.json").write_text("{}")
    assert verdict.candidate(find(project)).start is None
    verdict.run(HERE)
    assert list(json.loads((project / "verdicts/made.json").read_text())["comparisons"]) == ["baseline"]


def test_lost_records_of_the_start_are_not_taken_for_none(project):
    make(project, "one", 5)
    (project / "data/made/look/records.parquet").unlink()
    with pytest.raises(UserError, match=r"data/made/look/records.parquet"):
        verdict.run(HERE)


@pytest.mark.parametrize("name", workflows(ROOT))
def test_a_workflow_of_the_project_offers_what_its_stages_make(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    workflow = find(ROOT, name)
    found = verdict.candidate(workflow)
    assert list(found.gates) == list(workflow.stages) and all(path.is_file() for path in found.suites.values())
    assert found.model.name == workflow.offered and found.start.parent.name == workflow.start


def test_a_blocked_verdict_ends_well_and_its_confirmation_does_not(project):
    make(project, "bad", 40)
    assert verdict.run(HERE).startswith("blocked, version ")
    with pytest.raises(UserError, match=r"facts was lost against the model that later stages started from"):
        confirm.run(HERE)
    make(project, "good", 4)
    assert verdict.run(HERE).startswith("passed, version ")
    assert " passed; `realign release made` asks it" in confirm.run(HERE)
    assert not (project / "released").exists()


def test_the_figures_that_dvc_is_told_fit_a_screen_and_are_those_of_the_evaluation(project, capsys):
    make(project, "bad", 40)
    one = {"n": 400, "low": 0.0, "high": 2.0}
    (project / "metrics/made/evaluate.json").write_text(json.dumps({
        metric: one | {"value": 1.0 - i / 7e6} for i, metric in enumerate(verdict.FIGURES.values())}))
    verdict.run(HERE)
    found = json.loads((project / "metrics/made.json").read_text())
    assert found.pop("verdict") == "blocked" and found.pop("lost") == 1
    assert set(found) == set(verdict.FIGURES) and set(found.values()) == {1.0}
    make(project, "own pairs", 4)  # whose run has no references: what was not measured is no figure
    verdict.run(HERE)
    assert json.loads((project / "metrics/made.json").read_text()) == {"verdict": "passed", "lost": 0}
    wide = dict.fromkeys(verdict.FIGURES, 0.1234) | {"verdict": "blocked", "lost": 12}
    show_metrics({"workspace": {"data": {"metrics/srf.json": {"data": wide}}}})
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_what_is_not_known_is_told_before_anything_else(project):
    make(project, "one", 8)
    first, second, third, *_ = verdict.run(HERE).splitlines()[1:]
    assert first == "  - kept 0 of 1 capability against the base model; not known yet: facts"
    assert second.startswith("  - kept 0 of 1 capability against the model that later stages started from; not known")
    assert third == "  - not known yet against the base model (too few to tell): facts"


def test_a_missing_input_is_one_message(project):
    make(project, "one", 5)
    shutil.rmtree(project / "checkpoints")
    with pytest.raises(UserError, match="checkpoints/made/train"):
        verdict.run(HERE)
