"""Two processes on one machine train what one does; the scenarios stand in together.py."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.cli import launch
from realign.train import distributed, loop
from tests.realign.train import together

pytestmark = pytest.mark.xdist_group("ports")  # as test_launch.py takes some, too

PROGRAM = Path(__file__).with_name("together.py")
ROOT = Path(__file__).parents[3]
# What one process trains in place of two: shares mean nothing to it, so several come to the same.
ALONE = {name: name for name in ("sft", "one_row", "reward", "dpo", "ppo", "grpo", "own_optimizer")} | {
    "grpo_of_one": "grpo", "ppo_measured": "ppo", "none_for_one": "sft", "measured": "sft", "other_start": "sft"}


def left(folder: Path, processes: int, *names: str) -> dict[str, list[tuple[dict, dict]]]:
    """By scenario, of each process the weights and what else it saw."""
    places = {name: [folder / f"{name}.{rank}" for rank in range(processes)] for name in names}
    return {name: [(dict(np.load(f"{path}.npz")), json.loads(Path(f"{path}.json").read_text())) for path in paths]
            for name, paths in places.items()}


@pytest.fixture(scope="module")
def runs_of_two(tmp_path_factory):
    return tmp_path_factory.mktemp("two") / "runs"


@pytest.fixture(scope="module")
def two(runs_of_two):
    runs_of_two.mkdir()
    env = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    assert launch.local(["python", str(PROGRAM), str(runs_of_two), *together.SCENARIOS], 2, env) == 0
    return left(runs_of_two, 2, *together.SCENARIOS)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """In this process."""
    folder, names = tmp_path_factory.mktemp("one"), list(dict.fromkeys(ALONE.values()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "adamw", loop.adamw)
        patch.setenv("REALIGN_SHARES", "")
        together.main(str(folder), *names)
    found = left(folder, 1, *names)
    return {name: found[same] for name, same in ALONE.items()}


def apart(a: dict, b: dict) -> float:
    """The largest difference of any weight."""
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


@pytest.mark.parametrize("name", ALONE)
def test_two_processes_end_with_the_weights_of_one(name, one, two):
    (weights, saw), (first, first_saw), (second, second_saw) = *one[name], *two[name]
    assert apart(first, weights) < 1e-5
    assert all((first[key] == second[key]).all() for key in first)  # every bit
    assert first_saw["history"] == second_saw["history"]
    for expected, got in zip(saw["history"], first_saw["history"], strict=True):
        assert got == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_training_moved_the_weights_by_far_more_than_that(one):
    other = one["one_row"][0][0]
    assert apart(one["sft"][0][0], other) > 1e-4


def test_a_mean_of_the_processes_means_is_found_out(one, two):
    assert apart(two["mean_of_means"][0][0], one["sft"][0][0]) > 1e-4


def test_samples_of_another_place_are_found_out(one, two):
    assert apart(two["forgotten_place"][0][0], one["grpo"][0][0]) > 1e-4


def test_shares_are_given_or_measured_and_noted(two):
    assert two["sft"][0][1]["shares"] == [0.655, 0.345]
    (_, first), (_, second) = two["measured"]
    assert first["shares"] == second["shares"] and sum(first["shares"]) == pytest.approx(1, abs=1e-3)
    assert all(share > 0 for share in first["shares"])


def test_they_are_in_the_run_log_of_the_first_process(two, runs_of_two):
    def logged(rank, name):
        path = runs_of_two / f"machine{rank}/{name}/shares.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else None

    assert logged(0, "sft") == [{"measured": False, "shares": [0.655, 0.345]}]
    assert logged(0, "measured")[0]["measured"] is True and logged(1, "measured") is None


def test_only_the_first_writes_checkpoints_and_all_go_on_from_its(two):
    assert [saw["checkpoint"] for _, saw in two["sft"]] == [True, False]
    for (unbroken, whole), (resumed, saw) in zip(two["unbroken"], two["interrupted"], strict=True):
        assert saw["steps"] == [1, 2, 3, 4, 5, 5, 6]
        assert all((unbroken[key] == resumed[key]).all() for key in unbroken)
        assert saw["history"] == whole["history"] and saw["shares"] == [0.6, 0.4]


def test_all_stop_at_a_condition_that_holds_for_one(two):
    for _, saw in two["broken_row"]:
        assert saw["error"] == "Stopped" and saw["says"] == "loss inf, limit: a finite number at step 3 of 5"
        assert saw["steps"] == [1, 2]
    assert [saw["says"] for _, saw in two["own_condition"]] == ["enough at step 4 of 5"] * 2
    first, second = (weights for weights, _ in two["broken_row"])
    assert all((first[key] == second[key]).all() for key in first)  # both back at the last checkpoint


def test_the_first_validates_for_all(two):
    for _, saw in two["validated"]:
        assert saw["best_step"] == 2 and saw["steps"] == [1, 2, 3, 4]  # patience of 2
        assert [record["validation_objective"] for record in saw["history"]] == [3.0, 2.0, 2.5, 2.6]


@pytest.mark.parametrize("name, says", [
    ("other_data", "the processes would not train the same"), ("rollouts", "Rollouts cannot be divided"),
    ("wrong_shares", "shares (REALIGN_SHARES): found '65.5,34.5,1'\n  expected: 2 numbers"),
])
def test_what_cannot_be_trained_together_is_said_in_every_process(name, says, two):
    for _, saw in two[name]:
        assert saw["error"] == "UserError" and says in saw["says"]


def test_every_process_computes_with_the_same_backend(one, two):
    assert {saw["backend"] for _, saw in two["sft"] + one["sft"]} == {one["sft"][0][1]["backend"]}


shares = st.lists(st.floats(0, 1e6), min_size=1, max_size=9).filter(sum)


@given(st.integers(0, 5000), shares)
def test_counts_add_up_and_are_within_one_row_of_the_shares(total, shares):
    given = distributed.counts(total, shares)
    assert sum(given) == total and min(given) >= 0
    for count, share in zip(given, shares, strict=True):
        assert abs(count - total * share / sum(shares)) < 1 + 1e-6
        assert share or not count


@given(st.lists(st.integers(), max_size=60), shares)
def test_the_parts_are_the_rows_in_their_order(rows, shares):
    parts = [list(distributed.split(rows, shares, rank)) for rank in range(len(shares))]
    assert [row for part in parts for row in part] == rows


@given(st.integers(0, 500), st.integers(1, 9))
def test_equal_shares_give_equal_parts(each, ranks):
    assert distributed.counts(each * ranks, [1.0] * ranks) == [each] * ranks


def test_shares_by_hand():
    assert distributed.counts(32, [65.5, 34.5]) == [21, 11]  # 20.96 and 11.04
    assert distributed.counts(2, [65.5, 34.5]) == [1, 1]  # 1.31 and 0.69
    assert distributed.counts(1, [65.5, 34.5]) == [1, 0]
    assert distributed.counts(3, [1, 1]) == [2, 1]
    assert distributed.proportions([1.95, 1.03]) == [0.6544, 0.3456]  # DESIGN §10, examples/s of a 30B model
