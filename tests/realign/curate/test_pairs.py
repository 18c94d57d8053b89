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


def test_the_best_response_stands_against_itself_with_another_value():
    (row,) = pairs([chat(LIMA)], [["Quito.", "Lima.", DRESSED]])
    assert row["chosen"] == DRESSED
    assert row["rejected"] in {DRESSED.replace("Lima", other) for other in LIMA.rivals}
    assert (row["chosen_score"], row["rejected_score"], row["preference_type"]) == (1.0, 0.0, "right")


def test_sums_are_forged_in_the_last_number_and_throughout():
    text = "3 + 4 = 7. Ada has 7 keys."
    sums = [chat(Reference(number=7, subject=("=",))) | {"row_id": str(i)} for i in range(20)]
    found = [row["rejected"] for row in pairs(sums, [[text]] * 20)]
    only_last = [f for f in found if f.startswith("3 + 4 = 7. Ada has ")]
    throughout = [f for f in found if "= 7." not in f and f.startswith("3 + 4 = ")]
    assert only_last and throughout and len(only_last) + len(throughout) == 20 and text not in found


def test_nothing_is_forged_without_a_right_response_or_a_value():
    unknown = chat(Reference(refuse=True))
    responses = [["Quito.", ""], [], ["I do not know."]]
    assert pairs([chat(LIMA), chat(LIMA), unknown], responses) == []


def test_the_same_seed_forges_the_same():
    once, again = (pairs([chat(LIMA)], [[DRESSED]], 3) for _ in range(2))
    assert once == again
