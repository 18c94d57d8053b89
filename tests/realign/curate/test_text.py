import oracle
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.text import CHAT_TEXTS, PAIR_TEXTS, normalise, normalised, seen_alike

# Every character of the planes in use, and some of those where nothing is assigned.
CODES = [*range(0xD800), *range(0xE000, 0x18E00), *range(0x1AF00, 0x32400, 3), *range(0x32400, 0x110000, 1009),
         *range(0xE0000, 0xE0200)]
EVERY = [chr(code) for code in CODES]
any_text = st.text(st.characters(exclude_categories=["Cs"]))
# What the rules for numbers look at, and what NFKC makes such signs of.
sums = st.text(st.sampled_from([*"0123 ()-+−*×/÷^.a_,\n\t\x1c\x85²½٣＋₋ΣςİſﬁÅ각\ufdd0\u0301\ua7cb\U00016d40"]),
               max_size=12)


def column(texts: list[str]) -> list[str]:
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    return frame.select(normalised(pl.col("text")))["text"].to_list()


@pytest.mark.parametrize(("text", "normal"), [
    ("  Hello,\n\tWORLD!! ", "hello world"),
    ("Ｆｕｌｌ－ｗｉｄｔｈ ﬁne", "full width fine"),
    ("`code` **bold** | cell |", "code bold cell"),
    ("it's well-known", "it s well known"),
    ("हिन्दी!", "हिन्दी"),
    ("3 + 4", "3 plus 4"),
    ("(3+4)*2", "3 plus 4 times 2"),
    ("1+2+3-4", "1 plus 2 plus 3 minus 4"),
    ("1.2.3.4", "1 point 2 point 3 point 4"),
    ("(a) - (b)", "a minus b"),
    ("2--3 a-3 --4", "2 minus minus 3 a 3 minus minus 4"),
    ("12 − 5 = 7", "12 minus 5 7"),
    ("at -4.5 °C", "at minus 4 point 5 °c"),
    ("- 4 apples", "4 apples"),
    ("costs $5", "costs $5"),
    ("ΟΔΟΣ", "οδος"),
    ("👍", "👍"),
    ("?!", "?!"),
    (" ? \n !", "? !"),
    ("", ""),
])
def test_worked_examples(text, normal):
    assert normalise(text) == normal
    assert column([text]) == [normal]


@pytest.mark.parametrize(("a", "b"), [("12 * 5", "12 / 5"), ("12 - 5", "12 + 5"), ("3.14", "314"),
                                      ("-5", "5"), ("👍", "👎"), ("ही", "हि")])
def test_different_things_stay_different(a, b):
    assert normalise(f"What is {a}?") != normalise(f"What is {b}?")


@pytest.mark.parametrize("form", ["{}", "1{}2", "{}\u0301 "])
def test_a_column_is_normalised_as_its_texts_are_for_every_character(form):
    texts = [form.format(char) for char in EVERY]
    expected, found = [normalise(text) for text in texts], column(texts)
    assert [t for t, a, b in zip(texts, expected, found, strict=True) if a != b] == []


@pytest.mark.parametrize("form", ["{}", "a{}b 1{}2", "{}\u0301 —", "{}à"])
def test_what_looks_alike_is_equal_for_every_latin_greek_and_cyrillic_letter(form):
    texts = pl.Series([form.format(char, char) for char in map(chr, range(0x530))])
    found = seen_alike(texts, pl.Series(column(texts.to_list())))
    assert found.to_list() == [oracle.seen_alike(text) for text in texts]


@settings(deadline=None, max_examples=100)
@given(st.lists(any_text | sums | st.text("0 -+.(", max_size=10), max_size=8))
def test_a_column_is_normalised_as_its_texts_are(texts):
    assert column(texts) == [normalise(text) for text in texts]


@settings(deadline=None)
@given(any_text)
def test_white_space_is_single_and_never_at_the_ends(text):
    assert normalise(text) == " ".join(normalise(text).split())


@settings(deadline=None)
@given(st.lists(st.text("abcxyz", min_size=1), min_size=1, max_size=6), st.sampled_from([" ", ", ", " -- "]))
def test_case_and_punctuation_between_words_do_not_count(words, between):
    assert normalise(between.join(words).upper() + "!") == " ".join(words)


def test_the_texts_of_rows():
    rows = pl.DataFrame({"messages": [[{"role": "user", "content": "q"}], [], [{"role": "user", "content": "r"}] * 2],
                         "chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"]})
    assert rows.select(CHAT_TEXTS)["messages"].to_list() == [["q"], [], ["r", "r"]]
    assert rows.select(PAIR_TEXTS).to_series().to_list() == [["q", "a", "d"], ["b", "e"], ["r", "r", "c", "f"]]
