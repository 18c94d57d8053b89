import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.decontaminate import index_evaluation
from realign.curate.quality import Limits, check_rows, data_quality, encoding_fault, repetition, text_fault
from realign.curate.text import chat_texts
from realign.lake.schemas import CHATS, REJECTED, row_fault
from realign.metrics import Metric, proportion

CLEAN = "The Baltic is a shallow sea in the north of Europe."


def chat(answer, name="r", **change) -> dict:
    messages = [{"role": "user", "content": "Tell me about a sea."}, {"role": "assistant", "content": answer}]
    return {"row_id": name, "messages": messages, "capability": "facts", "slice": "", "reference": "{}",
            "split": "train", "source": "f.jsonl"} | change


FAULTS = [
    ("missing_field", chat(CLEAN, capability=None)),
    ("wrong_type", chat(CLEAN, slice=3)),
    ("invalid_utf8", chat("a \udc80 b")),
    ("unknown_field", chat(CLEAN, extra=1)),
    ("empty_text", chat(" ")),
    ("encoding", chat("The Balt\ufffdc is a sea.")),
    ("too_short", chat("Yes")),
    ("too_long", chat(" ".join(f"w{i}" for i in range(200)))),
    ("repetition", chat("the sea is " * 10)),
    ("personal_data", chat("Write to ann@firm.org about it.")),
    ("duplicate", chat(CLEAN.upper())),
    ("contaminated", chat("Its deepest point lies at 459 metres, south of Stockholm, in the Landsort")),
]


def test_each_planted_fault_is_named_and_the_clean_row_stays():
    point = "Its deepest point lies at 459 metres, south of Stockholm, in the Landsort Deep."
    index = index_evaluation([("e", point)])
    limits = Limits(min_chars=5, max_chars=500)
    rows = [chat(CLEAN), *(row for _, row in FAULTS)]
    kept, rejected = check_rows(rows, chat_texts, CHATS, limits, index)
    assert kept == rows[:1]
    assert [r["reason"] for r in rejected] == [reason for reason, _ in FAULTS]
    assert [r["position"] for r in rejected] == list(range(2, len(rows) + 1))
    assert all(row_fault(r, REJECTED) is None for r in rejected)
    assert not any("ann@firm.org" in r["content"] for r in rejected)


def test_the_first_fault_counts():
    row = chat("\ufffd ann@firm.org")
    assert check_rows([row], chat_texts, CHATS)[1][0]["reason"] == "encoding"


def test_a_rejected_row_makes_no_later_row_a_duplicate():
    rows = [chat(CLEAN, capability=None), chat(CLEAN), chat(CLEAN)]
    kept, rejected = check_rows(rows, chat_texts, CHATS)
    assert kept == rows[1:2]
    assert "row 2" in rejected[1]["detail"]


@settings(deadline=None)
@given(st.lists(st.sampled_from([row for _, row in FAULTS] + [chat(f"{CLEAN} {i}") for i in range(4)])))
def test_counts_add_up(rows):
    kept, rejected = check_rows(rows, chat_texts, CHATS)
    assert len(kept) + len(rejected) == len(rows)


@pytest.mark.parametrize("text", ["naïve café", "It’s “fine” – really…", "Привет, мир", "Spaß“ sagte er",
                                  "日本語", "10 °C ± 2", "ÀÉÎÕÜ Ñandú", "🙂 ok", "tab\tand\nnew line"])
def test_good_text_has_no_encoding_fault(text):
    assert encoding_fault(text) is None


@pytest.mark.parametrize("text", ["café", "naïve", "It’s", "“quote”", "Привет", "10 °C", "€5", "🙂"])
def test_text_decoded_as_windows_1252_is_found(text):
    wrong = text.encode().decode("cp1252", "replace").replace("\ufffd", "")
    assert encoding_fault(wrong)[0] == "encoding"


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\x85b", "a\ufffdb"])
def test_signs_of_broken_bytes_are_found(text):
    assert encoding_fault(text)[0] == "encoding"


def test_repetition_by_hand():
    assert repetition(CLEAN) == 0
    assert repetition("a b c a b c") == 0  # twice is no evidence
    assert repetition("a b c a b c a b c") == pytest.approx(3 / 7)
    assert repetition("no " * 6) == 1
    assert repetition("yes\nno\nyes\nmaybe\nyes\n") == pytest.approx(3 / 5)
    sentence = " ".join(f"w{i}" for i in range(15))
    assert repetition(f"{sentence}. {sentence}") == pytest.approx(15 / 30)
    assert repetition(f"{sentence} {' '.join(f'v{i}' for i in range(15))}") == 0
    assert repetition("") == 0


def test_a_list_of_facts_is_no_repetition():
    text = " ".join(f"The capital of Land{i} is City{i}." for i in range(5))
    assert text_fault([text], Limits()) is None


def test_data_quality_is_a_share():
    assert data_quality(8, 10) == proportion(8, 10)
    assert math.isnan(data_quality(0, 0).value)


def test_data_quality_times_agreement():
    quality = data_quality(80, 100, proportion(90, 100))
    assert quality.value == pytest.approx(0.72)
    p, a = proportion(80, 100), proportion(90, 100)
    assert p.low * a.low < quality.low < quality.value < quality.high < p.high * a.high
    perfect = Metric(1.0, 100, 1.0, 1.0)
    same = data_quality(80, 100, perfect)
    assert (same.low, same.high) == (pytest.approx(p.low), pytest.approx(p.high))


def test_the_interval_of_the_product_covers_the_truth():
    import numpy as np
    rng = np.random.default_rng(0)
    p, a, n = 0.85, 0.9, 200
    hits = [data_quality(x, n, proportion(y, n)) for x, y in rng.binomial(n, [p, a], (2000, 2)).tolist()]
    assert 0.93 < np.mean([m.low <= p * a <= m.high for m in hits]) < 0.97
