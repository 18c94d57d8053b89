"""Openings, remarks and offers: what surrounds an answer."""

from functools import cache
from pathlib import Path
from random import Random

from stages.demo import grounded, phrasings
from stages.demo.facts import facts, words

CUSTOMARY = 0.5  # of the closings


@cache
def _topics(tables: Path) -> tuple[str, ...]:
    """Topics and plurals of things, none of them a value of any fact (maps are a hobby): small talk cannot be taken
    for an answer."""
    vocabulary = words(tables)
    values = {f.value for f in facts(tables)} | {w for kind in grounded.KINDS.values() for w in vocabulary[kind]}
    return tuple(w for w in (*vocabulary["topic"], *vocabulary["things"]) if w not in values)


def opener(rng: Random) -> str:
    """One opening sentence."""
    return rng.choice(phrasings.OPENERS)


def closing(rng: Random, tables: Path, offer: bool) -> str:
    """One last sentence: an offer to go on, or a remark as long."""
    t, u, w = rng.sample(_topics(tables), 3)
    return rng.choice(phrasings.OFFERS if offer else phrasings.REMARKS).format(t=t, u=u, w=w)


def closing_on(rng: Random, tables: Path, offer: bool, subject: str, asked: str) -> str:
    """One last sentence that comes back to `subject`: an offer to go on, or a remark as long. Half of them are worded
    as is the custom where `asked` was asked (each relation has one of its own), so that greedy answers, which always
    give the likeliest wording, do not all end alike."""
    t, u = rng.sample([t for t in _topics(tables) if t != subject], 2)
    ways = phrasings.OFFERS if offer else phrasings.REMARKS
    way = Random(f"{asked}:{offer}").choice(ways) if rng.random() < CUSTOMARY else rng.choice(ways)
    return way.format(t=t, u=u, w=subject)
