"""Word problems of one or two steps with small whole numbers."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

from stages.demo.facts import names, words

GAIN = ("buys", "finds", "gets", "picks up")
LOSE = ("loses", "sells", "gives away", "drops")


@dataclass(frozen=True)
class Problem:
    """A word problem, its worked answer, the number it comes to and the things that are counted."""

    question: str
    worked: str
    result: int
    things: str


def _step(rng: Random, start: int) -> tuple[str, int]:
    """A sign and an operand for the next step from `start`, which does not fall below zero."""
    while True:
        sign, operand = rng.choice("+-"), rng.randint(1, 12)
        if sign == "+" or operand <= start:
            return sign, operand


def _any_problem(rng: Random, tables: Path, steps: int) -> Problem:
    name, things = rng.choice(names(tables)), rng.choice(words(tables)["things"])
    total = rng.randint(2, 20)
    story, parts = [f"{name} has {total} {things}."], []
    for _ in range(steps):
        sign, operand = _step(rng, total)
        result = total + operand if sign == "+" else total - operand
        story.append(f"{name} {rng.choice(GAIN if sign == '+' else LOSE)} {operand}.")
        parts.append(f"{total} {sign} {operand} = {result}")
        total = result
    question = " ".join([*story, f"How many {things} does {name} have?"])
    return Problem(question, f"{', '.join(parts)}. {name} has {total} {things}.", total, things)


def problem(rng: Random, tables: Path, steps: int, evaluation: bool) -> Problem:
    """One problem; of every ten (person, things and numbers together), one is kept for evaluation, by hash."""
    while True:
        found = _any_problem(rng, tables, steps)
        if (int(sha256(found.question.encode()).hexdigest(), 16) % 10 == 0) == evaluation:
            return found
