"""A right answer made wrong with as little change as possible: what an adversary would show a reward model."""

import re
from collections.abc import Iterator
from random import Random

from realign.verify.names import whole_words
from realign.verify.numbers import NUMBER
from realign.verify.reference import CITATION, Reference, verify

PASSAGES = (1, 2, 3)  # whose number a forged citation takes
# "= 5, 5 - 3 = 2", or "5 - 3 = 2".
LAST_STEP = re.compile(r"(?:(= (\d+)), )?\d+ ([+-]) (\d+) = (\d+)(?!.*=)", re.DOTALL)


def corrupt(reference: Reference, text: str, rng: Random) -> str | None:
    """`text` with its value, number or citation exchanged for a wrong one; None where that cannot be done, or where
    `text` is wrong already."""
    if not verify(reference, text)[0]:
        return None
    return next((wrong for wrong in _forged(reference, text, rng) if verify(reference, wrong)[0] is False), None)


def miscounted(reference: Reference, text: str, rng: Random) -> str | None:
    """`text`, a sum worked right, gone wrong as a model does it: its result wrong wherever it stands, its last step
    left out, or done twice. So the number does not disagree with the working, as it does by `corrupt`.

    None where the reference is no number, or where `text` is wrong already or shows no working.
    """
    step = LAST_STEP.search(text)
    if reference.number is None or step is None or not verify(reference, text)[0]:
        return None
    ways = [_wrong_result, _one_step_more] if step.group(1) is None else [_wrong_result, _one_step_more, _one_step_less]
    wrong = rng.choice(ways)(text, step, reference.number, rng)
    return wrong if verify(reference, wrong)[0] is False else None


def _exchanged(text: str, number: str, other: str) -> str:
    """`text` with the number exchanged wherever it stands."""
    return NUMBER.sub(lambda m: other if m.group() == number else m.group(), text)


def _wrong_result(text: str, step: re.Match, number: int, rng: Random) -> str:
    return _exchanged(text, str(number), str(number + rng.choice((-2, -1, 1, 2, 10))))


def _one_step_less(text: str, step: re.Match, number: int, rng: Random) -> str:
    shortened = text[:step.end(1)] + text[step.end():]
    return _exchanged(shortened, str(number), step.group(2))


def _one_step_more(text: str, step: re.Match, number: int, rng: Random) -> str:
    sign, operand = step.group(3), step.group(4)
    more = number + int(operand) if sign == "+" else number - int(operand)
    rest = _exchanged(text[step.end():], str(number), str(more))
    return f"{text[:step.end()]}, {number} {sign} {operand} = {more}{rest}"


def _forged(reference: Reference, text: str, rng: Random) -> Iterator[str]:
    """Changed texts, of which the first wrong one counts."""
    if reference.number is not None:
        other = str(reference.number + rng.choice((-2, -1, 1, 2, 10)))
        for found in reversed(list(NUMBER.finditer(text))):
            yield text[:found.start()] + other + text[found.end():]
    elif reference.citation is not None and rng.random() < 0.5:
        other = str(rng.choice([n for n in PASSAGES if n != reference.citation]))
        yield from (text[:m.start(1)] + other + text[m.end(1):] for m in CITATION.finditer(text))
    elif reference.answer and reference.rivals:
        rival = rng.choice(reference.rivals)
        yield whole_words(frozenset({reference.answer})).sub(lambda _: rival, text)
