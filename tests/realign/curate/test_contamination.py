import json
import math

import oracle
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.contamination import Index, Match, decontamination, evaluation_index, index
from realign.curate.text import texts_of
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


def spelt(first: int, after: int) -> str:
    return " ".join(WORDS[first:after])


@pytest.mark.parametrize("length", range(5, 10))
def test_a_short_row_is_held_whole_and_in_order_whatever_stands_around(length):
    found = index_evaluation([("e", spelt(0, length))])
    assert contaminated(f"x y {spelt(0, length)} z", found) == Match("e", 1.0)
    assert contaminated(f"{spelt(0, length - 1)} other", found) is None
    assert contaminated(spelt(0, length - 1), found) is None
    assert contaminated(f"{spelt(length // 2, length)} {spelt(0, length // 2)}", found) is None


@pytest.mark.parametrize("length", [10, 19])
def test_of_a_longer_row_the_sentences_may_change_places_but_no_word(length):
    found = index_evaluation([("e", spelt(0, length))])
    text = f"{spelt(5, length)} and {spelt(0, 5)}"
    assert contaminated(text, found).evaluation_id == "e"
    assert contaminated(text.replace("w0", "other"), found) is None


def test_of_a_long_row_half_of_the_runs_of_three_words_are_enough():
    found = index_evaluation([("e", spelt(0, 22))])  # 20 runs
    assert contaminated(spelt(0, 12), found) == Match("e", 0.5)
    assert contaminated(spelt(0, 11), found) is None
    assert contaminated(" ".join(f"{spelt(i, i + 4)} other" for i in range(0, 22, 4)), found) is None  # no 5 in a row


def test_what_many_rows_share_is_little_evidence():
    template = [f"{spelt(0, 15)} {spelt(20 * i, 20 * i + 12)}" for i in range(1, 11)]
    assert contaminated(spelt(0, 15), index_evaluation([("e", template[0])])) == Match("e", 13 / 25)
    assert contaminated(spelt(0, 15), index_evaluation(list(zip("abcdefghij", template, strict=True)))) is None


def test_the_words_must_stand_in_one_row_of_either_side():
    halves = [("a", spelt(0, 60)), ("b", spelt(60, 120))]
    rows = [[spelt(0, 20)], [spelt(20, 30), spelt(30, 52)], [spelt(62, 70), spelt(80, 90), spelt(100, 120)]]
    assert found_in(rows, index_evaluation(halves)).keys() == {1, 2}


def test_a_question_below_five_words_must_be_a_whole_text_and_a_short_answer_is_none():
    found = index(["a b c d e f", "Who knows?"], ["long", "short"], ["Lima"], ["short"])
    assert contaminated("a b c d", found) is None
    assert contaminated("who   KNOWS", found) == Match("short", 1.0)
    assert contaminated("who knows him", found) is None and contaminated("Lima", found) is None


def test_answers_are_found_as_questions_are():
    found = index(["who knows"], ["e"], ["Nobody, I fear, has heard of it."], ["e"])
    assert contaminated("Well. nobody i fear has heard of it", found) == Match("e", 1.0)


def test_punctuation_alone_is_compared_as_it_is():
    index = index_evaluation([("e", "?!"), ("empty", "  ")])
    assert contaminated("?!", index) == Match("e", 1.0)
    assert contaminated("...", index) is None
    assert contaminated("", index) is None


@pytest.mark.parametrize("text", [
    "WHICH RIVER RUNS THROUGH CAFE EUROPA?", "Whісh rіver runs thrоugh Café Europа",
    "Which ri\u200bver ru\u00adns through Cafe\u0301 Europa", "Which—river; runs. (through) [cafe] *Europa*",
    "Ｗｈｉｃｈ river runs through 𝐂𝐚𝐟𝐞 Europa",
])
def test_what_looks_alike_is_equal(text):
    assert contaminated(text, index_evaluation([("e", "Which river runs through Café Europa?")])) == Match("e", 1.0)


def test_one_text_or_all_together_contaminate_a_row():
    question = " ".join(WORDS[:20])
    rows = [[" ".join(WORDS[100:120]), "fine"], [question.upper(), " ".join(WORDS[200:300])],
            ["one two", "three four"], ["six seven eight", "nine ten"], ["six seven eight", "", "ten"], []]
    found = index_evaluation([("q", question), ("r", "one two three four"), ("s", "six seven eight nine ten")])
    assert found_in(rows, found) == {1: Match("q", 1.0), 2: Match("r", 1.0), 3: Match("s", 1.0)}
    assert found_in([], found) == {} and found_in(rows, index([], [])) == {}


TOKEN = st.sampled_from(["a", "b", "c", "3", "+", "-4", "?!", "(", ")", "2.5", "é", "а", "b\u200bc", "\ua7cb", "\n"])
TEXT = st.lists(TOKEN, max_size=30).map(" ".join) | st.lists(st.sampled_from("abcde"), max_size=40).map(" ".join)


@settings(deadline=None, max_examples=75)
@given(st.lists(st.lists(TEXT, max_size=3), max_size=6), st.lists(TEXT, max_size=5), st.lists(TEXT, max_size=2),
       st.data())
def test_finds_what_the_definition_finds(rows, evaluation, answers, data):
    if evaluation:  # and rows that hold most of an evaluation row, with words exchanged, cut anywhere into texts
        words = data.draw(st.sampled_from(evaluation)).split(" ")
        cut = sorted(data.draw(st.tuples(*[st.integers(0, len(words))] * 2)))
        changed = data.draw(st.sets(st.integers(0, len(words) - 1), max_size=4))
        words = ["other" if at in changed else word for at, word in enumerate(words)]
        rows = [*rows, [" ".join(words[:cut[0]]), " ".join(words[cut[0]:cut[1]])], [" ".join(words[cut[0]:])],
                [" ".join(words[cut[1]:]), " ".join(words[:cut[1]])]]
    asked, told = ([(f"{kind}{i}", text) for i, text in enumerate(texts)]
                   for kind, texts in (("q", evaluation), ("a", answers)))
    slow = oracle.index_evaluation(asked, told)
    expected = {i: match for i, texts in enumerate(rows) if (match := oracle.contamination(texts, slow))}
    fast = index(evaluation, [name for name, _ in asked], answers, [name for name, _ in told])
    assert found_in(rows, fast) == expected


def chat(name: str, *texts: str) -> dict:
    return {"row_id": name, "messages": [{"role": "user", "content": text} for text in texts], "capability": "facts",
            "slice": "", "reference": "{}", "split": "evaluation", "source": "s"}


def test_the_evaluation_rows_of_folders_are_indexed_by_what_they_ask_and_answer(tmp_path):
    ask, told, both = "Pray what is the name of it", "Nobody has told me the name", "I have no idea at all"
    rows = [chat("b", "who cares"), chat("c", ask) | {"reference": json.dumps({"answer": told})},
            chat("d", "who") | {"reference": json.dumps({"exact": both})},
            chat("e", "where") | {"reference": json.dumps({"exact": both, "rivals": ["one two three four five"]})}]
    write(frame([chat("a", "be brief", "who knows"), chat("none")], CHATS), tmp_path / "one" / "one.parquet", CHATS)
    write(frame(rows, CHATS), tmp_path / "two" / "two.parquet", CHATS)
    found = evaluation_index(tmp_path / "one", tmp_path / "two")
    texts = "who knows", "who cares", f"{ask}?", f"{told}!", "be brief", both, "one two three four five"
    assert [match and match.evaluation_id for match in (contaminated(text, found) for text in texts)] == [
        "a", "b", "c", "c", None, None, None]


@pytest.mark.parametrize("reference", ["Bergen", '["Bergen"]'])
def test_a_reference_that_is_no_object_is_named_with_its_row(reference, tmp_path):
    write(frame([chat("a", "who knows") | {"reference": reference}], CHATS), tmp_path / "one.parquet", CHATS)
    with pytest.raises(UserError, match=r"evaluation row a, reference: found .*Bergen"):
        evaluation_index(tmp_path)


def test_a_folder_without_evaluation_rows_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds no evaluation rows"):
        evaluation_index(tmp_path)


def test_the_metric():
    metric = decontamination(1, 10)
    assert (metric.value, metric.n) == (0.9, 10)
    assert metric.low == pytest.approx(0.5958, abs=1e-4) and metric.high == pytest.approx(0.9821, abs=1e-4)
    assert math.isnan(decontamination(0, 0).value)
