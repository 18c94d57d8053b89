"""The benchmark's own arithmetic: what tools are given, what windows count, what ratios say."""

import io
import json
from types import SimpleNamespace

import pytest

from benchmarks import train, windows, workload


def arm(name: str, rates: list[float], **before) -> SimpleNamespace:
    before = {"gflops": 1, "loss": 2.0, **before}
    return SimpleNamespace(name=name, rates=rates, lengths=[0.0] * len(rates), before=before, after={"loss": 1.0})


def test_ratios_are_of_medians_without_the_first_window():
    mine, other = arm("realign sft", [1.0, 30.0, 60.0, 40.0]), arm("peer sft", [100.0, 10.0, 20.0, 40.0])
    assert train.ratios([mine, other]) == ["  realign sft / peer sft: 2.00 (window by window 1.00–3.00)"]


def test_every_arm_of_this_project_is_held_against_every_other():
    arms = [arm(name, [1.0, 2.0]) for name in ("realign grpo", "realign ppo", "a grpo", "b grpo")]
    assert len(train.ratios(arms)) == 4


def test_the_table_shows_the_reference_pass_as_a_share_of_an_epoch():
    # 8 pairs in 1 s once, where training takes 2 s for 8: half as long again.
    lines = train.table([arm("realign dpo", [9.0, 4.0], once=1.0, once_for=8)])
    assert "50% of one epoch" in lines[-1]


def test_a_peer_that_is_not_installed_is_left_out_and_said_so(tmp_path, capsys):
    assert train.python_of("trl", tmp_path) is None
    assert "trl left out: no trl and peft" in capsys.readouterr().out


def test_a_peer_is_found_where_all_its_packages_are(tmp_path):
    site = tmp_path / "trl" / "lib" / "python3.11" / "site-packages"
    for name in ("trl", "peft"):
        (site / name).mkdir(parents=True)
    assert train.python_of("trl", tmp_path) == str(tmp_path / "trl" / "bin" / "python")


def test_a_window_counts_the_rows_of_its_own_steps(monkeypatch):
    said, weights = io.StringIO(), [1, 10, 100, 1000]
    made = windows.Windows([[[0], [1]], [[2], [3]]], weights.__getitem__, False, said)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    for step in range(4):
        made.begin(step)
        made.tokens += 5
        made.end(step + 1)
    told = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(t["amount"], t["tokens"]) for t in told] == [(11, 10), (1100, 10)]


def test_a_child_ends_with_its_parent(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(SystemExit):
        windows.Windows([[[0]]], int, False, io.StringIO()).begin(0)


def test_windows_are_whole_passes_in_steps_of_one_batch():
    lengths = [i % 7 + 1 for i in range(4 * workload.BATCH)]
    plan = workload.plan_of(lengths, 3)
    assert [len(window) for window in plan] == [4, 4, 4]
    for window in plan:
        assert sorted(row for step in window for row in step) == list(range(len(lengths)))
        assert {len(step) for step in window} == {workload.BATCH}
