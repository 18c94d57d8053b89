import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realign.errors import UserError
from realign.ingest.dialogues import Fault, transcript
from realign.ingest.preferences import ingest_pairs, to_pair
from realign.lake.schemas import PAIRS, REJECTED, row_fault, row_id
from realign.lake.table import frame, small_rows, write

HARMLESS = Path(__file__).parents[4] / "shared/data/hh-harmless/pairs.jsonl"
USER, GOOD, BAD = ({"role": r, "content": c} for r, c in
                   [("user", "Name a sea."), ("assistant", "The Baltic."), ("assistant", "Paris.")])
SYSTEM = {"role": "system", "content": "Be brief."}
HH = "\n\nHuman: Name a sea.\n\nAssistant: "
TEXT = {"prompt": "Name a sea.", "chosen": "The Baltic.", "rejected": "Paris."}
same_folder = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


def save(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


SHAPES = {
    "texts": TEXT,
    "messages, answer as list": {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    "messages, answer as message": {"prompt": [USER], "chosen": GOOD, "rejected": BAD},
    "messages, answer as text": {"prompt": [USER], "chosen": "The Baltic.", "rejected": "Paris."},
    "text prompt, message answers": {"prompt": "Name a sea.", "chosen": [GOOD], "rejected": [BAD]},
    "text prompt, whole dialogues":
        {"prompt": "Name a sea.", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "whole dialogues": {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "transcripts": {"chosen": HH + "The Baltic.", "rejected": HH + "Paris."},
    "transcript prompt": {"prompt": HH, "chosen": "The Baltic.", "rejected": "Paris."},
    "transcript prompt and transcripts":
        {"prompt": HH, "chosen": HH + "The Baltic.", "rejected": HH + "Paris."},
    "columns null or empty": {**TEXT, "system": "", "score_chosen": None, "category": None},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_pair(tmp_path, shape):
    pairs, rejected = ingest_pairs(save(tmp_path / "p.jsonl", [SHAPES[shape]]))
    assert rejected == []
    assert pairs == [{
        "row_id": row_id([USER], "The Baltic.", "Paris."), "prompt_id": row_id([USER]), "messages": [USER],
        "chosen": "The Baltic.", "rejected": "Paris.", "chosen_score": 1.0, "rejected_score": 0.0,
        "preference_type": "unspecified", "split": "", "source": "p.jsonl"}]


@pytest.mark.parametrize("row", [
    {**TEXT, "system": "Be brief."},
    {"prompt": [SYSTEM, USER], "chosen": GOOD, "rejected": BAD},
    {"prompt": "Name a sea.", "chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]},
    {"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD], "system": "Be brief."},
])
def test_a_system_message_comes_first_and_once(row):
    assert to_pair(row, "f")["messages"] == [SYSTEM, USER]


def test_the_shared_prefix_of_several_turns_is_found():
    turns = [USER, GOOD, {"role": "user", "content": "Another?"}]
    pair = to_pair({"chosen": [*turns, {"role": "assistant", "content": "The Aral."}],
                    "rejected": [*turns, BAD]}, "f")
    assert pair["messages"] == turns
    assert (pair["chosen"], pair["rejected"]) == ("The Aral.", "Paris.")


def test_transcripts_are_cut_at_turns_not_at_letters():
    pair = to_pair({"chosen": HH + "The Baltic.", "rejected": HH + "The Black Sea."}, "f")
    assert (pair["chosen"], pair["rejected"]) == ("The Baltic.", "The Black Sea.")
    assert transcript("\n\nHuman: a\n\nb: Human: c\n\nAssistant: d") == [
        {"role": "user", "content": "a\n\nb: Human: c"}, {"role": "assistant", "content": "d"}]
    assert transcript("I said Human: no") == []


def test_annotations_are_kept():
    row = {**TEXT, "score_chosen": 4, "score_rejected": 2.5, "category": "geography", "source": "atlas"}
    pair = to_pair(row, "f", score_range=(0.0, 5.0))
    assert (pair["chosen_score"], pair["rejected_score"]) == (0.8, 0.5)
    assert (pair["preference_type"], pair["source"]) == ("geography", "atlas")
    assert to_pair({**TEXT, "chosen_score": 0.9, "rejected_score": 0.3}, "f")["rejected_score"] == 0.3


FAULTS = [
    ("missing_field", {"prompt": "p", "chosen": "a"}),
    ("missing_field", {"prompt": "p", "chosen": "a", "rejected": None}),
    ("missing_field", {"chosen": "a", "rejected": "b"}),
    ("missing_field", {"chosen": [GOOD], "rejected": [BAD]}),
    ("missing_field", {"chosen": [USER, GOOD, USER], "rejected": [USER, BAD]}),
    ("missing_field", {"prompt": [{"role": "user"}], "chosen": "a", "rejected": "b"}),
    ("missing_field", {**TEXT, "score_chosen": 1}),
    ("wrong_type", {**TEXT, "chosen": 3}),
    ("wrong_type", {**TEXT, "prompt": True}),
    ("wrong_type", {**TEXT, "chosen": ["a"]}),
    ("wrong_type", {**TEXT, "chosen": [{"role": "assistant", "content": 3}]}),
    ("wrong_type", {**TEXT, "chosen": [{"role": "robot", "content": "x"}]}),
    ("wrong_type", {**TEXT, "category": 7}),
    ("wrong_type", {**TEXT, "score_chosen": "high", "score_rejected": 0}),
    ("score_out_of_range", {**TEXT, "score_chosen": 7.5, "score_rejected": 0}),
    ("score_out_of_range", {**TEXT, "score_chosen": "nan", "score_rejected": 0}),
    ("invalid_utf8", {**TEXT, "chosen": "The \ufffdland sea"}),
    ("invalid_utf8", {**TEXT, "prompt": "\udcff"}),
    ("invalid_utf8", {**TEXT, "source": "\udcff"}),
    ("empty_text", {**TEXT, "chosen": " \n"}),
    ("empty_text", {**TEXT, "prompt": ""}),
    ("empty_text", {**TEXT, "prompt": []}),
    ("empty_text", {"chosen": HH, "rejected": HH + "Paris."}),
    ("identical_sides", {**TEXT, "rejected": " The Baltic. "}),
    ("identical_sides", {"chosen": [USER, GOOD], "rejected": [USER, GOOD]}),
    ("no_shared_prompt", {"chosen": [USER, GOOD], "rejected": [{**USER, "content": "Name a lake."}, BAD]}),
    ("no_shared_prompt", {"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, BAD]}),
    ("no_shared_prompt", {"chosen": [SYSTEM, GOOD], "rejected": [SYSTEM, BAD]}),
    ("no_shared_prompt", {"prompt": "Name a lake.", "chosen": [USER, GOOD], "rejected": [USER, BAD]}),
    ("no_shared_prompt",
     {"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD], "system": "Shout."}),
]


@pytest.mark.parametrize(("reason", "row"), FAULTS)
def test_a_row_that_is_no_pair_says_why(reason, row):
    with pytest.raises(Fault) as caught:
        to_pair(row, "f")
    assert caught.value.reason == reason
    assert caught.value.detail


def test_bad_rows_stand_beside_the_good_ones(tmp_path):
    rows = [TEXT, *(row for _, row in FAULTS), TEXT]
    path = save(tmp_path / "p.jsonl", rows)
    path.write_bytes(path.read_bytes() + b'{"broken"\n\n[]\n\xff\n')
    pairs, rejected = ingest_pairs(path)
    assert len(pairs) == 1
    assert [r["reason"] for r in rejected] == [reason for reason, _ in FAULTS] + [
        "duplicate", "broken_json", "not_an_object", "invalid_utf8"]
    assert rejected[-4]["position"] == len(FAULTS) + 2 and "row 1" in rejected[-4]["detail"]
    assert rejected[-1]["position"] == len(FAULTS) + 6
    assert write(frame(rejected, REJECTED), tmp_path / "r.parquet", REJECTED) == len(rejected)


any_value = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(
    ["", "a", "b", HH, HH + "a", HH + "b", "\ufffd", [], [USER], [USER, GOOD], [USER, BAD], GOOD, {}, [None]])
any_row = st.dictionaries(
    st.sampled_from(["prompt", "chosen", "rejected", "system", "score_chosen", "score_rejected", "category"]),
    any_value)


@same_folder
@given(st.lists(any_row | st.integers(), max_size=20))
def test_counts_add_up_whatever_comes(tmp_path, rows):
    pairs, rejected = ingest_pairs(save(tmp_path / "p.jsonl", [TEXT, *rows]))
    assert len(pairs) + len(rejected) == len(rows) + 1
    assert len({pair["row_id"] for pair in pairs}) == len(pairs)
    assert all(row_fault(pair, PAIRS) is None for pair in pairs)
    assert all(row_fault(row, REJECTED) is None for row in rejected)
    assert all(0 <= pair[score] <= 1 for pair in pairs for score in ("chosen_score", "rejected_score"))


def test_identity_does_not_depend_on_the_order_of_rows(tmp_path):
    rows = [{**TEXT, "chosen": f"The Baltic {i}."} for i in range(5)]
    there, _ = ingest_pairs(save(tmp_path / "a.jsonl", rows))
    back, _ = ingest_pairs(save(tmp_path / "a.jsonl", rows[::-1]))
    assert back == there[::-1]


def test_csv_and_parquet(tmp_path):
    header = "prompt,chosen,rejected,score_chosen,score_rejected"
    (tmp_path / "p.csv").write_text(f"{header}\na,b,c,0.5,0.25\nd,e,f,,\n")
    pairs, _ = ingest_pairs(tmp_path / "p.csv")
    assert [(p["chosen_score"], p["rejected_score"]) for p in pairs] == [(0.5, 0.25), (1.0, 0.0)]
    whole = SHAPES["whole dialogues"]
    pq.write_table(pa.Table.from_pylist([whole]), tmp_path / "p.parquet")
    pairs, _ = ingest_pairs(tmp_path / "p.parquet")
    assert pairs[0]["messages"] == [USER] and pairs[0]["source"] == "p.parquet"


@pytest.mark.parametrize(("row", "said"), [
    ({"prompt": "p", "chosen_response": "a", "rejected_response": "b"},
     "found: chosen_response, prompt, rejected_response; did you mean `chosen_response` for `chosen`"),
    ({"prompt": "p", "choosen": "a", "rejected": "b"}, "did you mean `choosen` for `chosen`"),
    ({"question": "p", "chosen": "a", "rejected": "b"}, "no column `prompt`.*did you mean `question`"),
    ({"text": "p"}, "no column `chosen`; found: text"),
    ({**TEXT, "score_chosen": 8, "score_rejected": 4}, "p.jsonl:1: none of its 3 rows.*score_out_of_range"),
    ({**TEXT, "rejected": TEXT["chosen"]}, "none of its 3 rows.*identical_sides"),
])
def test_a_file_without_one_pair_stops_and_explains(tmp_path, row, said):
    with pytest.raises(UserError, match=said) as caught:
        ingest_pairs(save(tmp_path / "p.jsonl", [row] * 3))
    assert "whole dialogues as text" in str(caught.value) and "to do:" in str(caught.value)


def test_scores_out_of_range_name_the_parameter(tmp_path):
    with pytest.raises(UserError, match="score_range"):
        ingest_pairs(save(tmp_path / "p.jsonl", [{**TEXT, "score_chosen": 8, "score_rejected": 4}]))
    with pytest.raises(UserError, match="is no range"):
        ingest_pairs(save(tmp_path / "p.jsonl", [TEXT]), score_range=(1.0, 1.0))


@pytest.mark.skipif(not HARMLESS.exists(), reason="the human pairs (shared/data/hh-harmless) are not here")
def test_human_pairs(tmp_path):
    raw = [json.loads(line) for line in HARMLESS.read_text(encoding="utf-8").splitlines()]
    pairs, rejected = ingest_pairs(HARMLESS)
    assert len(raw) == 1200 and len(pairs) == 1196
    assert [r["reason"] for r in rejected] == ["empty_text"] * 4
    left = {r["position"] for r in rejected}
    used = [row for position, row in enumerate(raw, 1) if position not in left]
    for row, pair in zip(used, pairs, strict=True):
        assert pair["messages"][0]["role"] == pair["messages"][-1]["role"] == "user"
        for side in ("chosen", "rejected"):
            turns = [m["content"] for m in pair["messages"]] + [pair[side]]
            squeezed = "".join("".join(turns).split())
            plain = row[side].replace("\n\nHuman:", "").replace("\n\nAssistant:", "")
            assert squeezed == "".join(plain.split())
    write(frame(pairs, PAIRS), tmp_path / "p.parquet", PAIRS)
    assert small_rows(tmp_path / "p.parquet", PAIRS) == pairs
