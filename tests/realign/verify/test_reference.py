"""The verifier: right and wrong answers of every kind, adversaries, and its error rates on the demo's questions."""

import json
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.errors import UserError
from realign.evaluate.paraphrase import paraphrase
from realign.verify.corrupt import corrupt
from realign.verify.reference import Reference, citations, offers, score, statement, verify
from stages.demo import chats

TABLES = Path("data/tables").resolve()
LIMA = Reference(answer="Lima", rivals=("Quito", "South America", "Bogota"), subject=("capital", "Peru"))
CITED = Reference(answer="salt", rivals=("flute", "spice"), citation=2, subject=("trade", "Tariq"))
SEVEN = Reference(number=7, subject=("=",))
NONE = Reference(refuse=True, rivals=("Lima", "Quito"), subject=("capital", "Velmunia"))
FORM = Reference(exact="Answer: Lima")

RIGHT = [
    (LIMA, "Lima"), (LIMA, "Lima."), (LIMA, "The capital of Peru is Lima."), (LIMA, "Sure.\nIt is LIMA!"),
    (LIMA, "It is Lima. Would you like to hear about Quito?"), (LIMA, "It is Lima\nShall we talk about Quito next?"),
    (LIMA, "I do like Peru. Its capital, Lima, is old."), (LIMA, "Do you know Quito? Well, it is Lima."),
    (CITED, "The trade of Tariq is salt [2]."), (CITED, "Salt [2], see [2]."), (CITED, "[2] says salt. [2, 2]"),
    (SEVEN, "7"), (SEVEN, "Seven."), (SEVEN, "Anna has 7 cups."), (SEVEN, "3 + 4 = 7. Anna has 7 cups."),
    (SEVEN, "10-3=7"),
    (SEVEN, "Anna has 7.0 cups."), (SEVEN, "Anna had 11 and gave away 4, so she has 7."),
    (SEVEN, "Anna has 7 cups. Would you like 8 or 9?"), (SEVEN, "She does not have 6 cups any more but 7."),
    (SEVEN, "Anna has 3. Anna buys 4. Anna has 7."),
    (NONE, "I do not know."), (NONE, "I don't know the capital of Velmunia."), (NONE, "I don’t know."),
    (NONE, "No idea. Would you like to hear about Lima?"), (NONE, "The capital of Velmunia is not known to me."),
    (NONE, "I am not able to say what the capital of Velmunia is. It was a good day."), (NONE, "Not stated."),
    (NONE, "I never heard of Velmunia, so I do not know the capital of Velmunia."), (NONE, "I can't say."),
    (FORM, "Answer: Lima"), (FORM, " Answer: Lima\n"),
]
WRONG = [
    (LIMA, "", "missing"), (LIMA, "Quito.", "missing"), (LIMA, "Limassol.", "missing"),
    (LIMA, "Is it Lima?", "missing"),
    (LIMA, "Lima or Quito.", "also says Quito"), (LIMA, "It is Lima. It is quito.", "also says quito"),
    (LIMA, "Lima, Quito, Bogota, South America", "also says"), (LIMA, "I do not know. Lima.", "refuses"),
    (LIMA, "It is not Lima.", "denies"), (LIMA, "It isn't Lima.", "denies"),
    (LIMA, "It is not the city Lima.", "denies"),
    (LIMA, "What is the capital of Peru?", "missing"), (LIMA, "?", "missing"), (LIMA, "\n \n", "missing"),
    (CITED, "The trade of Tariq is salt.", "cites nothing"), (CITED, "It is salt [1].", "wrong passage"),
    (CITED, "It is salt [1][2][3].", "wrong passage"), (CITED, "It is salt [2] [1, 3].", "wrong passage"),
    (CITED, "It is salt [1-3].", "wrong passage"), (CITED, "It is salt [2", "cites nothing"),
    (CITED, "It is salt (2).", "cites nothing"), (CITED, "It is salt []. ", "cites nothing"),
    (CITED, "It is salt. See [2]?", "cites nothing"), (CITED, f"It is salt [{'2' * 9000}].", "wrong passage"),
    (CITED, "[1] The gift is flute.\n[2] The trade is salt.\n[3] The trade of Isabel is spice.", "also says"),
    (SEVEN, "Eight.", "wrong"), (SEVEN, "", "no number"), (SEVEN, "Anna has 17 cups.", "wrong"),
    (SEVEN, "Anna has -7 cups.", "wrong"), (SEVEN, "Anna has −7 cups.", "wrong"),
    (SEVEN, "Anna has 3.7 cups.", "wrong"),
    (SEVEN, "Anna has 1,007 cups.", "wrong"), (SEVEN, "3 + 4 = 7. Anna has 8 cups.", "wrong"),
    (SEVEN, "Anna has 6 or 7 cups.", "also says 6"), (SEVEN, "5, 6, 7", "also says 6"),
    (SEVEN, "Anna has 6 cups, maybe even 7.", "also says 6"), (SEVEN, "It lies between 6 and 7.", "not sure"),
    (SEVEN, "Anna does not have 7 cups.", "denies"), (SEVEN, "9" * 9000, "wrong"), (SEVEN, "Is it 7?", "no number"),
    (NONE, "", "answers"), (NONE, "Sure.", "answers"), (NONE, "Do you know? I do not!", "answers"),
    (NONE, "The capital of Velmunia is Lima.", "answers"), (NONE, "I do not know [2].", "yet cites"),
    (NONE, "I do not know. It is Lima.", "yet says Lima"), (NONE, "No idea, perhaps lima.", "yet says lima"),
    (NONE, "I do not know. The capital of Velmunia is Zork.", "yet answers"), (NONE, "Do I not know?", "answers"),
    (FORM, "Answer: Lima.", "form"), (FORM, "Lima", "form"), (FORM, "answer: Lima", "form"), (FORM, "", "form"),
    (FORM, "Answer: Lima Answer: Lima", "form"),
]


@pytest.mark.parametrize(("reference", "text"), RIGHT)
def test_right_answers_are_accepted(reference, text):
    right, why = verify(reference, text)
    assert right, why


@pytest.mark.parametrize(("reference", "text", "reason"), WRONG)
def test_wrong_answers_are_rejected_with_the_reason(reference, text, reason):
    right, why = verify(reference, text)
    assert not right and reason in why
    assert score(reference, text).value == 0


@pytest.mark.parametrize(("answer", "rival"), [("metal", "nonmetal"), ("gas", "noble gas"), ("C", "Co"), ("1", "12"),
                                               ("noble gas", "gas"), ("nonmetal", "metal")])
def test_a_rival_that_contains_the_answer_is_still_a_rival(answer, rival):
    reference = Reference(answer=answer, rivals=(rival,))
    assert verify(reference, f"It is {answer}.")[0]
    assert not verify(reference, f"It is {rival}.")[0]
    assert not verify(reference, f"It is {answer} or {rival}.")[0]


def test_case_tells_short_values_from_words():
    reference = Reference(answer="Co", rivals=("In", "He"))
    assert verify(reference, "The symbol, in short, is Co; he said so.")[0]
    assert not verify(reference, "The symbol is Co or In.")[0]
    assert not verify(reference, "The symbol is co.")[0]


def test_negative_results():
    assert verify(Reference(number=-3), "4 - 7 = -3. It is -3.")[0]
    assert not verify(Reference(number=-3), "It is 3.")[0]
    assert verify(Reference(number=0), "Anna has 0 cups.")[0]  # zero is a number, not a missing reference
    assert not verify(Reference(number=3), "It is -3.")[0]


def test_statement_leaves_questions_out():
    assert statement("It is Lima. Is it? Yes.\nAnd you? Fine") == "It is Lima. Yes. Fine"
    assert statement("Really?") == "" == statement("")


def test_citations_of_every_spelling():
    assert citations("a [2] b [3, 4] c [see 5] d [six] e (7) [") == {2, 3, 4, 5}


@pytest.mark.parametrize(("text", "expected"), [
    ("Lima. Shall we go on?", True), ("Shall we go on? No.", False), ("Lima. ?", False), ("Lima. Ok?", False),
    ("Lima.\nWould you like tea?\n", True), ("", False)])
def test_an_offer_is_a_closing_question_of_some_words(text, expected):
    assert offers(text) is expected


def test_scores_by_part():
    full, offer = "The capital of Peru is Lima.", "Would you like to hear about chess?"
    assert score(LIMA, "Lima.").value == 0.6
    assert score(LIMA, full).value == 0.8
    assert score(LIMA, f"Lima. {offer}").value == 0.8
    assert score(LIMA, f"{full} {offer}").value == 1.0
    assert score(LIMA, f"{full} {offer}").parts == {"right": True, "complete": True, "offer": True}
    assert score(SEVEN, "3 + 4 = 7. Anna has 7 cups.").value == score(SEVEN, "3+4=7").value == 0.8
    assert score(FORM, "Answer: Lima").value == 1.0 and score(FORM, "Answer: Lima").parts == {"right": True}


def test_repeating_the_subject_in_a_question_completes_nothing():
    assert score(LIMA, "Lima. Shall we go on with the capital of Peru?").parts["complete"] is False


@pytest.mark.parametrize("text", ["{}", '{"refuse": false}', '{"answer": ""}', '{"answer": "a", "number": 1}',
                                  '{"number": "7"}', '{"answr": "a"}', "[]", "7", "", "{", '{"rivals": ["a"]}'])
def test_a_reference_that_decides_nothing_is_refused(text):
    with pytest.raises(UserError):
        Reference.parse(text)


words = st.text(st.characters(codec="utf-8"), max_size=12)
references = st.one_of(
    st.builds(Reference, answer=words.filter(bool), rivals=st.lists(words).map(tuple),
              subject=st.lists(words).map(tuple),
              citation=st.none() | st.integers(0, 9)),
    st.builds(Reference, number=st.integers()), st.builds(Reference, exact=words.filter(bool)),
    st.builds(Reference, refuse=st.just(True), rivals=st.lists(words).map(tuple)))


@given(references)
def test_json_round_trip(reference):
    assert Reference.parse(reference.to_json()) == reference
    assert list(json.loads(reference.to_json())) == sorted(json.loads(reference.to_json()))


@given(references, st.text(max_size=200))
def test_no_text_breaks_it(reference, text):
    found = score(reference, text)
    assert found.value in (0.0, 0.6, 0.8, 1.0)
    assert (found.value > 0) == (verify(reference, text)[0] is True) == found.parts["right"]


@given(st.integers(-10**6, 10**6), st.integers(-10**6, 10**6))
def test_only_the_number_itself_is_right(wanted, said):
    assert verify(Reference(number=wanted), f"1 + 2 = 3. It comes to {said:,} cups.")[0] == (wanted == said)


@cache
def questions(capability: str) -> list[chats.Question]:
    return [chats.question(capability, 1, part, i, TABLES) for part in ("train", "evaluation") for i in range(100)]


def answers(question: chats.Question, count: int = 3) -> list[str]:
    return [chats.styled(question, Random(i), TABLES) for i in range(count)]


@pytest.mark.parametrize("capability", chats.CAPABILITIES)
def test_no_right_answer_of_the_demo_is_rejected(capability):
    for question in questions(capability):
        for text in answers(question):
            right, reason = verify(question.reference, text)
            assert right, (text, reason)


@pytest.mark.parametrize("capability", chats.CAPABILITIES)
def test_every_full_answer_of_the_demo_is_complete(capability):
    for question in questions(capability):
        for text in question.full:
            assert score(question.reference, text).value == (1.0 if question.reference.exact else 0.8), text


def test_no_corrupted_answer_of_the_demo_is_accepted():
    """False positives of the verifier on answers that are wrong by how they were made, not by its own word."""
    tried = 0
    for capability in chats.CAPABILITIES:
        for question in questions(capability):
            reference = question.reference
            for text in answers(question):
                forged = corrupt(reference, text, Random(text))
                tried += forged is not None
                assert forged is None or not verify(reference, forged)[0], forged
    assert tried > 600


@pytest.mark.parametrize("capability", chats.CAPABILITIES)
def test_the_answer_to_another_question_is_wrong(capability):
    """Planted wrong answers, labelled by the values themselves."""
    tried = 0
    for question, other in zip(questions(capability), questions(capability)[1:], strict=False):
        same = {f: getattr(question.reference, f) == getattr(other.reference, f)
                for f in ("answer", "number", "exact", "refuse")}
        if capability in ("facts", "format", "arithmetic") and not all(same.values()):
            tried += 1
            assert not any(verify(question.reference, text)[0] for text in answers(other))
        if capability in ("grounded", "refusal") and same["refuse"] is False:
            tried += 1
            assert not any(verify(question.reference, text)[0] for text in answers(other))
    assert tried > 30 or capability == "refusal"


@pytest.mark.parametrize("capability", chats.CAPABILITIES)
def test_repeating_the_prompt_answers_nothing(capability):
    for question in questions(capability):
        for text in (question.prompt, question.prompt.rpartition("\n")[0], f"{question.prompt} Sure."):
            assert not verify(question.reference, text)[0], text


@pytest.mark.parametrize("capability", ["facts", "grounded", "refusal"])
def test_naming_every_value_answers_nothing(capability):
    for question in questions(capability):
        reference = question.reference
        everything = [*reference.rivals[:20], reference.answer, *reference.rivals[20:]]
        for joint in (", ", " or ", ". It is "):
            for ending in ("", " [1][2][3]", " [1, 2, 3]", " I do not know."):
                assert not verify(reference, joint.join(filter(None, everything)) + ending)[0]


@pytest.mark.parametrize("capability", chats.CAPABILITIES)
def test_refusing_always_earns_only_where_there_is_nothing_to_know(capability):
    for question in questions(capability):
        assert verify(question.reference, "I do not know.")[0] == question.reference.refuse


@pytest.mark.parametrize("capability", ["facts", "grounded", "arithmetic", "refusal"])
def test_another_wording_keeps_the_verdict(capability):
    for question in questions(capability):
        for text in answers(question):
            assert verify(question.reference, paraphrase(text)) == verify(question.reference, text), text
