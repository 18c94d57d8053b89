"""The pipeline as it is declared: conventions, order, places, parameters and rooms of every stage. Nothing is run."""

import ast
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from realign import check, paths
from realign.cli import deps
from realign.files import read_yaml

ROOT = Path(__file__).parents[1]
GATE = "gate"


@dataclass(frozen=True)
class Declared:
    """One stage of a dvc.yaml, of a `foreach` one a key; `outs`, `metrics` and `plots` are options by path."""

    file: str
    name: str
    cmd: str
    wdir: str
    deps: tuple
    params: tuple
    outs: dict
    metrics: dict
    plots: dict
    vars: tuple

    @property
    def data(self) -> list[str]:
        return [dep for dep in self.deps if not deps.is_code(dep)]

    @property
    def made(self) -> dict:
        return self.outs | self.metrics | self.plots


@cache
def read(path: str) -> dict:
    return read_yaml(ROOT / path)


FILES = ["dvc.yaml", *(p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob("stages/*/dvc.yaml")))]
WORKFLOWS = {Path(file).parent.name: [name for name in read(file)["stages"] if name != GATE]
             for file in FILES if GATE in read(file)["stages"]}


def options(entries) -> dict:
    return {k: v for e in entries for k, v in (e if isinstance(e, dict) else {e: {}}).items()}


def parameter(key: str):
    value = read("params.yaml")
    for part in key.split("."):
        value = value[part]
    return value


def filled(value, names: dict[str, str]):
    """With `${key}`, `${item}` and the parameters in their places."""
    if isinstance(value, str):
        return re.sub(r"\$\{([\w.]+)\}", lambda m: names[m[1]] if m[1] in names else parameter(m[1]), value)
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    if isinstance(value, dict):
        return {filled(k, names): filled(v, names) for k, v in value.items()}
    return value


def written_out(name: str, entry: dict) -> list[tuple[str, dict]]:
    """A stage by its name, or those that its `foreach` makes."""
    if "foreach" not in entry:
        return [(name, filled(entry, {}))]
    items = entry["foreach"]
    pairs = items.items() if isinstance(items, dict) else [(item, item) for item in items]
    return [(f"{name}@{key}", filled(entry["do"], {"key": key, "item": item})) for key, item in pairs]


def declared(file: str, name: str, entry: dict) -> Declared:
    return Declared(file, name, entry["cmd"], entry.get("wdir", "."), tuple(entry.get("deps", [])),
                    tuple(entry.get("params", [])), options(entry.get("outs", [])), options(entry.get("metrics", [])),
                    options(entry.get("plots", [])), tuple(read(file).get("vars", [])))


PIPELINE = [declared(file, *stage) for file in FILES for name, entry in read(file)["stages"].items()
            for stage in written_out(name, entry)]


def of(workflow: str) -> dict[str, Declared]:
    return {s.name: s for s in PIPELINE if s.file == f"stages/{workflow}/dvc.yaml"}


def shared() -> dict[str, Declared]:
    return {s.name: s for s in PIPELINE if s.file == "dvc.yaml"}


each_stage = pytest.mark.parametrize("stage", PIPELINE, ids=lambda s: f"{s.file}:{s.name}")
each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS)
each_workflow_stage = pytest.mark.parametrize("workflow, name", [(w, s) for w in WORKFLOWS for s in WORKFLOWS[w]])


@each_stage
def test_every_stage_runs_a_module_of_the_project_from_the_root(stage):
    assert re.fullmatch(r"python -m (stages|realign\.gates) \w+ \w+", stage.cmd)
    assert deps.module_of(stage.cmd, modules())
    assert (ROOT / stage.file).parent.joinpath(stage.wdir).resolve() == ROOT


@cache
def modules() -> dict[str, deps.Module]:
    return deps.modules(ROOT)


@pytest.mark.parametrize("entry", deps.stages(ROOT), ids=lambda e: f"{e.file}:{e.name}")
def test_every_stage_lists_the_rooms_that_it_enters_and_no_other(entry):
    assert not entry.faults, "see `realign deps`"
    code = [dep for dep in entry.deps if deps.is_code(dep)]
    assert code == sorted(set(code)) and all((ROOT / room).exists() for room in code)


@pytest.fixture
def code(tmp_path):
    """The code and the pipeline, to plant faults in."""
    for room in deps.CODE:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    return tmp_path


def test_a_room_that_is_missing_and_one_that_is_too_much_are_seen(code):
    def faults():
        return {entry.name: entry.faults for entry in deps.stages(code) if entry.faults}

    assert not faults()
    file = code / "stages/srf/dvc.yaml"
    text = file.read_text(encoding="utf-8")
    start = text.index("python -m stages srf rl\n")  # of the stage; the first such room below it is its own
    without = text[start:].replace("realign/objectives/policy.py, ", "", 1)
    file.write_text(text[:start] + without)
    assert faults() == {"rl": ["missing realign/objectives/policy.py"]}
    assert text.count("realign/gates, ") == 1
    file.write_text(text.replace("realign/gates, ", "realign/gates, realign/ingest, "))
    assert faults() == {"gate": ["surplus realign/ingest"]}
    file.write_text(text)
    with open(code / "stages/srf/rl.py", "a") as source:
        source.write("\n\ndef late():\n    from realign.versions import lock\n    return lock\n")
    assert "missing realign/versions" in faults()["rl"]


@pytest.mark.parametrize("file, most", [("dvc.yaml", 65), *((f"stages/{w}/dvc.yaml", 115) for w in WORKFLOWS)])
def test_a_person_reads_the_file_in_a_minute(file, most):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= most


@each_workflow
def test_a_workflow_is_its_seven_stages_and_one_gate_for_each(workflow):
    names = WORKFLOWS[workflow]
    assert len(names) == 7
    assert list(of(workflow)) == names + [f"gate@{name}" for name in names]
    found = sorted(path.stem for path in (ROOT / "expectations" / workflow).glob("*.json"))
    assert found == sorted(names)


@each_workflow_stage
def test_a_stage_writes_where_the_paths_say(workflow, name):
    stage = of(workflow)[name]
    assert stage.cmd == f"python -m stages {workflow} {name}"
    assert stage.outs[paths.metrics(workflow, name).as_posix()] == {"cache": False}
    home, model = paths.dataset(workflow, name, "any").parent.as_posix(), paths.checkpoint(workflow, name).as_posix()
    assert all(out in (home, model) or out.startswith((f"{model}_", "metrics/")) for out in stage.outs)
    assert set(stage.plots) <= {paths.plots(workflow, name).as_posix()}
    assert all(not plot["cache"] and {"x", "y", "title"} <= plot.keys() for plot in stage.plots.values())


@each_workflow_stage
def test_a_gate_reads_suite_metrics_and_rows_and_writes_its_verdict(workflow, name):
    gate = of(workflow)[f"gate@{name}"]
    suite = f"expectations/{workflow}/{name}.json"
    tables = json.loads((ROOT / suite).read_text(encoding="utf-8")).get("meta", {}).get("tables", {}).values()
    assert gate.cmd == f"python -m realign.gates {workflow} {name}"
    # What it reads besides the baseline: nothing, and then the metrics stand there twice; or what holds its tables.
    *base, item = gate.data
    measured = paths.metrics(workflow, name).as_posix()
    assert base == [suite, "expectations/remedies.json", measured, "metrics/common/baseline.json"]
    assert item == (paths.dataset(workflow, name, "any").parent.as_posix() if tables else measured)
    assert all(table.startswith(f"{item}/") for table in tables)
    accepted = paths.accepted(workflow, name)
    assert gate.made == {p.as_posix(): {"cache": False} for p in (accepted, accepted.with_suffix(".json"))}
    assert gate.params == (f"{workflow}.data.source", f"{workflow}.scorer.name")  # what a run has to measure with


@each_workflow_stage
def test_a_stage_waits_for_the_gate_before_it_and_knows_no_verdict(workflow, name):
    """Only the constant `.accepted`, so that another threshold trains nothing."""
    order = WORKFLOWS[workflow]
    gates = [d for d in of(workflow)[name].deps if "/gates/" in d]
    assert gates == [paths.accepted(workflow, before).as_posix() for before in order[:order.index(name)][-1:]]


@each_workflow_stage
def test_a_stage_reads_from_no_later_stage_and_no_other_workflow(workflow, name):
    order = WORKFLOWS[workflow]
    later = {path for after in order[order.index(name):] for path in of(workflow)[after].made}
    others = {path for other in WORKFLOWS if other != workflow for s in of(other).values() for path in s.made}
    assert not set(of(workflow)[name].data) & (later | others)


@each_stage
def test_what_a_stage_reads_is_made_by_another_or_kept_in_git(stage):
    made = {path for s in PIPELINE for path in s.made}
    kept = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "params.yaml", "expectations", "data"],
                          cwd=ROOT, text=True, capture_output=True, check=True).stdout.split()
    for dep in stage.data:
        around = {dep, *(p.as_posix() for p in Path(dep).parents)}
        inside = [path for path in [*made, *kept] if path == dep or path.startswith(f"{dep}/")]
        assert around & made or inside, dep


def test_no_file_is_made_twice_and_none_that_dvc_refuses_is_named():
    made = [path for s in PIPELINE for path in s.made]
    assert len(made) == len(set(made))
    # DVC takes no dvc.yaml for a dependency.
    assert not [dep for s in PIPELINE for dep in s.deps if Path(dep).name in ("dvc.yaml", "dvc.lock")]


def watched() -> list[tuple[Declared, str]]:
    """Stages by sections that they read and that name a model or a file of rows, with what DVC is to watch of it."""
    def found(section, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "files" or (key == "source" and section.endswith(".data")):
                    yield f"{section}.{key}"
                else:
                    yield from found(f"{section}.{key}", inner)

    # The report shows the parameters, and reads none of the models.
    return [(stage, knob) for stage in PIPELINE if not stage.name.startswith("report@") for section in stage.params
            for knob in found(section, parameter(section))]


# A stage that goes on with the settings of an earlier one takes the model that is there, not its files.
GOES_ON = {("iterate", "srf.reward_model.trunk.files")}


@pytest.mark.parametrize("stage, knob", watched(), ids=lambda value: getattr(value, "name", value))
def test_dvc_watches_what_the_parameters_name(stage, knob):
    raw = read(stage.file)["stages"][stage.name]["deps"]
    assert (f"${{{knob}}}" in raw) == ((stage.name, knob) not in GOES_ON)
    assert any("params.yaml" in name for name in stage.vars)


@each_stage
def test_declared_parameters_exist(stage):
    for section in stage.params:
        parameter(section)


@each_stage
def test_a_fresh_clone_knows_what_every_stage_made(stage):
    """A stage without an entry in the lock beside it is one whose outputs `dvc checkout` cannot bring, and fails on."""
    locked = read_yaml((ROOT / stage.file).with_name("dvc.lock"))["stages"]
    assert stage.name in locked
    wdir = ROOT / stage.file / ".." / stage.wdir
    in_cache = {ROOT / path for path, options in stage.made.items() if options.get("cache", True)}
    assert in_cache <= {(wdir / out["path"]).resolve() for out in locked[stage.name].get("outs", [])}


def test_what_the_makefile_runs_is_a_stage_and_what_the_readme_says_to_make_is_there():
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\nbase: " in made and "python -m stages demo base\n" in made
    assert [stage.module for stage in check.stages(ROOT) if stage.file.name == "Makefile"] == ["stages.demo.base"]
    out = paths.checkpoint("demo", "base").as_posix()
    assert f"diff -r {parameter('model.base.name')} {out}" in made
    assert not subprocess.run(["git", "check-ignore", "-q", f"{out}/config.json"], cwd=ROOT, check=False).returncode
    told = re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert "base" in told and all(f"\n{target}: " in made for target in told)


def test_every_key_of_the_parameters_is_read():
    check.check(ROOT)


@each_workflow
def test_the_verdict_depends_on_all_that_the_workflow_made(workflow):
    stage = shared()[f"verdict@{workflow}"]
    assert stage.cmd == f"python -m stages {workflow} verdict"
    assert set(stage.data) == {f"checkpoints/{workflow}", f"data/{workflow}", f"metrics/{workflow}",
                               f"expectations/{workflow}", "data/common/baseline", "data/evaluation", "data/reserve"}
    assert stage.outs == {paths.verdict(workflow).as_posix(): {"cache": False}}
    assert stage.metrics == {paths.figures(workflow).as_posix(): {"cache": False}}
    made = {path for s in of(workflow).values() for path in s.made}
    assert all(path.startswith(tuple(f"{d}/" for d in stage.data)) for path in made)  # so it waits for every gate


def test_dvc_is_told_of_the_few_figures_alone():
    """`dvc exp show` and `dvc metrics show` print every figure of every declared file in one line."""
    assert {path for s in PIPELINE for path in s.metrics} == {paths.figures(w).as_posix() for w in WORKFLOWS}


@each_stage
def test_no_stage_writes_what_is_released(stage):
    """`realign release` alone does."""
    assert not [path for path in stage.made if path.startswith("released/")]


@each_workflow
def test_the_report_is_made_again_when_any_figure_changes(workflow):
    stage = shared()[f"report@{workflow}"]
    assert stage.cmd == f"python -m stages {workflow} report" and list(stage.outs) == [f"report/{workflow}.html"]
    figures = {path for s in of(workflow).values() for path in s.made if not path.startswith("checkpoints/")}
    assert all(path.startswith(tuple(f"{dep}/" for dep in stage.data)) for path in figures)
    assert {paths.verdict(workflow).as_posix(), "metrics/common/baseline.json"} <= set(stage.data)
    assert set(stage.params) == {"demo", "model", "common", workflow}


@each_workflow
def test_a_blocked_candidate_fails_the_run_after_the_report(workflow):
    stage = shared()[f"confirm@{workflow}"]
    assert stage.cmd == f"python -m stages {workflow} confirm"
    assert stage.data == [paths.verdict(workflow).as_posix(), f"report/{workflow}.html"] and not stage.made


def test_thresholds_stand_in_the_suites_alone():
    """No figure that a stage measured is compared with a number written into the code."""
    found = set()
    for path in (p for room in deps.CODE for p in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                figure = any(isinstance(s, ast.Attribute) and s.attr in ("value", "low", "high") for s in sides)
                numbers = [s.value for s in sides if isinstance(s, ast.Constant) and isinstance(s.value, (int, float))]
                found |= {(path.relative_to(ROOT).as_posix(), n) for n in numbers if figure and n != 0}
    assert not found
