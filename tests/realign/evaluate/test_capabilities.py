"""Capability suites: records of answers and accuracy by capability."""

import pytest

from realign.errors import UserError
from realign.evaluate.capabilities import accuracy, measure, records, task_accuracy, undecided
from realign.lake.schemas import RECORDS, row_fault
from realign.metrics import proportion
from realign.models import build


def chat(name: str, capability: str, reference: str) -> dict:
    return {"row_id": name, "capability": capability, "slice": "s", "reference": reference,
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": f"ask {name}"}]}


CHATS = [chat("a", "facts", '{"answer": "Lima"}'), chat("b", "facts", '{"answer": "Oslo"}'),
         chat("c", "refusal", '{"refuse": true}')]


def test_records_hold_what_the_score_came_from():
    found = records(CHATS, ["Lima.", "Lima.", "I do not know."])
    assert [r["score"] for r in found] == [1.0, 0.0, 1.0]
    assert found[0] == {"example_id": "a", "capability": "facts", "slice": "s", "prompt": "ask a", "output": "Lima.",
                        "reference": '{"answer": "Lima"}', "score": 1.0}
    assert not any(row_fault(r, RECORDS) for r in found)


def test_every_chat_needs_its_output():
    with pytest.raises(ValueError):
        records(CHATS, ["Lima."])


def test_accuracy_is_by_capability():
    found = accuracy(records(CHATS, ["Lima.", "Lima.", "I do not know."]))
    assert found == {"facts": proportion(1, 2), "refusal": proportion(1, 1)}
    assert accuracy([]) == {}


def test_what_the_verifier_cannot_judge_is_counted_and_is_not_what_is_wrong():
    found = records(CHATS, ["Lima.", "Maybe Oslo.", "I do not know."])
    assert [r["score"] for r in found] == [1.0, 0.0, 1.0]
    assert undecided(found) == {"facts": proportion(1, 2), "refusal": proportion(0, 1)}
    wrong = records(CHATS, ["Quito.", "I do not know.", "The euro."])
    assert undecided(wrong) == {"facts": proportion(0, 2), "refusal": proportion(0, 1)}


def test_an_example_is_undecided_where_either_models_answer_is():
    base = records(CHATS, ["Lima or Cusco.", "Oslo.", "No idea."])
    new = records(CHATS, ["Lima.", "Perhaps Oslo.", "No idea."])
    assert undecided(base, new)["facts"] == proportion(2, 2)
    assert undecided(base, base) == undecided(base) == {"facts": proportion(1, 2), "refusal": proportion(0, 1)}


def test_task_accuracy_counts_the_named_capabilities_alike():
    found = records(CHATS, ["Lima.", "Lima.", "I do not know."])
    assert task_accuracy(found, ("facts", "refusal")).value == 0.75  # of 1/2 and 1/1, not 2/3
    assert task_accuracy(found, ("facts",)).value == 0.5 and task_accuracy(found, ("facts", "refusal")).n == 3
    with pytest.raises(UserError, match=r"no evaluation rows of 'sums'.*\n?.*some of facts, refusal"):
        task_accuracy(found, ("facts", "sums"))


def test_greedy_answers_are_measured_whatever_the_order(tiny_folder):
    model, tokenizer, _ = build.load(str(tiny_folder))
    found = measure(model, tokenizer, CHATS, max_tokens=6)
    assert [row["example_id"] for row in found] == ["a", "b", "c"]
    assert found == measure(model, tokenizer, CHATS, max_tokens=6)
    assert found[::-1] == measure(model, tokenizer, CHATS[::-1], max_tokens=6)
    assert found == records(CHATS, [row["output"] for row in found]) and all(row["output"] for row in found)
