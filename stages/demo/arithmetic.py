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
    """A word problem, its worked answer and the number it comes to."""

    question: str
    worked: str
    result: int


def held_out(a: int, b: int, sign: str) -> bool:
    """Whether the combination a ± b is kept for evaluation (one in ten, by hash)."""
    return int(sha256(f"{a}{sign}{b}".encode()).hexdigest(), 16) % 10 == 0


def step(rng: Random, start: int, evaluation: bool | None) -> tuple[str, int]:
    """A sign and operand for the next step from `start`; only held-out combinations in evaluation, any for None."""
    while True:
        sign, operand = rng.choice("+-"), rng.randint(1, 12)
        if sign == "-" and operand > start:
            continue
        if evaluation is None or held_out(start, operand, sign) == evaluation:
            return sign, operand


def problem(rng: Random, tables: Path, steps: int, evaluation: bool | None) -> Problem:
    """One problem; its last step is a held-out combination where `evaluation`, none of its steps is where not, and
    all are as they come for None."""
    name, things = rng.choice(names(tables)), rng.choice(words(tables)["things"])
    while True:
        first = total = rng.randint(2, 20)
        story, parts = [f"{name} has {first} {things}."], []
        for i in range(steps):
            last = i == steps - 1
            if evaluation and last and not any(held_out(total, b, s) and (s == "+" or b <= total)
                                               for b in range(1, 13) for s in "+-"):
                break
            sign, operand = step(rng, total, None if evaluation is None else evaluation and last)
            result = total + operand if sign == "+" else total - operand
            story.append(f"{name} {rng.choice(GAIN if sign == '+' else LOSE)} {operand}.")
            parts.append(f"{total} {sign} {operand} = {result}")
            total = result
        else:
            question = " ".join([*story, f"How many {things} does {name} have?"])
            return Problem(question, f"{', '.join(parts)}. {name} has {total} {things}.", total)


def story(rng: Random, tables: Path, steps: int, evaluation: bool) -> Problem:
    """One problem with any sums; whole problems (person, things, numbers) are held out, one in ten by hash."""
    while True:
        found = problem(rng, tables, steps, None)
        if (int(sha256(found.question.encode()).hexdigest(), 16) % 10 == 0) == evaluation:
            return found
