"""A right answer made wrong with as little change as possible: what an adversary would show a reward model."""

import re
from random import Random

from realign.verify.reference import CITATION, NUMBER, Reference, statement, verify


def corrupt(reference: Reference, text: str, rng: Random) -> str | None:
    """`text` with its value, number or citation exchanged for a wrong one; None where that cannot be done."""
    wrong = None
    said = statement(text)
    if reference.number is not None and (numbers := NUMBER.findall(said)):
        other = str(reference.number + rng.choice((-2, -1, 1, 2, 10)))
        head, _, tail = said.rpartition(numbers[-1])
        wrong = text.replace(said, f"{head}{other}{tail}")
    elif reference.citation is not None and rng.random() < 0.5 and (cited := CITATION.search(text)):
        other = rng.choice([n for n in (1, 2, 3) if n != reference.citation])
        wrong = text[:cited.start(1)] + str(other) + text[cited.end(1):]
    elif reference.answer and reference.rivals:
        rival = rng.choice(reference.rivals)
        wrong = re.sub(rf"(?<!\w){re.escape(reference.answer)}(?!\w)", rival, text)
    if wrong is None or wrong == text or verify(reference, wrong)[0]:
        return None
    return wrong
