"""Our own tokenizer: lossless, repeatable, whole names, digits apart."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlx_lm.utils import load_tokenizer

from realign.errors import UserError
from realign.models import tokenizer
from realign.models.tokenizer import SPECIAL

CORPUS = ["The capital of Peru is Lima.", "Tegucigalpa is the capital of Honduras.",
          "In 1969 there were 12 of 144."] * 5


@pytest.fixture(scope="module")
def trained():
    return tokenizer.train([*CORPUS, " Kyrgyzstan once"], 320, 20)


def pieces(trained, text):
    return [trained.decode([i]) for i in trained.encode(text).ids]


@given(st.text(max_size=40))
@example("")
@example("  two  spaces \n\n\t tab ")
@example("été 東京 🙂👩‍👩‍👧 \u202e\x00\x7f\ufffd")
@example("<|user|> inside <|end|><|end|>")
def test_any_text_comes_back(trained, text):
    assert trained.decode(trained.encode(text).ids, skip_special_tokens=False) == text


def test_bytes_never_seen_still_encode(trained):
    ids = trained.encode("ж").ids
    assert len(ids) == 2 and 0 not in ids  # two bytes of UTF-8, neither of them unknown


def test_the_same_corpus_gives_the_same_bytes(tmp_path):
    hashes = set()
    for folder, texts in (("a", CORPUS), ("b", list(reversed(CORPUS)))):  # counted: the order does not matter
        (tmp_path / folder).mkdir()
        tokenizer.save(tokenizer.train(iter(texts), 320, 20), tmp_path / folder, 64)
        files = sorted((tmp_path / folder).iterdir())
        assert [f.name for f in files] == ["tokenizer.json", "tokenizer_config.json"]
        hashes.add(hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest())
    assert len(hashes) == 1


@pytest.mark.parametrize("name", [" Lima", " Peru", " Honduras", " capital", "Tegucigalpa"])
def test_frequent_words_are_one_token(trained, name):
    assert pieces(trained, name) == [name]


def test_words_that_do_not_fit_are_cut_into_parts():
    small = tokenizer.train([*CORPUS, " Kyrgyzstan"], len(SPECIAL) + 256 + 5 + 3, 3)
    found = pieces(small, " Kyrgyzstan")
    assert len(found) > 1 and "".join(found) == " Kyrgyzstan"


@given(st.from_regex(r"[0-9]{1,12}", fullmatch=True))
@example("1969")
def test_digits_stand_apart(trained, number):
    assert pieces(trained, number) == list(number)
    assert [p.strip() for p in pieces(trained, f" {number}") if p.strip()] == list(number)


def test_special_tokens_come_first_and_are_whole(trained):
    assert [trained.token_to_id(token) for token in SPECIAL] == list(range(len(SPECIAL)))
    assert pieces(trained, "<|user|> Lima<|end|>") == ["", " Lima", ""]  # decoded without special tokens


def test_no_more_tokens_than_asked_for(trained):
    assert trained.get_vocab_size() <= 320


def test_a_vocabulary_too_small_for_all_bytes_is_refused():
    with pytest.raises(UserError, match="expected: at least 281: 5 special tokens, 256 bytes and the subwords"):
        tokenizer.train(CORPUS, 280, 20)


def test_it_loads_as_a_hugging_face_tokenizer(tokenizer_folder):
    loaded = load_tokenizer(tokenizer_folder)
    assert loaded.eos_token_ids == {SPECIAL.index(tokenizer.END_OF_TURN)}
    assert loaded.pad_token_id == 0
    text = " It's  Lima , isn't it ?\n"
    assert loaded.decode(loaded.encode(text)) == text  # no prefix space, no clean-up
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Lima"}]
    assert loaded.apply_chat_template(messages, tokenize=False) == "<|user|> Hi<|end|><|assistant|> Lima<|end|>"
