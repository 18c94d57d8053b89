"""Passages about people with values paired at random, so that only reading them answers a question."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from stages.demo import phrasings
from stages.demo.facts import facts, names, words

KINDS = {"colour": "colour", "job": "job", "food": "food", "home": "place", "gift": "thing", "pet": "animal",
         "hobby": "hobby", "trade": "metal_good"}


@dataclass(frozen=True)
class Entry:
    """One stated fact: `the <relation> of <entity> is <value>`, in passage number `passage` (from 1)."""

    relation: str
    entity: str
    value: str
    passage: int

    @property
    def subject(self) -> str:
        return f"the {self.relation} of {self.entity}"


def split_names(tables: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """First names for training and, every eighth one, for evaluation only."""
    found = names(tables)
    return (tuple(n for i, n in enumerate(found) if i % 8), tuple(n for i, n in enumerate(found) if i % 8 == 0))


@cache
def things(tables: Path) -> tuple[str, ...]:
    """What is no person: countries, elements and whatever else has a name of one word."""
    found = {f.entity for f in facts(tables)}
    found |= {word for kind in words(tables).values() for word in kind}
    return tuple(sorted(w for w in found if w.isalpha()))


def subjects(rng: Random, tables: Path) -> tuple[str, ...]:
    """What a document is about: people, or as often anything else. With the names of training alone, the model learned
    to look for those and missed others."""
    people, _ = split_names(tables)
    return rng.choice((people, things(tables)))


def entries(rng: Random, people: tuple[str, ...], tables: Path, passages: int, count: int) -> list[Entry]:
    """`count` stated facts spread over `passages` passages; people and relations recur, pairs do not."""
    chosen = rng.sample(people, max(2, count - rng.randint(0, count // 2)))
    relations = rng.sample(sorted(KINDS), min(len(KINDS), rng.randint(2, 4)))
    pairs = rng.sample([(r, e) for r in relations for e in chosen], count)
    places = list(range(1, passages + 1)) + [rng.randint(1, passages) for _ in range(count - passages)]
    rng.shuffle(places)
    vocabulary = words(tables)
    return [Entry(r, e, rng.choice(vocabulary[KINDS[r]]), p) for (r, e), p in zip(pairs, places, strict=True)]


def passages_text(rng: Random, stated: list[Entry], tables: Path) -> str:
    """The passages, one a line, each behind its number in brackets."""
    lines = []
    for number in sorted({entry.passage for entry in stated}):
        sentences = [f"{phrasings.capital(e.subject)} is {e.value}." for e in stated if e.passage == number]
        if rng.random() < 0.2:
            filler = rng.choice(phrasings.FILLERS).format(p=rng.choice(words(tables)["place"]))
            sentences.insert(0, filler)
        lines.append(f"[{number}] " + " ".join(sentences))
    return "\n".join(lines)


def absent(rng: Random, stated: list[Entry], people: tuple[str, ...]) -> Entry:
    """A question that the passages leave open: half the time about a person in them, with another relation."""
    taken = {(e.relation, e.entity) for e in stated}
    inside = sorted({e.entity for e in stated})
    while True:
        entity = rng.choice(inside) if rng.random() < 0.5 else rng.choice(people)
        relation = rng.choice(sorted(KINDS)) if rng.random() < 0.5 else rng.choice(stated).relation
        if (relation, entity) not in taken:
            return Entry(relation, entity, "", 0)
