import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.decontaminate import (
    Match, contaminated, contamination_fault, decontaminate, decontamination, index_evaluation,
)
from realign.curate.text import normalise
from realign.lake.schemas import REJECTED, row_fault

WORDS = [f"w{i}" for i in range(400)]


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


def row(name: str, *texts: str) -> dict:
    return {"row_id": name, "texts": list(texts), "source": "f.jsonl"}


def test_planted_rows_are_found_and_the_others_kept():
    question = " ".join(WORDS[:20])
    rows = [row("clean", " ".join(WORDS[100:120]), "fine"),
            row("copied", question.upper(), " ".join(WORDS[200:300])),
            row("split", "one two", "three four")]
    index = index_evaluation([("q", question), ("r", "one two three four")])
    kept, rejected = decontaminate(rows, lambda r: r["texts"], index)
    assert kept == rows[:1]
    assert [(r["position"], r["reason"], r["source"]) for r in rejected] == [
        (2, "contaminated", "f.jsonl"), (3, "contaminated", "f.jsonl")]
    assert "evaluation row q" in rejected[0]["detail"] and "copied" in rejected[0]["detail"]
    assert all(row_fault(r, REJECTED) is None for r in rejected)
    assert contamination_fault(["nothing here"], index) is None


def test_the_metric():
    metric = decontamination(1, 10)
    assert (metric.value, metric.n) == (0.9, 10)
    assert metric.low == pytest.approx(0.5958, abs=1e-4) and metric.high == pytest.approx(0.9821, abs=1e-4)
    assert math.isnan(decontamination(0, 0).value)
