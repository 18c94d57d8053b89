"""The demo's source tables as facts: `the <relation> of <entity> is <value>`."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# table, key column, article before the key, relation → column
RELATIONS = (
    ("countries", "country", "", {"capital": "capital", "continent": "continent", "currency": "currency",
                                  "language": "language"}),
    ("elements", "element", "", {"symbol": "symbol", "atomic number": "number", "kind": "kind"}),
    ("planets", "planet", "planet ", {"position": "position", "type": "kind"}),
    ("animals", "animal", "the ", {"young": "young", "class": "class"}),
    ("authors", "book", "", {"author": "author"}),
    ("inventions", "invention", "the ", {"inventor": "inventor"}),
)


@dataclass(frozen=True)
class Fact:
    """One fact of the closed-book world; `rivals` are the other values that its relation can take."""

    relation: str
    entity: str
    value: str
    rivals: tuple[str, ...]

    @property
    def subject(self) -> str:
        return f"the {self.relation} of {self.entity}"


def read(tables: Path, name: str) -> list[dict[str, str]]:
    """The rows of one source table."""
    with open(tables / f"{name}.csv", encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


@cache
def facts(tables: Path) -> tuple[Fact, ...]:
    """Every fact of the tables, in table order."""
    found = []
    for table, key, article, relations in RELATIONS:
        rows = read(tables, table)
        for relation, column in relations.items():
            values = sorted({row[column] for row in rows})
            for row in rows:
                rivals = tuple(v for v in values if v != row[column])
                found.append(Fact(relation, article + row[key], row[column], rivals))
    return tuple(found)


@cache
def names(tables: Path) -> tuple[str, ...]:
    """First names of people."""
    return tuple(row["name"] for row in read(tables, "names"))


@cache
def words(tables: Path) -> dict[str, tuple[str, ...]]:
    """Words by kind: colour, job, place, food, topic, thing, animal, …"""
    kinds: dict[str, list[str]] = {}
    for row in read(tables, "words"):
        kinds.setdefault(row["kind"], []).append(row["word"])
    kinds["thing"] = [row["thing"] for row in read(tables, "things")]
    kinds["things"] = [row["plural"] for row in read(tables, "things")]
    kinds["animal"] = [row["animal"] for row in read(tables, "animals")]
    topics = kinds.pop("topic")  # hobbies are values of grounded facts, so small talk keeps to the other topics
    kinds["hobby"], kinds["topic"] = topics[::2], topics[1::2]
    return {kind: tuple(found) for kind, found in kinds.items()}
