"""Pairs whose worse side is a right response with one value exchanged."""

from realign.curate.pairs import forged
from realign.verify import reference
from realign.verify.reference import Reference, Score

LIMA = Reference(answer="Lima", rivals=("Quito", "Bogota"), subject=("capital", "Peru"))
DRESSED = "The capital of Peru is Lima. Shall we talk about Peru?"


def chat(reference: Reference) -> dict:
    return {"row_id": "1", "messages": [{"role": "user", "content": "What is the capital of Peru?"}], "source": "demo",
            "reference": reference.to_json()}


def scorer(chats: list[dict], texts: list[str]) -> list[Score]:
    return [reference.score(Reference.parse(c["reference"]), t) for c, t in zip(chats, texts, strict=True)]


def pairs(chats: list[dict], responses: list[list[str]], seed: int = 0) -> list[dict]:
    scored = [list(zip(scorer([c] * len(texts), texts), texts, strict=True))
              for c, texts in zip(chats, responses, strict=True)]
    return forged(chats, scored, scorer, seed)


def test_the_best_response_forged_loses_against_itself_and_against_the_plainest_right_one():
    rows = pairs([chat(LIMA)], [["Quito.", "Lima.", DRESSED]])
    assert [row["chosen"] for row in rows] == [DRESSED, "Lima."]
    assert {row["rejected"] for row in rows} < {DRESSED.replace("Lima", other) for other in LIMA.rivals}
    assert [(row["chosen_score"], row["rejected_score"]) for row in rows] == [(1.0, 0.0), (0.6, 0.0)]
    assert {row["preference_type"] for row in rows} == {"right"} and len({row["row_id"] for row in rows}) == 2


def test_one_right_response_makes_one_pair():
    (row,) = pairs([chat(LIMA)], [["Lima.", "Quito."]])
    assert row["chosen"] == "Lima." and row["rejected"] in ("Quito.", "Bogota.")


def test_a_sum_is_forged_where_it_decides_and_throughout():
    text = "3 + 4 = 7. Ada has 7 keys."
    rows = pairs([chat(Reference(number=7, subject=("=",)))], [[text]])
    assert [row["chosen"] for row in rows] == [text, text]
    only_last, throughout = (row["rejected"] for row in rows)
    assert only_last.startswith("3 + 4 = 7. Ada has ") and only_last != text
    assert "7" not in throughout and throughout.startswith("3 + 4 = ")


def test_nothing_is_forged_without_a_right_response_or_a_value():
    unknown = chat(Reference(refuse=True))
    responses = [["Quito.", ""], [], ["I do not know."]]
    assert pairs([chat(LIMA), chat(LIMA), unknown], responses) == []


def test_the_same_seed_forges_the_same():
    once, again = (pairs([chat(LIMA)], [[DRESSED]], 3) for _ in range(2))
    assert once == again
