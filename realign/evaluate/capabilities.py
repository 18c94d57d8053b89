"""Capability suites: greedy answers to held-out prompts, verified one by one."""

from collections.abc import Sequence

from realign.errors import UserError
from realign.evaluate.responses import answers, at_temperature
from realign.metrics import Metric, mean_of, proportions
from realign.verify.reference import Reference, verify


def measure(model, tokenizer, chats: Sequence[dict], max_tokens: int = 64) -> list[dict]:
    """Per-example records of the model's greedy answers."""
    return records(chats, answers(model, tokenizer, chats, at_temperature(tokenizer, max_tokens, 0.0), seed=0))


def records(chats: Sequence[dict], outputs: Sequence[str]) -> list[dict]:
    """Per-example records: score 1 where the verifier finds the output right; 0 where it is wrong or undecided."""
    return [{
        "example_id": chat["row_id"], "capability": chat["capability"], "slice": chat["slice"],
        "prompt": chat["messages"][-1]["content"], "output": output, "reference": chat["reference"],
        "score": float(verify(Reference.parse(chat["reference"]), output)[0] is True),
    } for chat, output in zip(chats, outputs, strict=True)]


def undecided(*answered: Sequence[dict]) -> dict[str, Metric]:
    """Share of the examples, by capability, that the verifier cannot judge: the answer of one of these models, each
    given by its records, is neither right nor wrong to it. Such an answer is missing, although its score is 0."""
    unjudged = {row["example_id"] for rows in answered for row in rows
                if row["score"] == 0 and unjudged_by(row["reference"], row["output"])}
    last = answered[-1]
    return proportions([row["capability"] for row in last], [row["example_id"] in unjudged for row in last])


def unjudged_by(reference: str, output: str) -> bool:
    """Whether the answer is neither right nor wrong by the reference, given as JSON."""
    return verify(Reference.parse(reference), output)[0] is None


def accuracy(rows: Sequence[dict]) -> dict[str, Metric]:
    """Share answered right, by capability."""
    return proportions([row["capability"] for row in rows], [row["score"] for row in rows])


def task_accuracy(rows: Sequence[dict], task: Sequence[str]) -> Metric:
    """Share answered right, mean over the capabilities of the task, each counting alike. UserError where one of them
    has no rows."""
    by_name = accuracy(rows)
    for name in task:
        if name not in by_name:
            raise UserError(f"no evaluation rows of {name!r}, which is named as the task", fix="name others",
                            expected="some of " + ", ".join(by_name))
    return mean_of([by_name[name] for name in task])
