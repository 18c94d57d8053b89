"""Samples, dropped rows, lineage and the command, each on the made-up projects."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from realign.cli.app import app
from realign.errors import UserError
from realign.report.dropped import flows
from realign.report.lineage import lineage
from realign.report.samples import Sample, chosen, samples
from realign.report.sources import load
from realign.report.summary import tiles
from stages.common import report

HERE = SimpleNamespace(workflow="made", name="report")


def record(example, capability="facts", score=1.0):
    return {"example_id": example, "capability": capability, "slice": "s", "prompt": "p", "output": "o",
            "score": score, "reference": "r"}


def test_samples_are_paired_by_id_and_sorted_by_fate(full, table):
    table(full / "data/common/baseline/records.parquet",
          [record("a", score=0.0), record("b", score=1.0), record("c", score=0.5), record("only-before")])
    table(full / "data/made/evaluate/records.parquet",
          [record("c", score=0.5), record("b", score=0.25), record("a", score=0.75), record("only-after")])
    found = samples(load(full))
    assert (found.paired, found.alone) == (3, 2)
    shown = [(g.name, g.total, [(s.before["example_id"], s.change) for s in g.samples]) for g in found.groups]
    assert shown == [("Improved", 1, [("a", 0.75)]), ("Worsened", 1, [("b", -0.75)]),
                     ("Same score", 1, [("c", 0.0)])]


def test_every_capability_has_its_turn_and_order_of_rows_does_not_matter():
    pairs = [Sample(record(f"{c}{i}", c), None) for c in ("facts", "format", "refusal") for i in range(50)]
    found = chosen(pairs, 5)
    assert {p.before["capability"] for p in found[:3]} == {"facts", "format", "refusal"}
    assert found == chosen(pairs[::-1], 5)
    assert len(chosen(pairs[:2], 5)) == 2


def test_reasons_are_counted_by_source_and_every_row_is_listed(full):
    look = flows(load(full))[0]
    assert [(r.source, r.reason, r.count) for r in look.reasons] == [
        ("data/world/sft.parquet", "duplicate", 2), ("data/world/sft.parquet", "contaminated", 1),
        ("mine.jsonl", "broken_json", 1), ("mine.jsonl", "empty_text", 1), ("mine.jsonl", "missing_field", 1)]
    assert [r["position"] for r in look.listed] == [17, 112, 230, 4, 9, 11]
    assert (look.total, look.warning) == (6, "")


@pytest.mark.parametrize(("name", "value", "warning"), [
    ("in", 5007, "The counts do not add up: 5007 read, 5000 kept, 6 rejected."),
    ("rejected", 5, "The counts do not add up: 5006 read, 5000 kept, 5 rejected."),
])
def test_counts_that_do_not_add_up_are_pointed_out(full, change, name, value, warning):
    change(full / "metrics/made/look.json", lambda m: m["rows"][name].update(value=value))
    assert flows(load(full))[0].warning == warning


def test_lost_rejected_rows_are_pointed_out(full):
    (full / "data/made/look/rejected.parquet").unlink()
    warning = "The metrics count 6 rejected rows, the rejected dataset holds 0."
    assert flows(load(full))[0].warning == warning


def test_a_long_list_of_dropped_rows_is_cut_but_counted(full, table):
    table(full / "data/made/look/rejected.parquet",
          [{"source": "s", "position": i, "reason": "duplicate", "detail": "d", "content": "c"}
           for i in range(900)])
    look = flows(load(full))[0]
    assert (len(look.listed), look.total, look.reasons[0].count) == (200, 900, 900)


def test_lineage_goes_from_makers_to_users_with_the_given_data_last(full):
    found = lineage(load(full))
    makers = list(dict.fromkeys(m.stage for m in found))
    assert [m for m in makers if m and not m.startswith("gate@")] == ["baseline", "look", "trial", "polish", "evaluate"]
    assert all(makers.index(f"gate@{m}") > makers.index(m) for m in makers if f"gate@{m}" in makers)
    assert (found[0].path, found[0].size) == ("data/common/baseline", 70_000)
    assert (found[-1].stage, found[-1].path, found[-1].hash) == ("", "data/world", "0" * 30 + "aa.dir")
    assert not any(m.path.startswith("stages/") for m in found)


def test_lineage_does_not_depend_on_the_order_in_the_lock_file(full, change):
    def turn(lock):
        lock["stages"] = dict(reversed(lock["stages"].items()))

    before = lineage(load(full))
    change(full / "stages/made/dvc.lock", turn)
    assert lineage(load(full)) == before


def test_lineage_leaves_out_other_workflows_and_the_report(full, change):
    def add(lock):
        for name, path in (("report", "report/made.html"), ("other", "metrics/other/train.json")):
            lock["stages"][name] = {"cmd": "x", "outs": [{"path": path, "md5": "e" * 32}]}

    change(full / "stages/made/dvc.lock", add)
    assert not {"report", "other"} & {m.stage for m in lineage(load(full))}


def test_a_directory_that_holds_what_was_made_is_no_source(full, change):
    def add(lock):
        lock["stages"]["verdict@made"] = {
            "cmd": "x", "deps": [{"path": "metrics/made", "md5": "f" * 32 + ".dir"}],
            "outs": [{"path": "verdicts/made.json", "md5": "e" * 32}]}

    change(full / "dvc.lock", add)
    found = lineage(load(full))
    assert [m.path for m in found if not m.stage] == ["data/world"]
    assert found[-2].stage == "verdict@made" and found[-2].size is None


def test_the_stage_writes_one_file_and_the_same_one_again(full, monkeypatch):
    monkeypatch.chdir(full)
    assert report.run(HERE) == "report/made.html"
    first = (full / "report/made.html").read_bytes()
    by_hand = CliRunner().invoke(app, ["report"])
    assert by_hand.output == "runs/made/report.html\n"  # over a changed output DVC would check nothing out
    assert (full / "runs/made/report.html").read_bytes() == first
    assert [p.name for p in (full / "report").iterdir()] == ["made.html"]


def test_an_error_leaves_the_old_report_and_names_the_file(full, monkeypatch):
    monkeypatch.chdir(full)
    report.run(HERE)
    first = (full / "report/made.html").read_bytes()
    (full / "metrics/made/polish.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics/made/polish.json, line 1, column 2: broken JSON"):
        report.run(HERE)
    assert (full / "report/made.html").read_bytes() == first


def test_the_most_telling_figures_come_from_the_last_stage_that_has_them(full, change):
    assert [(stage, name) for stage, name, _, _ in tiles(load(full))] == [
        ("evaluate", "Worst retention"), ("evaluate", "Win rate on preference"), ("polish", "KL divergence"),
        ("trial", "Validation accuracy")]
    for stage, gone in (("evaluate", ("retention_worst", "win_rate")), ("polish", ("kl",)),
                        ("trial", ("validation_accuracy",)), ("look", ("heldout_loss_drop",))):
        change(full / f"metrics/made/{stage}.json", lambda m, gone=gone: [m.pop(name) for name in gone])
    assert [name for _, name, _, _ in tiles(load(full))] == ["Entropy", "Adversarial accuracy"]
