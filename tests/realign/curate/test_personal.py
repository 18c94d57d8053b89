import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.personal import SUSPECT, luhn, personal_data, redact

# Card numbers that the networks publish for tests.
CARDS = ["4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "6011111111111117",
         "30569309025904", "3530111333300000", "2223003122003222"]
FOUND = [
    *((card, "card") for card in CARDS),
    ("ann.lee+list@mail.firm.co.uk", "email"),
    ("(212) 555-7890", "phone"), ("212-555-7890", "phone"), ("1-212-555-7890", "phone"),
    ("212.555.7890", "phone"),
    ("+44 20 7946 0958", "phone"), ("+4915112345678", "phone"), ("+33 1 42 68 53 00", "phone"),
    ("078-05-1120", "ssn"), ("8.8.8.8", "ip"), ("2001:4860:4860::8888", "ip"),
]
INNOCENT = [
    "4111 1111 1111 1112", "1234567890123456", "3.1415926535897932", "What is 2125557890 + 1?",
    "000-12-3456", "666-12-3456", "912-34-5678", "123-00-4567", "192.168.0.1", "127.0.0.1",
    "999.1.1.1", "1.2.3",
    "12:30:45", "std::vector<int>", "2024-05-17", "10 + 5 - 3", "+5", "price @ 5", "a@b",
    "1,000,000,000,000,000",
    "0.2125557890", "pages 212-555",
]


@pytest.mark.parametrize(("text", "kind"), FOUND)
def test_is_found_in_a_sentence_and_hidden(text, kind):
    sentence = f"Reach me: {text}, please."
    assert personal_data(sentence) == [kind]
    assert redact(sentence) == f"Reach me: [{kind}], please."


@pytest.mark.parametrize("text", INNOCENT)
def test_is_not_personal(text):
    assert personal_data(f"Look: {text} there.") == []
    assert redact(text) == text


def test_several_kinds():
    text = "a@b.org or 078-05-1120 or c@d.org"
    assert personal_data(text) == ["email", "ssn"]
    assert redact(text) == "[email] or [ssn] or [email]"


@settings(deadline=None)
@given(st.integers(0, 10**18), st.integers(1, 9))
def test_luhn_sees_every_wrong_digit(number, change):
    digits = str(number)
    check = next(str(d) for d in range(10) if luhn(digits + str(d)))
    assert sum(luhn(digits + str(d)) for d in range(10)) == 1
    where = random.Random(number).randrange(len(digits))
    wrong = digits[:where] + str((int(digits[where]) + change) % 10) + digits[where + 1:]
    assert not luhn(wrong + check)


@settings(deadline=None)
@given(st.text())
def test_nothing_is_left_to_find(text):
    assert personal_data(redact(f"{text} a@b.org 8.8.8.8")) == []


PARTS = st.sampled_from([*"0123456789 .-:+()@a", "٣", "²", "f", "::", "ann@firm.org", "212", "8.8", "ſ", "K"])


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(PARTS, max_size=24).map("".join) | st.sampled_from([text for text, _ in FOUND]), max_size=8))
def test_what_is_found_is_suspect(texts):
    suspect = pl.Series(texts, dtype=pl.String).str.contains(SUSPECT)
    assert [t for t, s in zip(texts, suspect, strict=True) if personal_data(t) and not s] == []


def test_few_innocent_texts_are_suspect():
    innocent = ["12:30:45", "2024-05-17", "3 + 4 = 7", "10+5-3", "price @ 5", "2125557890 + 1?", "pages 212-555"]
    assert pl.Series(innocent).str.contains(SUSPECT).to_list() == [True, *[False] * 6]
