import math
import random
from pathlib import Path

import numpy as np
import oracle
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign import paths
from realign.curate import checks, contamination
from realign.curate.checks import Limits, check, check_all, data_quality, encoding_fault
from realign.curate.seen import Seen
from realign.curate.text import CHAT_TEXTS, PAIR_TEXTS
from realign.lake.schemas import CHATS, PAIRS, REJECTED
from realign.lake.table import frame
from realign.metrics import Metric, proportion
from stages.demo.world import World, rows

CLEAN = "The Baltic is a shallow sea in the north of Europe."
POINT = "Its deepest point lies at 459 metres, south of Stockholm, in the Landsort Deep."
LIMITS = Limits(min_chars=5, max_chars=500)


def chat(answer, name="r", **change) -> dict:
    messages = [{"role": "user", "content": "Tell me about a sea."}, {"role": "assistant", "content": answer}]
    return {"row_id": name, "messages": messages, "capability": "facts", "slice": "", "reference": "{}",
            "split": "train", "source": "f.jsonl"} | change


def pair(prompt: str, chosen: str, rejected: str, name: str = "r") -> dict:
    return {"row_id": name, "prompt_id": "p", "messages": [{"role": "user", "content": prompt}], "chosen": chosen,
            "rejected": rejected, "chosen_score": 1.0, "rejected_score": 0.0, "preference_type": "", "split": "train",
            "source": "demo"}


FAULTS = [
    ("empty_text", chat(" \x1c ")),
    ("encoding", chat("The Balt\ufffdc is a sea.")),
    ("too_short", chat("Yes")),
    ("too_long", chat(" ".join(f"w{i}" for i in range(200)))),
    ("repetition", chat("the sea is " * 10)),
    ("personal_data", chat("Write to ann@firm.org about it.")),
    ("duplicate", chat(CLEAN.upper())),
    ("contaminated", chat(f"Yes. {POINT.upper()} It is cold there.")),
]


def both(given_rows: list[dict], schema=CHATS, limits=LIMITS, evaluation=(("e", POINT),), sizes=(1000,)):
    """The new checks, in batches of each of these sizes, beside the old ones: their kept and rejected rows, which must
    be equal."""
    texts, old_texts = (CHAT_TEXTS, oracle.chat_texts) if schema is CHATS else (PAIR_TEXTS, oracle.pair_texts)
    index = contamination.index([text for _, text in evaluation], [name for name, _ in evaluation])
    expected = oracle.check_rows(given_rows, old_texts, limits, oracle.index_evaluation(evaluation))
    for batch in sizes:
        frames = [frame(given_rows[i:i + batch], schema) for i in range(0, len(given_rows), batch)]
        kept, rejected = [frame([], schema)], [frame([], REJECTED)]
        for good, bad in check_all(frames, texts, limits, index):
            kept.append(good)
            rejected.append(bad)
        found = pl.concat(kept), pl.concat(rejected)
        assert [each.to_dicts() for each in found] == list(expected)
    return found


def test_each_planted_fault_is_named_and_the_clean_row_stays():
    given_rows = [chat(CLEAN), *(row for _, row in FAULTS)]
    kept, rejected = both(given_rows)
    assert kept.to_dicts() == given_rows[:1]
    assert rejected["reason"].to_list() == [reason for reason, _ in FAULTS]
    assert rejected["position"].to_list() == list(range(2, len(given_rows) + 1))
    assert rejected.schema == frame([], REJECTED).schema and kept.schema == frame([], CHATS).schema
    assert not rejected["content"].str.contains("ann@firm.org").any()


def test_the_first_fault_counts():
    assert both([chat("\ufffd ann@firm.org")])[1]["reason"].to_list() == ["encoding"]


def test_a_rejected_row_makes_no_later_row_a_duplicate():
    kept, rejected = both([chat(POINT), chat(POINT), chat(CLEAN, name="first"), chat(CLEAN)])
    assert kept["row_id"].to_list() == ["first"]
    assert rejected["reason"].to_list() == ["contaminated", "contaminated", "duplicate"]
    assert "row 3" in rejected["detail"][2]


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_positions_and_duplicates_are_counted_over_batches(batch):
    names = "abcabcdaeb"
    given_rows = [chat(f"{CLEAN} {name}", name=str(i)) for i, name in enumerate(names)]
    kept, rejected = both(given_rows, sizes=[batch])
    assert kept["row_id"].to_list() == ["0", "1", "2", "6", "8"]
    assert rejected["position"].to_list() == [4, 5, 6, 8, 10]
    assert [detail.split()[-1] for detail in rejected["detail"]] == ["1", "2", "3", "1", "2"]


def test_no_rows_and_rows_without_texts():
    assert [each.height for each in both([])] == [0, 0]
    empty = frame([], CHATS)
    assert [each.height for each in check(empty, CHAT_TEXTS)] == [0, 0]
    kept, rejected = both([chat("", messages=[], name="a"), chat("", messages=[], name="b"), chat(CLEAN)])
    assert kept["row_id"].to_list() == ["a", "r"] and rejected["reason"].to_list() == ["duplicate"]


def test_seen_goes_from_one_check_to_the_next():
    seen, first = Seen(), frame([chat(CLEAN), chat("Yes, it is.")], CHATS)
    assert check(first, CHAT_TEXTS, seen=seen)[0].height == 2
    kept, rejected = check(first, CHAT_TEXTS, seen=seen)
    assert kept.height == 0 and rejected["position"].to_list() == [3, 4]
    assert "same text as row 2" in rejected["detail"][1] and seen.rows == 4


@pytest.fixture(scope="module")
def world() -> dict[str, list[dict]]:
    """The demo's chats, and pairs made up from them."""
    size = World(seed=7, train=60, validation=15, prompts=60, test=15, development=1, evaluation=20, reserve=1,
                 sealed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "TABLES", Path(__file__).parents[3] / paths.TABLES)
        chats, asked = rows(size, "train", size.train, True), rows(size, "evaluation", size.evaluation, False)
    rng, answers = random.Random(0), [row["messages"][-1]["content"] for row in chats]
    pairs = [pair(row["messages"][0]["content"], row["messages"][1]["content"], rng.choice(answers), row["row_id"])
             for row in chats]
    return {"chats": chats, "pairs": pairs, "evaluation": [(r["row_id"], r["messages"][-1]["content"]) for r in asked]}


@pytest.mark.parametrize(("name", "schema"), [("chats", CHATS), ("pairs", PAIRS)])
def test_the_demos_rows_are_kept_and_rejected_as_they_were(world, name, schema):
    given_rows = list(world[name])
    given_rows += [row | {"row_id": f"copy {i}"} for i, row in enumerate(given_rows[::9])]
    kept, rejected = both(given_rows, schema, Limits(), world["evaluation"], [97, 10_000])
    assert kept.height > 100 and rejected.height > len(world[name]) // 10
    assert "duplicate" in rejected["reason"].to_list()


WORDS = st.sampled_from(["the", "sea", "is", "deep", "3", "4.5", "-2", "+", "*", "cold,", "in", "a", "(north)", "of",
                         "\n", "\n- ", "é", "ﬁ", "Ω", "日本"])
PROSE = st.lists(WORDS, max_size=60).map(" ".join)
SPOILT = st.sampled_from([
    "ann@firm.org", "+44 20 7946 0958", "(212) 555-7890", "078-05-1120", "8.8.8.8", "2001:4860:4860::8888", "é".encode()
    .decode("cp1252"), "â€™", "\ufffd", "\x00", "\x85", "4111 1111 1111 1111", "٣٣٣-٣٣-٣٣٣٣", "+3+4+5", "\ua7cb", "Σ"])
LOOPS = st.tuples(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), st.integers(2, 6), st.sampled_from(
    [" ", "\n", ". ", "\u2028", "\r\n", " + "])).map(lambda drawn: drawn[2].join([drawn[0]] * drawn[1]))
COPIED = st.tuples(st.integers(0, 13), st.integers(0, 13)).map(lambda cut: " ".join(POINT.split()[min(cut):max(cut)]))
PIECES = st.lists(PROSE | LOOPS | COPIED | SPOILT | st.text(max_size=8), min_size=1, max_size=3).map(" ".join)
TEXTS = (PIECES | st.sampled_from(["", " ", "?!", "+", "3", "(a)", CLEAN, POINT, POINT.upper()])).map(
    lambda text: "".join(c for c in text if not 0xD800 <= ord(c) <= 0xDFFF))
EVALUATION = [("e", POINT), ("f", "the sea is deep"), ("g", "3 + 4"), ("h", "?!"), ("i", "in the north of the sea")]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=12), st.sampled_from([0.0, 0.2, 0.4, 1.0]),
       st.sampled_from([2, 7, 100]))
def test_random_rows_are_kept_and_rejected_as_they_were(drawn, repetition, batch):
    drawn = drawn + drawn[::3]
    given_rows = [pair(*texts, name=str(i)) for i, texts in enumerate(drawn)]
    both(given_rows, PAIRS, Limits(1, 400, repetition), EVALUATION, [batch])


@settings(deadline=None, max_examples=20)
@given(st.lists(st.lists(TEXTS, max_size=3), max_size=8))
def test_random_dialogues_are_kept_and_rejected_as_they_were(drawn):
    given_rows = [chat("", messages=[{"role": "user", "content": text} for text in texts]) for texts in drawn]
    both(given_rows, CHATS, Limits(0, 400, 0.4), EVALUATION)


def test_rows_are_looked_at_in_pieces_and_come_back_in_order(monkeypatch):
    monkeypatch.setattr(checks, "_PIECE_BYTES", 100)
    given_rows = [chat(f"{CLEAN} {i % 11}", name=str(i)) for i in range(40)]
    kept, rejected = both(given_rows)
    assert kept.height == 11 and rejected["position"].to_list() == list(range(12, 41))


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
    rng = np.random.default_rng(0)
    p, a, n = 0.85, 0.9, 200
    hits = [data_quality(x, n, proportion(y, n)) for x, y in rng.binomial(n, [p, a], (2000, 2)).tolist()]
    assert 0.93 < np.mean([m.low <= p * a <= m.high for m in hits]) < 0.97
