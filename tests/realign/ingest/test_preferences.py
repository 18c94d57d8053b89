import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realign.errors import UserError
from realign.ingest.dialogues import Fault, transcript
from realign.ingest.preferences import ingest, ingest_pairs, to_pair
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
    "messages as JSON": {"prompt": json.dumps([USER]), "chosen": json.dumps([GOOD]), "rejected": json.dumps(BAD)},
    "dialogues as JSON": {"chosen": "\ufeff " + json.dumps([USER, GOOD], indent=1) + "\r\n",
                          "rejected": json.dumps([USER, BAD])},
    "JSON in JSON": {"prompt": json.dumps(json.dumps([USER])), "chosen": json.dumps(json.dumps([GOOD])),
                     "rejected": "Paris."},
    "fields of messages null or empty": {
        "prompt": [USER | {"tool_calls": None, "name": ""}], "chosen": [GOOD | {"tool_calls": []}], "rejected": [BAD],
        "tools": "[]", "images": None},
    "instruction": {"instruction": "Name a sea.", "input": "", "chosen": "The Baltic.", "rejected": "Paris."},
    "input alone": {"input": "Name a sea.", "chosen": "The Baltic.", "rejected": "Paris."},
    "ShareGPT": {"conversations": [{"from": "human", "value": "Name a sea."}],
                 "chosen": {"from": "gpt", "value": "The Baltic."}, "rejected": {"from": "gpt", "value": "Paris."}},
    "ShareGPT as JSON": {"conversations": json.dumps([{"from": "human", "value": "Name a sea."}]),
                         "chosen": json.dumps({"from": "gpt", "value": "The Baltic."}), "rejected": "Paris."},
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
    ("wrong_type", {**TEXT, "score_chosen": "1_0", "score_rejected": 0}),
    ("missing_field", {**TEXT, "score_chosen": " ", "score_rejected": 0.5}),
    ("scores_reversed", {**TEXT, "score_chosen": 0.1, "score_rejected": 0.9}),
    ("scores_reversed", {**TEXT, "score_chosen": "0", "score_rejected": "1"}),
    ("equal_scores", {**TEXT, "score_chosen": 0.5, "score_rejected": "0.50"}),
    ("equal_scores", {**TEXT, "chosen_score": 0, "rejected_score": 0}),
    ("messages_as_text", {**TEXT, "chosen": str([GOOD])}),
    ("messages_as_text", {**TEXT, "prompt": str((USER,))}),
    ("messages_as_text", {**TEXT, "chosen": repr(GOOD)}),
    ("messages_as_text", {**TEXT, "chosen": json.dumps([GOOD])[:-5]}),
    ("messages_as_text", {**TEXT, "chosen": f"array([{GOOD}], dtype=object)"}),
    ("messages_as_text", {**TEXT, "chosen": "[Message(role='assistant', content='The Baltic.')]"}),
    ("messages_as_text", {**TEXT, "chosen": json.dumps({"messages": [GOOD]})}),
    ("wrong_type", {**TEXT, "chosen": json.dumps([{"role": "robot", "content": "x"}])}),
    ("unknown_field", {**TEXT, "chosen": [{"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}]}),
    ("unknown_field", {**TEXT, "chosen": [{"role": "assistant", "content": None, "function_call": {"name": "f"}}]}),
    ("unknown_field", {**TEXT, "chosen": {**GOOD, "reasoning_content": "It is north."}}),
    ("unknown_field", {**TEXT, "prompt": json.dumps([{**USER, "images": ["a.png"]}])}),
    ("unknown_field", {**TEXT, "tools": [{"type": "function"}]}),
    ("unknown_field", {**TEXT, "tools": '[{"type": "function"}]'}),
    ("unknown_field", {**TEXT, "chosen_reasoning": "It is north."}),
    ("messages_as_text", {**TEXT, "chosen": json.dumps([{"Role": "assistant", "Content": "The Baltic."}])}),
    ("unknown_field", {**TEXT, "context": "The Baltic lies north."}),
    ("unknown_field", {**TEXT, "prompt": [USER, GOOD, USER], "input": "Of Europe."}),
    ("answer_in_two", {"prompt": [USER, {"role": "assistant", "content": "The"}], "chosen": "Baltic", "rejected": "a"}),
    ("answer_in_two", {"chosen": [USER, BAD, GOOD], "rejected": [USER, BAD, {**GOOD, "content": "No."}]}),
    ("answer_in_two", {"prompt": HH + "The", "chosen": "Baltic.", "rejected": "Paris."}),
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
any_score = st.none() | st.booleans() | st.floats(0, 1) | st.sampled_from(["", "a", "1", [], {}])
any_row = st.fixed_dictionaries({}, optional=dict.fromkeys(
    ["prompt", "chosen", "rejected", "system", "category", "input", "instruction"], any_value) | dict.fromkeys(
    ["score_chosen", "score_rejected"], any_score))


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


@pytest.mark.parametrize("answer", [
    "[]", "{}", "[1, 2]", '{"name": "Ann", "role": "admin"}', '[{"from": "Rome", "to": "Oslo"}]', "[a] role play: no",
    '"Ann"', "(I think) the Baltic"])
def test_an_answer_in_json_that_holds_no_messages_is_a_text(answer):
    assert to_pair({**TEXT, "chosen": answer}, "f")["chosen"] == answer


def test_the_input_of_alpaca_stands_behind_its_instruction():
    row = {"chosen": "rivière", "rejected": "route", "input": "river"}
    for name in ("instruction", "prompt"):
        assert to_pair({**row, name: "Translate."}, "f")["messages"] == [
            {"role": "user", "content": "Translate.\nriver"}]
    assert to_pair({**row, "prompt": "Translate: river"}, "f")["messages"][0]["content"] == "Translate: river"


def asked(prompt, chosen, rejected):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


@pytest.mark.parametrize("rows, out", [
    ([asked("a?", "x", "y"), asked("b?", "y", "x"), asked("a?", "y", "x")], [1, 3]),
    ([asked("a?", "x", "y"), asked("A ?", " Y.", "x!"), asked("b?", "y", "x")], [1, 2]),  # but for case and signs
    ([asked("a?", "x", "y"), asked("a?", "y", "z"), asked("a?", "z", "x"), asked("a?", "x", "w")], [1, 2, 3]),
])
def test_labels_that_contradict_each_other_are_all_rejected(tmp_path, rows, out):
    found = ingest(save(tmp_path / "p.jsonl", rows))
    assert [(r["reason"], r["position"]) for r in found.rejected] == [("contradiction", line) for line in out]
    assert found.places == [("p.jsonl", line) for line in range(1, len(rows) + 1) if line not in out]


def test_answers_that_differ_in_spelling_alone_may_be_preferred_for_it(tmp_path):
    pairs, rejected = ingest_pairs(save(tmp_path / "p.jsonl", [asked("a?", "It is.", "it is"), asked("b?", "x", "y")]))
    assert len(pairs) == 2 and not rejected
    rows = [asked("a?", "It is.", "it is"), asked("a?", "it is ", "It is."), asked("b?", "x", "y")]
    assert [r["position"] for r in ingest_pairs(save(tmp_path / "p.jsonl", rows))[1]] == [1, 2]


def test_a_file_of_contradictions_alone_stops(tmp_path):
    with pytest.raises(UserError, match="every pair contradicts"):
        ingest_pairs(save(tmp_path / "p.jsonl", [asked("a?", "x", "y"), asked("a?", "y", "x")]))


def test_shards_are_read_in_the_order_of_names_whatever_their_kind(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"rejected,prompt,chosen\r\nno,b?,yes\r\n,,\r\n")
    save(tmp_path / "a.jsonl", [{**TEXT, "chosen": ""}, TEXT])
    pq.write_table(pa.Table.from_pylist([TEXT, {**TEXT, "prompt": "c?"}]), tmp_path / "c.parquet")
    (tmp_path / "README.md").write_text("Seas.")
    (tmp_path / "_SUCCESS").touch()
    found = ingest(tmp_path)
    assert [p["messages"][0]["content"] for p in found.pairs] == ["Name a sea.", "b?", "c?"]
    assert found.places == [("a.jsonl", 2), ("b.csv", 2), ("c.parquet", 2)]
    assert [(r["source"], r["position"], r["reason"]) for r in found.rejected] == [
        ("a.jsonl", 1, "empty_text"), ("b.csv", 3, "empty_text"), ("c.parquet", 1, "duplicate")]
    assert found.rejected[2]["detail"] == "same prompt and answers as row 2 of a.jsonl"


@pytest.mark.parametrize("name, data, said", [
    ("b.parquet", b"PAR1", r"b\.parquet: cannot be read"), ("b.jsonl", b"", r"b\.jsonl: is empty"),
    ("b.jsonl", b'{"text": "a"}\n', r"b\.jsonl: no column `chosen`"), ("b.arrow", b"", r"holds 'b\.arrow'"),
    ("b/c.jsonl", b"{}", "holds 'b'")])
def test_one_broken_shard_stops_all(tmp_path, name, data, said):
    save(tmp_path / "a.jsonl", [TEXT])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=said):
        ingest_pairs(tmp_path)


def test_a_folder_without_shards_stops(tmp_path):
    with pytest.raises(UserError, match="the folder holds no file"):
        ingest_pairs(tmp_path)


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
    ({"instruction": "p", "input": "", "output": "a"}, "no column `chosen`.*`output` is one answer"),
    ({**TEXT, "rejected": TEXT["chosen"]}, "none of its 3 rows.*identical_sides"),
])
def test_a_file_without_one_pair_stops_and_explains(tmp_path, row, said):
    with pytest.raises(UserError, match=said) as caught:
        ingest_pairs(save(tmp_path / "p.jsonl", [row] * 3))
    assert "whole dialogues as text" in str(caught.value) and "to do:" in str(caught.value)


def scored(number, better, worse):
    return {**TEXT, "prompt": f"Name sea {number}.", "chosen_score": better, "rejected_score": worse}


@pytest.mark.parametrize("better, worse", [(9, 3), ("9", "3.0"), (Decimal(9), Decimal(3))])
def test_many_scores_out_of_range_name_the_knobs_and_what_was_found(tmp_path, better, worse):
    """Twelve rows on a scale to ten beside as many that fit the range by chance: not these alone are kept."""
    pq.write_table(pa.Table.from_pylist([scored(i, better, worse) for i in range(12)]
                                        + [scored(i, type(better)(1), type(better)(0)) for i in range(12, 24)]),
                   tmp_path / "p.parquet")
    with pytest.raises(UserError, match=r"12 of 24 rows have a score outside 0 to 1 \(score_out_of_range\); theirs are "
                                        r"3 to 9\n.*\n.*-S srf\.data\.score_low=0 -S srf\.data\.score_high=9"):
        ingest(tmp_path / "p.parquet", section="srf.data")
    assert len(ingest_pairs(tmp_path / "p.parquet", (0.0, 10.0))[0]) == 24


def test_few_scores_out_of_range_are_rejected(tmp_path):
    rows = [scored(i, 0.9, 0.1) for i in range(19)]
    pairs, rejected = ingest_pairs(save(tmp_path / "p.jsonl", [*rows, scored(19, 90, 10)]))
    assert (len(pairs), [(r["position"], r["reason"]) for r in rejected]) == (19, [(20, "score_out_of_range")])


def test_one_score_out_of_range_says_nothing_of_the_range_unless_it_is_all_there_is(tmp_path):
    pairs, rejected = ingest_pairs(save(tmp_path / "p.jsonl", [scored(1, 0.9, 0.1), scored(2, 9, 1)]))
    assert (len(pairs), rejected[0]["reason"]) == (1, "score_out_of_range")
    with pytest.raises(UserError, match="1 of 1 rows have a score outside"):
        ingest_pairs(save(tmp_path / "p.jsonl", [scored(2, 9, 1)]))


def test_a_range_must_be_one(tmp_path):
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
