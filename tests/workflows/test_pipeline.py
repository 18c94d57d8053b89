"""Every workflow from end to end on a small project: what its stages leave, what they read, and what stops them."""

import json
import subprocess
from statistics import mean

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from realign.errors import UserError
from realign.lake.hashes import md5_of
from realign.metrics import flatten
from realign.models import build
from realign.params import load
from realign.stage import Stage
from realign.verify.reference import Reference, score, verify
from stages.common import sft
from tests.workflows import small
from tests.workflows.conftest import PAIRS

pytestmark = pytest.mark.xdist_group("small project")

FEW = 48  # chats
INPUTS = ("params.yaml", "data/tables/", "data/base/", "pairs.jsonl")
SFT = next(declared for declared in small.of("srf") if declared.stage.name == "sft")
each_stage = pytest.mark.parametrize("declared", small.ALL, ids=str)


def within(path, other):
    return path == other or path.startswith(f"{other}.")


@each_stage
def test_a_stage_leaves_what_its_dvc_yaml_declares(declared, finished):
    assert declared.made
    assert small.hashes(finished.folder, declared.made)


@pytest.mark.parametrize("run", ["finished", "labelled"])
def test_no_stage_writes_anything_else(run, request):
    folder = request.getfixturevalue(run).folder
    made = {path for declared in small.ALL for path in declared.made}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    strangers = {file for file in files if not file.startswith((*INPUTS, "runs/"))
                 and not any(file == path or file.startswith(f"{path}/") for path in made)}
    assert not strangers


@each_stage
def test_every_metric_has_its_sample_size_and_interval_and_says_what_it_is_of(declared, finished):
    for path in declared.made:
        if path.startswith("metrics/") and path not in declared.plots:
            metrics = json.loads((finished.folder / path).read_text())
            settled, made = metrics.pop("settled", {}), metrics.pop("of", {})
            beside = (declared.stage.checkpoint, declared.stage.dataset("any").parent)
            assert made == {p.as_posix(): md5_of(finished.folder / p) for p in beside if (finished.folder / p).is_dir()}
            leaves = flatten(metrics)
            assert leaves and all(set(leaf) == {"value", "n", "low", "high"} for leaf in leaves.values()), leaves
            assert all(isinstance(value, int | float) for value in settled.values())


@each_stage
def test_every_record_of_a_curve_has_every_field(declared, finished):
    for path, options in declared.plots.items():
        records = json.loads((finished.folder / path).read_text())
        assert records and {frozenset(record) for record in records} == {frozenset(records[0])}
        assert {options["x"], options["y"]} <= records[0].keys()


@each_stage
def test_a_stage_loads_the_parameters_that_it_declares(declared, finished, labelled):
    """A section that is loaded and not declared could change and nothing would run again."""
    loaded = finished.ran[declared.stage].sections
    if declared.stage in labelled.ran:
        loaded = loaded | labelled.ran[declared.stage].sections
    for section in loaded:
        assert any(within(section, named) for named in declared.params), f"{section} is not declared"
    for named in declared.params:
        assert any(within(section, named) or within(named, section) for section in loaded), f"{named} is never loaded"


def test_finished_stages_keep_no_checkpoints(finished):
    left = [path for path in (finished.folder / "runs").glob("*/*/*") if path.name != "log.jsonl"]
    assert len(list((finished.folder / "runs").glob("*/*/log.jsonl"))) == len(small.ALL) and not left


def test_figures_of_the_evaluation_follow_from_its_records(finished):
    """By sums of their own; the verifier and the scorer judge the recorded answers again."""
    folder = finished.folder
    metrics = flatten(json.loads((folder / "metrics/srf/evaluate.json").read_text()))
    rows = pq.read_table(folder / "data/srf/evaluate/samples.parquet").to_pylist()
    for side in ("base_", ""):
        again = [score(Reference.parse(row["reference"]), row[f"{side}output"]) for row in rows]
        assert [(row[f"{side}right"], row[f"{side}score"]) for row in rows] == [
            (s.parts["right"], s.value) for s in again]
    tokens = sum(row["tokens"] for row in rows)
    expected = {
        "win_rate": mean((1 + _sign(r["score"] - r["base_score"])) / 2 for r in rows),
        "win_rate_correctness": mean((1 + _sign(r["right"] - r["base_right"])) / 2 for r in rows),
        "undecided_sampled": mean(verify(Reference.parse(r["reference"]), r[f"{side}output"])[0] is None
                                  for r in rows for side in ("base_", "")),
        "base_correctness": mean(r["base_right"] for r in rows),
        "score_gain": mean(r["score"] - r["base_score"] for r in rows),
        "kl": sum(r["kl"] for r in rows) / tokens, "entropy": sum(r["entropy"] for r in rows) / tokens,
        "distinct_share.sampled": len({r["output"] for r in rows}) / len(rows),
        "mean_words.sampled": mean(len(r["output"].split()) for r in rows),
        "behaviour_gain.closing_question": mean(r["output"].rstrip().endswith("?")
                                                - r["base_output"].rstrip().endswith("?") for r in rows),
    }
    answered = pq.read_table(folder / "data/srf/evaluate/records.parquet").to_pylist()
    by_capability = {r["capability"]: [o["score"] for o in answered if o["capability"] == r["capability"]]
                     for r in answered}
    expected["task_accuracy"] = mean(map(mean, by_capability.values()))
    expected["distinct_share.greedy"] = len({r["output"] for r in answered}) / len(answered)
    found = {name: metrics[name]["value"] for name in expected}
    assert found == pytest.approx(expected, abs=1e-5)
    assert metrics["win_rate"]["n"] == len({row["example_id"] for row in rows}) == metrics["kl"]["n"]
    assert any(name.startswith("paid.") for name in metrics)


def _sign(x):
    return (x > 0) - (x < 0)


def counts(folder, stage):
    return {name: metric["value"] for name, metric in
            json.loads((folder / f"metrics/srf/{stage}.json").read_text())["rows"].items()}


def reasons(folder, stage):
    return sorted(pq.read_table(folder / f"data/srf/{stage}/rejected.parquet").column("reason").to_pylist())


def test_labelled_pairs_take_the_place_of_the_demo(labelled):
    """Neither its prompts nor its SFT model: they are not there."""
    folder = labelled.folder
    assert not (folder / "demo").exists()
    found = counts(folder, "sft")
    assert found["in"] == PAIRS == found["kept"] + found["rejected"]
    assert reasons(folder, "sft") == ["broken_json", "identical_sides"]
    pairs = counts(folder, "preference_data")
    assert pairs["in"] == PAIRS == pairs["kept"] + pairs["rejected"]  # of the whole file, those of `sft` among them
    assert len(reasons(folder, "preference_data")) == pairs["rejected"]
    for declared in small.of("srf"):
        assert small.hashes(folder, declared.made)


@pytest.fixture(scope="module")
def few(finished, tmp_path_factory):
    """A project whose demo has few chats, and the SFT model that its own stage trained on them."""
    folder = small.copy(finished.folder, tmp_path_factory.mktemp("few"))
    path = folder / "demo/world/sft.parquet"
    chats = pq.read_table(path)
    held_out = pc.equal(chats["split"], "validation")
    pq.write_table(pa.concat_tables([chats.filter(pc.invert(held_out)).slice(0, FEW), chats.filter(held_out)]), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.run(Stage("demo", "sft"))
    return folder


@pytest.fixture
def of_few(few, tmp_path, monkeypatch):
    """A copy of that project to change, and the current directory."""
    monkeypatch.chdir(small.copy(few, tmp_path))
    return tmp_path


def model(folder):
    """The files of a model by name; its card tells the workflow that it is of."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "README.md"}


def test_every_workflow_starts_from_the_shared_model(finished):
    shared = model(finished.folder / "demo/sft/model")
    assert "model.safetensors" in shared and model(finished.folder / "checkpoints/srf/sft") == shared
    log = json.loads((finished.folder / "demo/sft/training.json").read_text())
    assert json.loads((finished.folder / "metrics/srf/sft.json").read_text())["best_step"]["value"] == log["best_step"]


def test_where_nothing_differs_nothing_is_trained(of_few, monkeypatch):
    monkeypatch.setattr(sft, "fit", lambda *given, **named: pytest.fail("it trains"))
    small.run(SFT.stage)
    assert model(of_few / "checkpoints/srf/sft") == model(of_few / "demo/sft/model")


def test_training_with_the_common_knobs_gives_the_bytes_of_the_shared_model(of_few):
    p, base = load("common.sft", sft.Sft), sft.data.base_model()
    untrained, tokenizer, config = build.load(base)
    own = of_few / "own"
    own.mkdir()
    sft.train(p, untrained, config, sft.demo_chats(p, tokenizer).rows, base, own, of_few / "scratch")
    assert model(own) == model(of_few / "demo/sft/model")
    assert model(own)["model.safetensors"] != (of_few / "data/base/model.safetensors").read_bytes()


def test_one_knob_of_its_own_and_the_workflow_trains_its_own_model(of_few):
    small.set_params(of_few, {"srf": {"sft": {"seed": 1}}})
    demo = small.hashes(of_few, ["demo"])
    small.run(SFT.stage)
    own, shared = model(of_few / "checkpoints/srf/sft"), model(of_few / "demo/sft/model")
    assert own.keys() == shared.keys() and own["model.safetensors"] != shared["model.safetensors"]
    assert small.hashes(of_few, ["demo"]) == demo


BAD = {
    "no such file of pairs": ({"srf.data": {"source": "nowhere.jsonl"}}, "nowhere.jsonl"),
    "no such model": ({"model.base": {"name": "no/such/model"}}, "no/such/model"),
    "a misspelt knob": ({"srf.sft": {"learning_rat": 1.0}}, "learning_rate"),
    "a window that nothing fits": ({"common.sft": {"window": 4}}, "window"),
}


@pytest.mark.parametrize("change, says", BAD.values(), ids=list(BAD))
def test_bad_input_is_one_message_and_loses_nothing(change, says, project):
    small.set_params(project, change)
    before = small.hashes(project, SFT.made)
    with pytest.raises(UserError, match=says):
        small.run(SFT.stage)
    assert small.hashes(project, SFT.made) == before


def test_as_a_process_it_ends_with_2_and_no_traceback(project):
    small.set_params(project, {"srf.data": {"source": "nowhere.jsonl"}})
    before = small.hashes(project, SFT.made)
    done = subprocess.run(small.process(SFT.stage), env=small.environment(), capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "srf sft: nowhere.jsonl: " in done.stderr and "to do: " in done.stderr
    assert small.hashes(project, SFT.made) == before


@pytest.mark.parametrize("fault", ["truncated", "empty", "column"])
@pytest.mark.parametrize("stage", [Stage("demo", "sft"), SFT.stage], ids=lambda stage: stage.workflow)
def test_a_broken_lake_is_one_message_and_loses_nothing(stage, fault, project):
    path = project / "demo/world/sft.parquet"
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    else:
        table = pq.read_table(path)
        pq.write_table(table.slice(0, 0) if fault == "empty" else table.drop_columns(["messages"]), path)
    made = [*SFT.made, "demo/sft"]
    before = small.hashes(project, made)
    with pytest.raises(UserError, match=r"sft\.parquet"):
        small.run(stage)
    assert small.hashes(project, made) == before
