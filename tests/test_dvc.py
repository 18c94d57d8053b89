"""The pipeline as it is declared: conventions, order, parameters and code of every stage. Nothing is run."""

import ast
import json
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from realign import paths
from realign.cli import check, deps
from realign.report.words import WORKFLOWS
from stages import release

ROOT = Path(__file__).parents[1]
MODULES = deps.modules(ROOT)
FILES = ["dvc.yaml", *(p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob("stages/*/dvc.yaml")))]


@dataclass(frozen=True)
class Declared:
    """One stage of a dvc.yaml; `outs`, `metrics` and `plots` are options by path."""

    file: str
    name: str
    cmd: str
    wdir: str
    deps: list
    params: list
    outs: dict
    metrics: dict
    plots: dict

    @property
    def data(self):
        return [d for d in self.deps if not deps.is_code(d)]

    @property
    def made(self):
        return self.outs | self.metrics | self.plots


@cache
def read(path):
    return YAML(typ="safe").load((ROOT / path).read_text(encoding="utf-8"))


def options(entries):
    return {k: v for e in entries for k, v in (e if isinstance(e, dict) else {e: {}}).items()}


def parameter(key):
    value = read("params.yaml")
    for part in key.split("."):
        value = value[part]
    return value


@cache
def pipeline():
    def filled(text):
        return re.sub(r"\$\{([\w.]+)\}", lambda found: parameter(found[1]), text)

    return [Declared(file, name, e["cmd"], e.get("wdir", "."), [filled(d) for d in e.get("deps", [])],
                     e.get("params", []), options(e.get("outs", [])), options(e.get("metrics", [])),
                     options(e.get("plots", [])))
            for file in FILES for name, e in read(file)["stages"].items()]


def of(workflow):
    return {s.name: s for s in pipeline() if s.file == f"stages/{workflow}/dvc.yaml"}


def shared(name):
    return next(s for s in pipeline() if s.file == "dvc.yaml" and s.name == name)


each_stage = pytest.mark.parametrize("stage", pipeline(), ids=lambda s: f"{s.file}:{s.name}")
each_workflow_stage = pytest.mark.parametrize("workflow, name", [(w, s) for w in WORKFLOWS for s in WORKFLOWS[w]])


@each_stage
def test_every_stage_runs_a_module_of_the_project_from_the_root(stage):
    assert deps.reached(deps.module_of(stage.cmd), MODULES)
    assert (ROOT / stage.file).parent.joinpath(stage.wdir).resolve() == ROOT


@pytest.mark.parametrize("stage", deps.stages(ROOT), ids=lambda s: f"{s.file}:{s.name}")
def test_every_stage_lists_the_code_that_it_imports_and_no_other(stage):
    assert not stage.faults, "run `realign deps --write`"
    assert list(stage.deps) == stage.wanted


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_is_its_stages_and_one_gate_for_each(workflow):
    names = list(WORKFLOWS[workflow])
    assert list(of(workflow)) == names + [f"gate_{name}" for name in names]


@each_workflow_stage
def test_a_stage_writes_where_the_paths_say(workflow, name):
    stage = of(workflow)[name]
    assert stage.cmd == f"python -m stages.{workflow}.{name}"
    assert stage.metrics == {paths.metrics(workflow, name).as_posix(): {"cache": False}}
    home, model = paths.dataset(workflow, name, "any").parent.as_posix(), paths.checkpoint(workflow, name).as_posix()
    assert all(out == home or out == model or out.startswith(f"{model}_") for out in stage.outs)
    assert set(stage.plots) <= {paths.plots(workflow, name).as_posix()}
    assert all(not plot["cache"] and {"x", "y", "title"} <= plot.keys() for plot in stage.plots.values())


@each_workflow_stage
def test_a_gate_reads_suite_metrics_and_rows_and_writes_its_verdict(workflow, name):
    gate = of(workflow)[f"gate_{name}"]
    suite = f"expectations/{workflow}/{name}.json"
    tables = json.loads((ROOT / suite).read_text(encoding="utf-8")).get("meta", {}).get("tables", {}).values()
    assert gate.cmd == f"python -m realign.gates {workflow} {name}"
    assert sorted(gate.data) == sorted([suite, paths.metrics(workflow, name).as_posix(), *tables])
    accepted = paths.accepted(workflow, name)
    assert gate.made == {p.as_posix(): {"cache": False} for p in (accepted, accepted.with_suffix(".json"))}
    assert gate.params == []


@each_workflow_stage
def test_a_stage_waits_for_the_gate_before_it_and_knows_no_verdict(workflow, name):
    """Only the constant `.accepted`, so that another threshold trains nothing."""
    order = list(WORKFLOWS[workflow])
    gates = [d for d in of(workflow)[name].deps if "/gates/" in d]
    assert gates == [paths.accepted(workflow, before).as_posix() for before in order[:order.index(name)][-1:]]


@each_stage
def test_what_a_stage_reads_is_made_by_another_or_kept_in_git(stage):
    made = {path for s in pipeline() for path in s.made}
    kept = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "expectations", "data"], cwd=ROOT, text=True,
                          capture_output=True, check=True).stdout.split()
    for dep in stage.data:
        around = {dep, *(p.as_posix() for p in Path(dep).parents)}
        assert around & made or any(k == dep or k.startswith(f"{dep}/") for k in kept), dep


@pytest.mark.parametrize("code, users", [
    ("realign/ingest/", {"sft"}), ("realign/curate/quality.py", {"preference_data"}),
    ("realign/train/policy.py", {"rl", "iterate"}), ("stages/srf/sft.py", {"sft"})])
def test_a_stage_depends_on_no_code_that_it_has_no_use_for(code, users):
    assert {name for name, stage in of("srf").items() if any(d.startswith(code) for d in stage.deps)} == users


@cache
def sections(path):
    return [section for section, _ in check.loads(ROOT / path)]


def loaded(stage):
    """The sections of params.yaml that the stage's code can load."""
    code = deps.reached(deps.module_of(stage.cmd), MODULES)
    return {section for path in code if path.endswith(".py") for section in sections(path)}


def within(section, other):
    return section == other or section.startswith(f"{other}.")


@pytest.mark.parametrize("stage", [s for s in pipeline() if s.name != "report"], ids=lambda s: f"{s.file}:{s.name}")
def test_a_stage_declares_the_parameters_that_it_loads(stage):
    for section in loaded(stage):
        assert any(within(section, p) for p in stage.params), f"{section} may change and nothing would re-run"
    for section in stage.params:
        assert any(within(section, s) or within(s, section) for s in loaded(stage)), f"{section} is never read"


@each_stage
def test_declared_parameters_exist(stage):
    for section in stage.params:
        parameter(section)


def test_every_key_of_the_parameters_is_read():
    check.check(ROOT)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_the_release_depends_on_everything_that_it_judges(workflow):
    stage, judged = shared("release"), release.candidate(workflow)
    files = [judged.model, judged.records, judged.baseline, judged.metrics, *judged.gates.values()]
    assert sorted(stage.data) == sorted(p.as_posix() for p in files)
    kept = [path for path in stage.outs if path.startswith("released/")]
    assert len(kept) == 3 and all(stage.outs[path]["persist"] for path in kept)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_the_report_is_made_again_when_any_figure_changes(workflow):
    figures = {path for s in of(workflow).values() for path in s.made if not path.startswith("checkpoints/")}
    figures -= {paths.accepted(workflow, name).as_posix() for name in WORKFLOWS[workflow]}
    assert figures | {paths.metrics(workflow, "release").as_posix()} <= set(shared("report").deps)


def test_a_blocked_release_fails_the_run_after_the_report():
    assert shared("confirm").cmd == shared("release").cmd + " --confirm"
    assert {"report/srf.html", "metrics/srf/release.json"} <= set(shared("confirm").deps)


def test_thresholds_stand_in_the_suites_alone():
    """No figure that a stage measured is compared with a number written into the code."""
    found = set()
    for path in (p for room in deps.ROOMS for p in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                figure = any(isinstance(s, ast.Attribute) and s.attr in ("value", "low", "high") for s in sides)
                numbers = [s.value for s in sides if isinstance(s, ast.Constant) and isinstance(s.value, (int, float))]
                found |= {(path.relative_to(ROOT).as_posix(), n) for n in numbers if figure and n != 0}
    assert not found
