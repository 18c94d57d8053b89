"""Pairs whose worse side is a right response with one value exchanged."""

from realign.evaluate.scorers import by_reference
from realign.verify.reference import Reference
from stages.srf import pairs

LIMA = Reference(answer="Lima", rivals=("Quito", "Bogota"), subject=("capital", "Peru"))
DRESSED = "The capital of Peru is Lima. Shall we talk about Peru?"


def chat(reference: Reference) -> dict:
    return {"row_id": "1", "messages": [{"role": "user", "content": "What is the capital of Peru?"}], "source": "demo",
            "reference": reference.to_json()}


def test_the_best_response_forged_loses_against_itself_and_against_the_plainest_right_one():
    rows = pairs.forged([chat(LIMA)], [["Quito.", "Lima.", DRESSED]], by_reference, 0)
    assert [row["chosen"] for row in rows] == [DRESSED, "Lima."]
    assert {row["rejected"] for row in rows} < {DRESSED.replace("Lima", other) for other in LIMA.rivals}
    assert [(row["chosen_score"], row["rejected_score"]) for row in rows] == [(1.0, 0.0), (0.6, 0.0)]
    assert {row["preference_type"] for row in rows} == {"right"} and len({row["row_id"] for row in rows}) == 2


def test_one_right_response_makes_one_pair():
    (row,) = pairs.forged([chat(LIMA)], [["Lima.", "Quito."]], by_reference, 0)
    assert row["chosen"] == "Lima." and row["rejected"] in ("Quito.", "Bogota.")


def test_a_sum_is_forged_where_it_decides_and_throughout():
    text = "3 + 4 = 7. Ada has 7 keys."
    rows = pairs.forged([chat(Reference(number=7, subject=("=",)))], [[text]], by_reference, 0)
    assert [row["chosen"] for row in rows] == [text, text]
    only_last, throughout = (row["rejected"] for row in rows)
    assert only_last.startswith("3 + 4 = 7. Ada has ") and only_last != text
    assert "7" not in throughout and throughout.startswith("3 + 4 = ")


def test_nothing_is_forged_without_a_right_response_or_a_value():
    unknown = chat(Reference(refuse=True))
    responses = [["Quito.", ""], [], ["I do not know."]]
    assert pairs.forged([chat(LIMA), chat(LIMA), unknown], responses, by_reference, 0) == []


def test_the_same_seed_forges_the_same():
    once, again = (pairs.forged([chat(LIMA)], [[DRESSED]], by_reference, 3) for _ in range(2))
    assert once == again
