"""The same text in other words: always different, never in content."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.evaluate.paraphrase import CONTRACTIONS, paraphrase

pieces = st.sampled_from(["it is", "It's", "I do not", "you're", "don’t", "won't", "it is not", "cannot", "know",
                          "Lima", "I would", "I'd", "been", "better", "?", ".", "...", "!", "\n", "That is", "IT IS",
                          "can't"])


def written_out(text: str) -> list[str]:
    """The words of a text, contractions written out."""
    plain = text.lower().replace("’", "'")
    for long, short in CONTRACTIONS:
        plain = re.sub(rf"\b{re.escape(short.lower())}\b", long.lower(), plain)
    return re.findall(r"[\w']+", plain)


@pytest.mark.parametrize(("text", "expected"), [
    ("I do not know.", "I don't know"), ("I don’t know", "I do not know."), ("It is Lima!", "It's Lima!."),
    ("Don't ask me.", "Do not ask me"), ("It's been long.", "It's been long"),
    ("I know what it is.", "I know what it is"),
    ("Shall we?", "Shall we??"), ("Shall we??", "Shall we?"), ("", "."), (".", ""), ("disk is not", "disk is not.")])
def test_worked_examples(text, expected):
    assert paraphrase(text) == expected


@given(st.lists(pieces, max_size=12).map(" ".join) | st.text(max_size=60))
def test_it_differs_keeps_the_words_and_goes_back(text):
    other = paraphrase(text)
    assert other != text
    assert written_out(other) == written_out(text)
    assert written_out(paraphrase(other)) == written_out(text)


@given(st.lists(st.sampled_from(["tea", "do not", "it is", "Peru", "I am"]), min_size=1, max_size=6))
def test_twice_is_the_text_itself_where_its_contractions_do_not_meet(parts):
    text = " and ".join(parts) + " now."
    assert paraphrase(paraphrase(text)) == text


@given(st.text(max_size=40))
def test_a_question_stays_one_and_a_statement_stays_one(text):
    assert paraphrase(text).endswith("?") == (text.endswith("?") or text.endswith("?."))
