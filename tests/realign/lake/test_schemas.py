import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.lake.schemas import CHATS, PAIRS, RECORDS, REJECTED, row_fault, row_id

RECORD = {"example_id": "a", "capability": "facts", "slice": "", "prompt": "p", "output": "o",
          "score": 1.0, "reference": "r"}
CHAT = {"row_id": "1", "messages": [{"role": "user", "content": "hi"}], "capability": "facts", "slice": "",
        "reference": "{}", "split": "train", "source": "s"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=5)
few = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize("schema", [RECORDS, PAIRS, CHATS, REJECTED])
def test_no_column_may_be_null(schema):
    assert not any(field.nullable for field in schema)


def test_row_id_is_the_hash_of_the_canonical_json():
    content = [{"role": "user", "content": "hé"}]
    text = json.dumps([content, "x"], sort_keys=True, separators=(",", ":"))
    assert row_id(content, "x") == hashlib.sha256(text.encode()).hexdigest()[:16]


@few
@given(st.dictionaries(st.text(max_size=3), VALUES, min_size=2, max_size=4))
def test_row_id_ignores_the_order_of_keys(content):
    assert row_id(content) == row_id(dict(reversed(content.items())))


@few
@given(VALUES, VALUES)
def test_row_id_tells_contents_apart(a, b):
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (row_id(a) == row_id(b)) == same


def test_row_id_does_not_run_fields_together():
    assert row_id("ab", "c") != row_id("a", "bc")


def test_a_fitting_row_has_no_fault():
    assert row_fault(RECORD, RECORDS) is None
    assert row_fault(CHAT, CHATS) is None


@pytest.mark.parametrize(("change", "reason"), [
    ({"score": None}, "missing_field"),
    ({"score": "1"}, "wrong_type"),
    ({"score": True}, "wrong_type"),
    ({"prompt": 3}, "wrong_type"),
    ({"prompt": "\ud800"}, "invalid_utf8"),
    ({"extra": 1}, "unknown_field"),
])
def test_the_fault_of_a_row_is_named(change, reason):
    assert row_fault({**RECORD, **change}, RECORDS)[0] == reason


@pytest.mark.parametrize("messages", ["hi", [["user", "hi"]], [{"role": "user", "content": None}],
                                      [{"role": "user", "content": 3}]])
def test_the_fault_of_a_message_is_found(messages):
    assert row_fault({**CHAT, "messages": messages}, CHATS)[0] == "wrong_type"
