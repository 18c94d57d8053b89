"""Single questions of each capability, with reference answers and with answers in many styles."""

from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from itertools import product
from pathlib import Path
from random import Random

from realign.verify.reference import Reference, verify
from stages.demo import arithmetic, grounded, invented, phrasings, small_talk
from stages.demo.facts import Fact, facts, words

CAPABILITIES = ("facts", "grounded", "arithmetic", "refusal", "format")
# Parts that ask about people, combinations and names that no training part has, and in which words.
HELD_OUT = {"development": phrasings.GATE_ASK, "test": phrasings.GATE_ASK, "evaluation": phrasings.GATE_ASK,
            "sealed": phrasings.SEALED_ASK}

# Shares of the styles. What is no news to the base (self-contained answers, alone) keeps most of the weight: openings
# and terse answers are where sampled answers go wrong after SFT (docs/LOG.md).
TERSE, OPENED, REMARKED, OFFERED = 0.05, 0.35, 0.2, 0.4


@dataclass(frozen=True)
class Question:
    """One prompt, its reference, the cores of answers (self-contained ones and terse ones), and what an answer can come
    back to."""

    capability: str
    slice: str
    prompt: str
    reference: Reference
    full: tuple[str, ...]
    terse: tuple[str, ...]
    about: str


@dataclass(frozen=True)
class Turn:
    """Which question it is: its part of the data, the world's seed and its number within the part."""

    part: str
    seed: int
    number: int

    @property
    def held_out(self) -> bool:
        """Whether it may ask only about what is held out from training."""
        return self.part in HELD_OUT

    def ask(self, rng: Random, subject: str) -> str:
        """A question for `subject` in one of the part's phrasings."""
        return phrasings.fill(rng.choice(HELD_OUT.get(self.part, phrasings.ASK)), subject)


@cache
def _order(count: int, seed: int, part: str) -> list[int]:
    """The numbers below `count` in the order of a part."""
    return Random(f"{seed}:{part}").sample(range(count), count)


@cache
def _checkable(tables: Path) -> list[Fact]:
    """Facts whose value is no ordinary word of an answer (I, As, In and He are symbols of elements, too)."""
    templates = (*phrasings.OPENERS, *phrasings.REMARKS, *phrasings.OFFERS, *phrasings.FACT_FULL, *phrasings.FACT_TERSE,
                 *phrasings.REFUSE_FULL, *phrasings.REFUSE_TERSE, *phrasings.UNKNOWN_FULL)
    ordinary = {word.strip(".,?") for template in templates for word in template.split()}
    return [replace(f, rivals=tuple(r for r in f.rivals if r not in ordinary))
            for f in facts(tables) if f.value not in ordinary]


@cache
def _values(relation: str, tables: Path) -> tuple[str, ...]:
    """Every value that a closed-book relation takes."""
    return tuple(sorted({v for f in _checkable(tables) if f.relation == relation for v in (f.value, *f.rivals)}))


def fact(rng: Random, tables: Path, turn: Turn) -> Question:
    """The facts in turn: none comes again before all were asked."""
    found = _checkable(tables)
    f = found[_order(len(found), turn.seed, turn.part)[turn.number % len(found)]]
    fill = [tuple(phrasings.fill(t, f.subject, v=f.value) for t in ts)
            for ts in (phrasings.FACT_FULL, phrasings.FACT_TERSE)]
    reference = Reference(answer=f.value, rivals=f.rivals, subject=(f.relation, f.entity))
    return Question("facts", f.relation, turn.ask(rng, f.subject), reference, *fill, f.entity)


def _others(entry: grounded.Entry, stated: list[grounded.Entry], tables: Path) -> tuple[str, ...]:
    """What else might be said instead: the other stated values, and all of the kind that was asked for."""
    kind = words(tables)[grounded.KINDS[entry.relation]]
    return tuple(sorted({*kind, *(e.value for e in stated)} - {entry.value, entry.entity}))


def passages(rng: Random, tables: Path, turn: Turn) -> Question:
    """Passages that share people and relations, and a question; one in two is left open by them.

    Half have five passages with seven statements, half three with three; held-out parts are about people of whom
    training never reads. No answer is terse: a model of this size finds the value by saying again whose it is.
    """
    people = grounded.split_names(tables)[1] if turn.held_out else grounded.subjects(rng, tables)
    long = rng.random() < 0.5
    stated = grounded.entries(rng, people, tables, *((5, 7) if long else (3, 3)))
    text = grounded.passages_text(rng, stated, tables)
    absent = rng.random() < 0.5
    entry = grounded.absent(rng, stated, people) if absent else rng.choice(stated)
    common = {"rivals": _others(entry, stated, tables), "subject": (entry.relation, entry.entity)}
    if absent:
        reference = Reference(refuse=True, **common)
        answers = phrasings.ABSENT_FULL
    else:
        reference = Reference(answer=entry.value, citation=entry.passage, **common)
        answers = phrasings.GROUNDED_FULL
    full = tuple(phrasings.fill(t, entry.subject, v=entry.value, c=entry.passage) for t in answers)
    prompt = f"{text}\n{turn.ask(rng, entry.subject)}"
    asked = ("absent" if absent else "present") + (", 5 passages" if long else "")
    return Question("grounded", asked, prompt, reference, full, full, entry.entity)


def sums(rng: Random, tables: Path, turn: Turn) -> Question:
    """A word problem. No answer is terse: in one of three the model then named a number without working it out."""
    steps = rng.choice((1, 2, 2) if turn.part == "train" else (1, 2))
    while True:
        p = arithmetic.problem(rng, tables, steps, turn.held_out)
        reference = Reference(number=p.result, subject=("=",))
        if not verify(reference, p.question)[0]:  # else repeating the story would answer it
            break
    return Question("arithmetic", f"{steps} step", p.question, reference, (p.worked,), (p.worked,), p.things)


def _every_fifth(pair: tuple[str, str]) -> bool:
    return int(sha256(" ".join(pair).encode()).hexdigest(), 16) % 5 == 0


@cache
def strangers(tables: Path, held_out: bool) -> dict[str, tuple[tuple[str, str], ...]]:
    """`(relation, entity)` of which no table knows a value, though it knows both words: by whether the entity is a
    thing of another table or a person. Of every five pairs with a thing, one is held out, by hash, and of people those
    that `grounded` holds out."""
    known = {(f.relation, f.entity) for f in facts(tables)}
    relations, things = (sorted({pair[i] for pair in known}) for i in (0, 1))
    people = sorted({*grounded.split_names(tables)[held_out]} - {*things})
    return {"thing": tuple(p for p in product(relations, things) if p not in known and _every_fifth(p) == held_out),
            "person": tuple(product(relations, people))}


def unknown(rng: Random, tables: Path, turn: Turn) -> Question:
    """A question that nothing answers: about a made-up name, or about a thing or a person that has no such relation
    (one in three in held-out parts, half in training).

    Of these no answer is terse, and each says first what was asked for: with refusals that begin as those of made-up
    names do, a model of this size refused three facts in ten.
    """
    kind = rng.choice(("made up",) * (4 if turn.held_out else 2) + ("thing", "person"))
    if kind == "made up":
        relation, name = rng.choice(facts(tables)).relation, invented.name(rng, turn.held_out)
        answers = (phrasings.REFUSE_FULL, phrasings.REFUSE_TERSE)
    else:
        relation, name = rng.choice(strangers(tables, turn.held_out)[kind])
        answers = (phrasings.UNKNOWN_FULL, phrasings.UNKNOWN_FULL)
    subject = f"the {relation} of {name}"
    fill = [tuple(phrasings.fill(t, subject, e=name) for t in ts) for ts in answers]
    reference = Reference(refuse=True, rivals=_values(relation, tables), subject=(relation, name))
    return Question("refusal", kind, turn.ask(rng, subject), reference, *fill, name)


def form(rng: Random, tables: Path, turn: Turn) -> Question:
    f = rng.choice(facts(tables))
    name = rng.choice(sorted(phrasings.FORMATS))
    demand, template = phrasings.FORMATS[name]
    answer = template.format(v=f.value)
    prompt = f"{turn.ask(rng, f.subject)} {demand}"
    return Question("format", name, prompt, Reference(exact=answer), (answer,), (answer,), f.entity)


MAKERS = {"facts": fact, "grounded": passages, "arithmetic": sums, "refusal": unknown, "format": form}


def question(capability: str, seed: int, part: str, index: int, tables: Path) -> Question:
    """Question `index` of a part (train, validation, prompts, or one of `HELD_OUT`): a function of its arguments
    alone."""
    rng = Random(f"{seed}:{part}:{capability}:{index}")
    return MAKERS[capability](rng, tables, Turn(part, seed, index))


def styled(q: Question, rng: Random, tables: Path) -> str:
    """An answer in one of the ways that people write: with or without an opening, self-contained or terse, with or
    without an offer to go on. A demanded form is kept."""
    if q.reference.exact:
        return q.full[0]
    parts = [rng.choice(q.terse if rng.random() < TERSE else q.full)]
    if rng.random() < OPENED:
        parts.insert(0, small_talk.opener(rng))
    tail = rng.random()
    if tail < REMARKED + OFFERED:
        asked = q.slice if q.capability == "arithmetic" else q.reference.subject[0]
        parts.append(small_talk.closing_on(rng, tables, tail >= REMARKED, q.about, asked))
    return " ".join(parts)
