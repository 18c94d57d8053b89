"""A right answer made wrong with as little change as possible: what an adversary would show a reward model."""

import re
from collections.abc import Iterator
from random import Random

from realign.verify.reference import CITATION, NUMBER, Reference, verify, whole_words

PASSAGES = (1, 2, 3)  # whose number a forged citation takes
LAST_STEP = re.compile(r"(= (\d+)), \2 [+-] \d+ = (\d+)(?!.*=)", re.DOTALL)  # "= 5, 5 - 3 = 2"


def corrupt(reference: Reference, text: str, rng: Random) -> str | None:
    """`text` with its value, number or citation exchanged for a wrong one; None where that cannot be done, or where
    `text` is wrong already."""
    if not verify(reference, text)[0]:
        return None
    return next((wrong for wrong in _forged(reference, text, rng) if not verify(reference, wrong)[0]), None)


def miscounted(reference: Reference, text: str, rng: Random) -> str | None:
    """`text`, a sum worked right, gone wrong as a model does it: its last step left out, or its result wrong wherever
    it stands. So the number does not disagree with the working, as it does by `corrupt`.

    None where the reference is no number, or where `text` is wrong already.
    """
    if reference.number is None or not verify(reference, text)[0]:
        return None
    step = LAST_STEP.search(text)
    other, found = str(reference.number + rng.choice((-2, -1, 1, 2, 10))), str(reference.number)
    if step and rng.random() < 0.5:
        text, other = text[:step.end(1)] + text[step.end():], step.group(2)
    wrong = NUMBER.sub(lambda m: other if m.group() == found else m.group(), text)
    return None if verify(reference, wrong)[0] else wrong


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
