"""Forged answers: wrong by the verifier, and otherwise the text they came from."""

import re
from difflib import SequenceMatcher
from pathlib import Path
from random import Random

import pytest

from realign.verify.corrupt import corrupt, miscounted
from realign.verify.reference import Reference, verify
from stages.demo import chats

TABLES = Path("data/tables").resolve()
LIMA = Reference(answer="Lima", rivals=("Quito",))


def test_the_value_is_exchanged_everywhere():
    assert corrupt(LIMA, "Lima. The capital of Peru is Lima, not Limassol.", Random(0)) == \
        "Quito. The capital of Peru is Quito, not Limassol."


def test_the_last_stated_number_is_exchanged():
    forged = corrupt(Reference(number=7), "3 + 4 = 7. Anna has 7 cups.\nWould you like 8?", Random(0))
    found = re.fullmatch(r"3 \+ 4 = 7\. Anna has (-?\d+) cups\.\nWould you like 8\?", forged)
    assert found and int(found[1]) != 7


def test_a_citation_is_moved_or_the_value_exchanged():
    reference = Reference(answer="salt", rivals=("spice",), citation=2)
    forged = {corrupt(reference, "It is salt [2].", Random(i)) for i in range(40)}
    assert forged == {"It is salt [1].", "It is salt [3].", "It is spice [2]."}


def test_a_rival_is_taken_literally():
    assert corrupt(Reference(answer="a", rivals=(r"\1",)), "It is a.", Random(0)) == r"It is \1."


@pytest.mark.parametrize(("reference", "text"), [
    (LIMA, "Bogota."), (LIMA, ""), (Reference(refuse=True), "I do not know."), (Reference(exact="a"), "a"),
    (Reference(answer="Lima"), "Lima."), (Reference(answer="Lima", rivals=("Lima",)), "Lima.")])
def test_none_where_nothing_can_be_made_wrong(reference, text):
    assert corrupt(reference, text, Random(0)) is None


def test_a_sum_is_miscounted_by_its_result_or_by_a_step_less_or_more():
    text = "Sure. 3 + 4 = 7, 7 - 2 = 5. Anna has 5 cups. Shall I go on?"
    found = {miscounted(Reference(number=5), text, Random(i)) for i in range(90)}
    steps = {"Sure. 3 + 4 = 7. Anna has 7 cups. Shall I go on?",
             "Sure. 3 + 4 = 7, 7 - 2 = 5, 5 - 2 = 3. Anna has 3 cups. Shall I go on?"}
    assert steps < found
    results = {re.fullmatch(r"Sure\. 3 \+ 4 = 7, 7 - 2 = (\d+)\. Anna has \1 cups\. .*", f)[1] for f in found - steps}
    assert results == {"3", "4", "6", "7", "15"}


def test_a_sum_of_one_step_is_never_without_a_step():
    found = {miscounted(Reference(number=7), "3 + 4 = 7. Anna has 7 cups.", Random(i)) for i in range(60)}
    assert "3 + 4 = 7, 7 + 4 = 11. Anna has 11 cups." in found and all(f.startswith("3 + 4 = ") for f in found)


@pytest.mark.parametrize(("reference", "text"), [
    (Reference(number=7), "3 + 4 = 8."), (Reference(number=7), ""), (Reference(number=7), "7."), (LIMA, "Lima."),
    (Reference(refuse=True), "No idea.")])
def test_only_a_right_and_worked_sum_can_be_miscounted(reference, text):
    assert miscounted(reference, text, Random(0)) is None


def test_sums_of_the_demo_are_miscounted_in_every_answer():
    for i in range(100):
        question = chats.question("arithmetic", 2, "train", i, TABLES)
        wrong = miscounted(question.reference, chats.styled(question, Random(i), TABLES), Random(i))
        assert wrong and not verify(question.reference, wrong)[0]


@pytest.mark.parametrize("capability", ["facts", "grounded", "arithmetic"])
def test_on_the_demo_always_wrong_and_one_thing_changed(capability):
    forged = 0
    for i in range(200):
        question = chats.question(capability, 2, "train", i, TABLES)
        text = chats.styled(question, Random(i), TABLES)
        wrong = corrupt(question.reference, text, Random(i))
        assert wrong == corrupt(question.reference, text, Random(i))
        if not verify(question.reference, text)[0] or question.reference.refuse:
            assert wrong is None
            continue
        forged += 1
        assert not verify(question.reference, wrong)[0]
        pieces = [re.findall(r"\w+|\W", t) for t in (text, wrong)]
        changes = [o for o in SequenceMatcher(None, *pieces, autojunk=False).get_opcodes() if o[0] != "equal"]
        most = len(question.reference.answer.split()) if capability == "facts" else 1
        most += text.count(question.about) if question.about == question.reference.answer else 0  # the colour of pink
        assert 1 <= len(changes) <= 2 * most, (text, wrong)
    assert forged > 80
