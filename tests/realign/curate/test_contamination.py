import math
import random

import oracle
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.contamination import Index, Match, decontamination, evaluation_index, index
from realign.curate.text import normalise, texts_of
from realign.errors import UserError
from realign.lake.schemas import CHATS
from realign.lake.table import frame, write

WORDS = [f"w{i}" for i in range(400)]


def index_evaluation(rows: list[tuple[str, str]]) -> Index:
    return index([text for _, text in rows], [name for name, _ in rows])


def found_in(rows: list[list[str]], given_index: Index) -> dict[int, Match]:
    """The contaminated ones of rows of texts."""
    texts = texts_of(pl.DataFrame({"texts": rows}, {"texts": pl.List(pl.String)}), pl.col("texts"))
    return {row: Match(name, share) for row, name, share in given_index.faults(texts).iter_rows()}


def contaminated(text: str, given_index: Index) -> Match | None:
    return found_in([[text]], given_index).get(0)


def near(hits: int, total: int) -> tuple[str, str]:
    """An evaluation text, and one with `hits` of its `total` 13-grams in it: it goes on otherwise."""
    other = [f"x{i}" for i in range(total - hits)]
    return " ".join(WORDS[:200]), " ".join(WORDS[:hits + 12] + other)


def test_share_just_below_and_at_the_limit():
    evaluation, text = near(79, 100)
    assert contaminated(text, index_evaluation([("e", evaluation)])) is None
    evaluation, text = near(80, 100)
    assert contaminated(text, index_evaluation([("e", evaluation)])) == Match("e", 0.8)


def test_the_ngrams_must_stand_in_one_row():
    halves = [("a", " ".join(WORDS[:60])), ("b", " ".join(WORDS[60:120]))]
    assert contaminated(" ".join(WORDS[:120]), index_evaluation(halves)) is None


@pytest.mark.parametrize("length", range(5, 13))
def test_a_short_text_must_stand_whole_in_an_evaluation_row(length):
    index = index_evaluation([("e", " ".join(WORDS[:40]))])
    assert contaminated(" ".join(WORDS[7:7 + length]), index) == Match("e", 1.0)
    assert contaminated(" ".join([*WORDS[7:6 + length], "other"]), index) is None


def test_a_text_below_five_words_must_be_equal():
    index = index_evaluation([("long", "a b c d e f"), ("short", "Who knows?")])
    assert contaminated("a b c d", index) is None
    assert contaminated("who   KNOWS", index) == Match("short", 1.0)


def test_punctuation_alone_is_compared_as_it_is():
    index = index_evaluation([("e", "?!"), ("empty", "  ")])
    assert contaminated("?!", index) == Match("e", 1.0)
    assert contaminated("...", index) is None
    assert contaminated("", index) is None


def brute(text: str, evaluation: list[str]) -> bool:
    """The definition, word by word."""
    words = normalise(text).split()
    n = min(13, len(words))
    for row in evaluation:
        if normalise(row) == normalise(text) and words:
            return True
        if len(words) < 5:
            continue
        theirs = normalise(row).split()
        spots = [words[i:i + n] for i in range(len(words) - n + 1)]
        there = [theirs[i:i + n] for i in range(len(theirs) - n + 1)]
        if sum(s in there for s in spots) * 10 >= 8 * len(spots):
            return True
    return False


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_agrees_with_the_definition(seed):
    rng = random.Random(seed)
    def text():
        return " ".join(rng.choices("ab", k=rng.randint(1, 24)))
    evaluation = [text() for _ in range(5)]
    base = rng.choice(evaluation).split()
    candidate = " ".join(base[:rng.randint(0, len(base))] + text().split()[:rng.randint(0, 6)])
    found = contaminated(candidate, index_evaluation([(str(i), t) for i, t in enumerate(evaluation)]))
    assert (found is not None) == brute(candidate, evaluation)


def test_one_text_or_all_together_contaminate_a_row():
    question = " ".join(WORDS[:20])
    rows = [[" ".join(WORDS[100:120]), "fine"], [question.upper(), " ".join(WORDS[200:300])],
            ["one two", "three four"], ["2 +", "3 is five"], ["one", "?!", "two three four"], []]
    found = index_evaluation([("q", question), ("r", "one two three four"), ("s", "2 + 3 is five")])
    assert found_in(rows, found) == {1: Match("q", 1.0), 2: Match("r", 1.0), 3: Match("s", 1.0), 4: Match("r", 1.0)}
    assert found_in([], found) == {} and found_in(rows, index([], [])) == {}


TOKEN = st.sampled_from(["a", "b", "c", "3", "+", "-4", "?!", "(", ")", "2.5", "é", "\ua7cb", "\n"])
TEXT = st.lists(TOKEN, max_size=30).map(" ".join) | st.lists(st.sampled_from("ab"), max_size=40).map(" ".join)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(TEXT, max_size=3), max_size=6), st.lists(TEXT, max_size=5), st.data())
def test_finds_what_was_found_row_by_row(rows, evaluation, data):
    if evaluation:  # and rows that hold most of an evaluation row, cut anywhere into texts
        words = data.draw(st.sampled_from(evaluation)).split(" ")
        cut = sorted(data.draw(st.tuples(*[st.integers(0, len(words))] * 2)))
        rows = [*rows, [" ".join(words[:cut[0]]), " ".join(words[cut[0]:cut[1]])], [" ".join(words[cut[0]:])]]
    named = [(str(i), text) for i, text in enumerate(evaluation)]
    old = oracle.index_evaluation(named)
    expected = {i: fault[1] for i, texts in enumerate(rows) if (fault := oracle.contamination_fault(texts, old))}
    found = {i: f"{match.share:.0%} of it stands in evaluation row {match.evaluation_id}"
             for i, match in found_in(rows, index_evaluation(named)).items()}
    assert found == expected


def chat(name: str, *texts: str) -> dict:
    return {"row_id": name, "messages": [{"role": "user", "content": text} for text in texts], "capability": "facts",
            "slice": "", "reference": "{}", "split": "evaluation", "source": "s"}


def test_the_evaluation_rows_of_a_folder_are_indexed_by_what_they_ask(tmp_path):
    write(frame([chat("a", "be brief", "who knows"), chat("none")], CHATS), tmp_path / "one.parquet", CHATS)
    write(frame([chat("b", "who cares"), chat("c", "Who knows?")], CHATS), tmp_path / "two.parquet", CHATS)
    found = evaluation_index(tmp_path)
    assert [contaminated(text, found) for text in ("who knows", "who cares", "be brief")] == [
        Match("a", 1.0), Match("b", 1.0), None]


def test_a_folder_without_evaluation_rows_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds no evaluation rows"):
        evaluation_index(tmp_path)


def test_the_metric():
    metric = decontamination(1, 10)
    assert (metric.value, metric.n) == (0.9, 10)
    assert metric.low == pytest.approx(0.5958, abs=1e-4) and metric.high == pytest.approx(0.9821, abs=1e-4)
    assert math.isnan(decontamination(0, 0).value)
