"""Metrics files and tables become frames in which a missing number cannot pass unseen."""

import json
import math

import pytest

from realign.errors import UserError
from realign.gates.frames import build_frames, read_metrics

PAIRS = "data/srf/preference_data/pairs.parquet"


def write(tmp_path, metrics):
    path = tmp_path / "rl.json"
    path.write_text(json.dumps(metrics))
    return path


def suite(*columns: str, table: str | None = None) -> dict:
    return {"name": "t", "meta": {"tables": {"pairs": PAIRS}} if table else {},
            "expectations": [{"type": "x", "kwargs": {"column": c}, "meta": {"table": table}}
                             for c in columns]}


def test_a_column_for_every_number(tmp_path):
    path = write(tmp_path, {"capability": {"facts": {"value": 0.5, "n": 10, "low": 0.2, "high": 0.8}}})
    assert read_metrics(path) == {"capability.facts": 0.5, "capability.facts.n": 10.0,
                                  "capability.facts.low": 0.2, "capability.facts.high": 0.8}


@pytest.mark.parametrize("entry", [None, {"value": None}, {"value": math.nan, "n": None},
                                   {"value": math.inf, "n": None, "low": -math.inf, "high": math.inf}])
def test_what_is_no_number_becomes_nan_and_no_evidence(tmp_path, entry):
    row = read_metrics(write(tmp_path, {"kl": entry}))
    assert math.isnan(row["kl"]) and math.isnan(row["kl.low"]) and math.isnan(row["kl.high"])
    assert row["kl.n"] == 0


def test_entries_that_are_no_metric_are_left_out(tmp_path):
    entries = {"attempts": [{"rate": 1}], "note": "text", "kl": {"n": 3}, "entropy": {"value": 1.0, "n": 2}}
    assert {c.split(".")[0] for c in read_metrics(write(tmp_path, entries))} == {"entropy"}


@pytest.mark.parametrize("value", ["0.1", True, [0.1]])
def test_a_value_of_another_type_is_named(tmp_path, value):
    with pytest.raises(UserError, match="kl is .*\n.*a number or null"):
        read_metrics(write(tmp_path, {"kl": {"value": value, "n": 3}}))


def test_broken_metrics_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "rl.json"
    path.write_text('{"kl":\n {"value": }')
    with pytest.raises(UserError, match="rl.json, line 2"):
        read_metrics(path)
    path.write_bytes(b'{"k\xff": 1}')
    with pytest.raises(UserError, match="not UTF-8 at byte 3"):
        read_metrics(path)


@pytest.mark.parametrize(("kept", "rejected", "lost"), [(90, 10, 0), (90, 9, 1), (91, 10, -1)])
def test_rows_that_nobody_accounts_for_are_counted(tmp_path, kept, rejected, lost):
    counts = {"in": 100, "kept": kept, "rejected": rejected}
    row = read_metrics(write(tmp_path, {"rows": {k: {"value": v, "n": v} for k, v in counts.items()}}))
    assert (row["rows.unaccounted"], row["rows.unaccounted.n"]) == (lost, 100)


def test_without_all_three_counts_nothing_is_derived(tmp_path):
    row = read_metrics(write(tmp_path, {"rows": {"in": {"value": 3}, "kept": {"value": 3}}}))
    assert "rows.unaccounted" not in row


def test_one_row_of_floats(tmp_path):
    frame = build_frames(suite("kl"), {"kl": math.nan, "kl.n": 0.0}, tmp_path, "here")[None]
    assert frame.shape == (1, 2) and set(map(str, frame.dtypes)) == {"float64"}


def test_unknown_metric_gets_a_suggestion_by_metric(tmp_path):
    with pytest.raises(UserError, match="'entropi.low'\n.*did you mean 'entropy'"):
        build_frames(suite("entropi.low"), {"entropy": 1.0, "entropy.n": 2.0}, tmp_path, "here")


def test_only_the_named_columns_are_read(project, pairs):
    frame = build_frames(suite("chosen", table="pairs"), {}, project.root, "here")["pairs"]
    assert list(frame.columns) == ["chosen"] and len(frame) == len(pairs["chosen"])


def test_rows_are_counted_where_no_column_is_named(project, pairs):
    assert len(build_frames(suite(table="pairs"), {}, project.root, "here")["pairs"]) == len(pairs["chosen"])


def test_unknown_column_gets_a_suggestion(project):
    with pytest.raises(UserError, match="did you mean 'chosen_score'"):
        build_frames(suite("chosen_scor", table="pairs"), {}, project.root, "here")


def test_truncated_parquet_is_named(project):
    whole = project.pairs_file.read_bytes()
    project.pairs_file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="pairs.parquet: unreadable Parquet"):
        build_frames(suite("chosen", table="pairs"), {}, project.root, "here")
