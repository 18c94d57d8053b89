import json

import polars as pl

from realign.curate.rejected import rejected, rejected_row
from realign.lake.schemas import CHATS, REJECTED
from realign.lake.table import frame

ROW = {"row_id": "7", "messages": [{"role": "user", "content": "Zoé\n\"says\""}], "capability": "facts", "slice": "",
       "reference": "{}", "split": "train", "source": "f.jsonl"}


def test_a_rejected_row_says_where_it_stood_why_and_how_it_began():
    late = ROW | {"row_id": "", "reference": "x" * 600 + " ann@firm.org"}
    mail = ROW | {"reference": "ann@firm.org " * 90}
    faults = pl.DataFrame({"position": [3, 5, 8], "reason": ["empty_text", "too_long", "x"],
                           "detail": ["a text is empty", "of bob@firm.org", "y"]})
    found = rejected(frame([ROW, late, mail], CHATS), faults)
    assert found.schema == frame([], REJECTED).schema
    text = json.dumps(ROW, ensure_ascii=False, sort_keys=True)
    assert found.row(0) == ("f.jsonl", 3, "empty_text", "row 7: a text is empty", text)
    assert found["detail"][1] == "of [email]" and len(found["content"][1]) == 500
    assert found["content"][2].count("[email]") > 40 and "firm" not in found["content"][2]
    assert found["detail"].to_list() == ["row 7: a text is empty", "of [email]", "row 7: y"]
    assert found["content"].to_list() == [rejected_row("", 1, "", "", row)["content"] for row in (ROW, late, mail)]


def test_a_row_without_a_source_or_a_name():
    faults = pl.DataFrame({"position": [1], "reason": ["r"], "detail": ["d"]})
    assert rejected(pl.DataFrame({"n": [1]}), faults).rows() == [("", 1, "r", "d", '{"n": 1}')]


def test_undecodable_bytes_are_shown():
    assert rejected_row("s", 1, "r", "d", "a \udc80 b")["content"] == "a \ufffd b"
