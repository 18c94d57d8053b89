"""Metrics files and tables become frames in which a missing number cannot pass unseen, and no text is held."""

import json
import math

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.errors import UserError
from realign.gates.engine import evaluate
from realign.gates.expectation import BETWEEN, LENGTHS, NOT_NULL, UNIQUE
from realign.gates.frames import build_frames, read_metrics

PAIRS = "data/srf/preference_data/pairs.parquet"


def write(tmp_path, metrics):
    path = tmp_path / "rl.json"
    path.write_text(json.dumps(metrics))
    return path


def parts(value, n=10.0, low=math.nan, high=math.nan):
    return {"value": value, "n": n, "low": low, "high": high}


def suite(*columns: str, table: str | None = None, kind: str = NOT_NULL, **kwargs) -> dict:
    meta = {"tables": {"pairs": PAIRS}} if table == "pairs" else {}
    return {"name": "t", "meta": meta,
            "expectations": [{"type": kind, "kwargs": {"column": c, **kwargs}, "meta": {"table": table}}
                             for c in columns]}


def test_every_metric_by_its_dotted_name(tmp_path):
    path = write(tmp_path, {"capability": {"facts": {"value": 0.5, "n": 10, "low": 0.2, "high": 0.8}}})
    assert read_metrics(path) == {"capability.facts": parts(0.5, 10.0, 0.2, 0.8)}


@pytest.mark.parametrize("entry", [None, {"value": None}, {"value": math.nan, "n": None},
                                   {"value": math.inf, "n": None, "low": -math.inf, "high": math.inf}])
def test_what_is_no_number_becomes_nan_and_no_evidence(tmp_path, entry):
    kl = read_metrics(write(tmp_path, {"kl": entry}))["kl"]
    assert math.isnan(kl["value"]) and math.isnan(kl["low"]) and math.isnan(kl["high"])
    assert kl["n"] == 0


def test_entries_that_are_no_metric_are_left_out(tmp_path):
    entries = {"attempts": [{"rate": 1}], "note": "text", "kl": {"n": 3}, "entropy": {"value": 1.0, "n": 2}}
    assert list(read_metrics(write(tmp_path, entries))) == ["entropy"]


@pytest.mark.parametrize("value", ["0.1", True, [0.1]])
def test_a_value_of_another_type_is_named(tmp_path, value):
    with pytest.raises(UserError, match=r"kl is .*\n.*a number or null"):
        read_metrics(write(tmp_path, {"kl": {"value": value, "n": 3}}))


def test_broken_metrics_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "rl.json"
    path.write_text('{"kl":\n {"value": }')
    with pytest.raises(UserError, match=r"rl\.json, line 2"):
        read_metrics(path)
    path.write_bytes(b'{"k\xff": 1}')
    with pytest.raises(UserError, match="not UTF-8 at byte 3"):
        read_metrics(path)


@pytest.mark.parametrize(("kept", "rejected", "lost"), [(90, 10, 0), (90, 9, 1), (91, 10, -1)])
def test_rows_that_nobody_accounts_for_are_counted(tmp_path, kept, rejected, lost):
    counts = {"in": 100, "kept": kept, "rejected": rejected}
    metrics = read_metrics(write(tmp_path, {"rows": {k: {"value": v, "n": v} for k, v in counts.items()}}))
    assert metrics["rows.unaccounted"] == parts(lost, 100, lost, lost)
    assert metrics["rows.kept_share"] == parts(kept / 100, 100, kept / 100, kept / 100)


def test_without_all_three_counts_nothing_is_derived(tmp_path):
    metrics = read_metrics(write(tmp_path, {"rows": {"in": {"value": 3}, "kept": {"value": 3}}}))
    assert "rows.unaccounted" not in metrics


def test_one_row_of_the_metrics_that_are_named(tmp_path):
    metrics = {"kl": parts(math.nan, 0.0), "entropy": parts(1.0)}
    frame = build_frames(suite("kl", "kl.high"), metrics, tmp_path, "here")[None]
    assert list(frame.columns) == ["kl", "kl.n", "kl.low", "kl.high"] and len(frame) == 1
    assert set(map(str, frame.dtypes)) == {"float64"}


def test_one_row_a_member_of_a_group(tmp_path):
    metrics = {"retention.facts": parts(0.9), "retention.facts.new": parts(0.8), "retention_worst": parts(0.7)}
    frame = build_frames(suite("value", table="retention"), metrics, tmp_path, "here")["retention"]
    assert frame.to_dict("list") == {"name": ["facts", "facts.new"], "value": [0.9, 0.8], "n": [10.0, 10.0],
                                     "low": pytest.approx([math.nan] * 2, nan_ok=True),
                                     "high": pytest.approx([math.nan] * 2, nan_ok=True)}


def test_unknown_metric_gets_a_suggestion_by_metric(tmp_path):
    with pytest.raises(UserError, match=r"'entropi\.low'\n.*did you mean 'entropy'"):
        build_frames(suite("entropi.low"), {"entropy": parts(1.0)}, tmp_path, "here")


def test_unknown_group_gets_a_suggestion(tmp_path):
    with pytest.raises(UserError, match=r"does not write: 'retention'\n.*did you mean 'retentions'"):
        build_frames(suite("value", table="retention"), {"retentions.facts": parts(1.0)}, tmp_path, "here")


def test_columns_are_compared_with_each_other_by_the_same_code(tmp_path):
    (tmp_path / PAIRS).parent.mkdir(parents=True)
    apart = {"name": "t", "meta": {"tables": {"pairs": PAIRS}}, "expectations": [
        {"type": "expect_select_column_values_to_be_unique_within_record",
         "kwargs": {"column_list": ["chosen", "rejected"]}, "meta": {"table": "pairs"}}]}
    for chosen, passes in ((["c", "a"], True), (["c", "b"], False)):  # the ranks of c and b, each in its column, are 2
        pl.DataFrame({"chosen": chosen, "rejected": ["a", "b"]}).write_parquet(tmp_path / PAIRS)
        frames = build_frames(apart, {}, tmp_path, "here")
        assert not any(pd.api.types.is_object_dtype(kind) for kind in frames["pairs"].dtypes)
        assert evaluate(apart, frames)[0]["passed"] is passes


def test_only_the_named_columns_are_read(project, pairs):
    frame = build_frames(suite("chosen", table="pairs"), {}, project.root, "here")["pairs"]
    assert list(frame.columns) == ["chosen (present)"] and len(frame) == len(pairs["chosen"])


def test_rows_are_counted_where_no_column_is_named(project, pairs):
    assert len(build_frames(suite(table="pairs"), {}, project.root, "here")["pairs"]) == len(pairs["chosen"])
    counted = {"name": "t", "meta": {"tables": {"pairs": PAIRS}}, "expectations": []}
    assert len(build_frames(counted, {}, project.root, "here")["pairs"]) == len(pairs["chosen"])


def test_unknown_column_gets_a_suggestion(project):
    with pytest.raises(UserError, match="did you mean 'chosen_score'"):
        build_frames(suite("chosen_scor", table="pairs"), {}, project.root, "here")


def test_truncated_parquet_is_named(project):
    whole = project.pairs_file.read_bytes()
    project.pairs_file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"pairs\.parquet: unreadable Parquet"):
        build_frames(suite("chosen", table="pairs"), {}, project.root, "here")


def test_a_number_has_no_length(project):
    with pytest.raises(UserError, match="'chosen_score' holds Float64, which has no length"):
        build_frames(suite("chosen_score", table="pairs", kind=LENGTHS, min_value=1), {}, project.root, "here")


IN_SET = "expect_column_values_to_be_in_set"
ON_TEXT = {  # every expectation that is put to less than the text
    NOT_NULL: {}, UNIQUE: {}, LENGTHS: {"min_value": 1, "max_value": 3}, IN_SET: {"value_set": ["a", "bb", "é"]},
    "expect_column_values_to_not_be_in_set": {"value_set": ["a"]},
    "expect_column_distinct_values_to_be_in_set": {"value_set": ["a", "bb", "é"]},
    "expect_column_distinct_values_to_contain_set": {"value_set": ["a"]},
    "expect_column_distinct_values_to_equal_set": {"value_set": ["a", "bb"]},
}


def put(root, rows: pl.DataFrame, *, whole: bool) -> list:
    """What every expectation of ON_TEXT finds: in the texts themselves, or in what stands for them."""
    asked = [{"type": kind, "kwargs": {"column": "text", **kwargs}, "meta": {"table": "pairs"}}
             for kind, kwargs in ON_TEXT.items()]
    asked.append({"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["text", "other"]},
                  "meta": {"table": "pairs"}})
    asked = {"name": "t", "meta": {"tables": {"pairs": PAIRS}}, "expectations": asked}
    rows.write_parquet(root / PAIRS, mkdir=True)
    frames = {"pairs": rows.to_pandas()} if whole else build_frames(asked, {}, root, "here")
    if whole:  # so that nothing stands for a text
        for expectation in asked["expectations"]:
            expectation["meta"] = {"table": "whole"}
        frames = {"whole": frames["pairs"]}
    return [(o["passed"], o["result"].get("unexpected_count")) for o in evaluate(asked, frames)]


TEXTS = st.lists(st.tuples(st.sampled_from(["a", "bb", "é", "e\u0301", "", "four", None, "👩‍🚀"]),
                           st.sampled_from(["x", "y"])), min_size=1, max_size=6)


@settings(deadline=None, max_examples=20)
@given(TEXTS)
def test_what_stands_for_a_text_is_judged_as_the_text_would_be(tmp_path_factory, drawn):
    root = tmp_path_factory.mktemp("rows")
    rows = pl.DataFrame(drawn, schema={"text": pl.String, "other": pl.String}, orient="row")
    assert put(root, rows, whole=False) == put(root, rows, whole=True)


def test_no_text_is_loaded_where_less_is_asked(tmp_path):
    rows = 20_000
    long = pl.DataFrame({"text": [f"{i} {'word ' * 100}" for i in range(rows)], "kind": ["a", "b"] * (rows // 2),
                         "messages": [[{"content": "x" * 200}]] * rows})
    long.write_parquet(tmp_path / PAIRS, mkdir=True)
    asked = suite("text", table="pairs")
    for kind, column, kwargs in ((UNIQUE, "text", {}), (LENGTHS, "text", {"min_value": 1}), (NOT_NULL, "messages", {}),
                                 (IN_SET, "kind", {"value_set": ["a", "b"]}), (UNIQUE, "kind", {})):
        asked["expectations"] += suite(column, table="pairs", kind=kind, **kwargs)["expectations"]
    frame = build_frames(asked, {}, tmp_path, "here")["pairs"]
    assert list(frame.columns) == ["text (present)", "text (code)", "text (length)", "messages (present)",
                                   "kind (category)", "kind (code)"]
    assert all(pd.api.types.is_numeric_dtype(kind) or isinstance(kind, pd.CategoricalDtype) for kind in frame.dtypes)
    assert frame.memory_usage(deep=True).sum() < 30 * rows  # a text alone is 500 bytes
    assert frame["text (length)"].tolist() == [len(f"{i} ") + 500 for i in range(rows)]


def test_an_expectation_that_needs_the_whole_text_gets_it(project, pairs):
    regex = suite("chosen", table="pairs", kind="expect_column_values_to_match_regex", regex="x")
    assert build_frames(regex, {}, project.root, "here")["pairs"]["chosen"].tolist() == pairs["chosen"]
    some = suite("chosen", table="pairs", row_condition='split == "train"')
    assert build_frames(some, {}, project.root, "here")["pairs"]["chosen"].tolist() == pairs["chosen"]


def test_nan_counts_as_missing_in_a_column_of_numbers(tmp_path):
    pl.DataFrame({"score": [0.5, math.nan, None]}).write_parquet(tmp_path / PAIRS, mkdir=True)
    asked = suite("score", table="pairs")
    outcome, = evaluate(asked, build_frames(asked, {}, tmp_path, "here"))
    assert (outcome["passed"], outcome["result"]["unexpected_count"]) == (False, 2)


def test_expectations_of_numbers_see_the_numbers(project, pairs):
    asked = suite("chosen_score", table="pairs", kind=BETWEEN, min_value=0, max_value=1)
    frame = build_frames(asked, {}, project.root, "here")["pairs"]
    assert frame["chosen_score"].tolist() == pairs["chosen_score"]
