"""Single questions of each capability, with reference answers and with answers in many styles."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

from realign.verify.reference import Reference, verify
from stages.demo import arithmetic, grounded, invented, phrasings, small_talk
from stages.demo.facts import Fact, facts, words

CAPABILITIES = ("facts", "grounded", "arithmetic", "refusal", "format")


@dataclass(frozen=True)
class Question:
    """One prompt, its reference, and the cores of answers: self-contained ones and terse ones."""

    capability: str
    slice: str
    prompt: str
    reference: Reference
    full: tuple[str, ...]
    terse: tuple[str, ...]


def _ask(rng: Random, subject: str, evaluation: bool) -> str:
    return phrasings.fill(rng.choice(phrasings.HELD_OUT_ASK if evaluation else phrasings.ASK), subject)


@cache
def _checkable(tables: Path) -> list[Fact]:
    """Facts whose value is no ordinary word of an answer (I, As, In and He are symbols of elements, too)."""
    templates = (*phrasings.OPENERS, *phrasings.REMARKS, *phrasings.OFFERS, *phrasings.FACT_FULL, *phrasings.FACT_TERSE,
                 *phrasings.REFUSE_FULL, *phrasings.REFUSE_TERSE)
    ordinary = {word.strip(".,?") for template in templates for word in template.split()}
    return [replace(f, rivals=tuple(r for r in f.rivals if r not in ordinary))
            for f in facts(tables) if f.value not in ordinary]


@cache
def _values(relation: str, tables: Path) -> tuple[str, ...]:
    """Every value that a closed-book relation takes."""
    return tuple(sorted({v for f in _checkable(tables) if f.relation == relation for v in (f.value, *f.rivals)}))


def fact(rng: Random, tables: Path, evaluation: bool) -> Question:
    f = rng.choice(_checkable(tables))
    fill = [tuple(phrasings.fill(t, f.subject, v=f.value) for t in ts)
            for ts in (phrasings.FACT_FULL, phrasings.FACT_TERSE)]
    reference = Reference(answer=f.value, rivals=f.rivals, subject=(f.relation, f.entity))
    return Question("facts", f.relation, _ask(rng, f.subject, evaluation), reference, *fill)


def _others(entry: grounded.Entry, stated: list[grounded.Entry], tables: Path) -> tuple[str, ...]:
    """What else might be said instead: the other stated values, and all of the kind that was asked for."""
    kind = words(tables)[grounded.KINDS[entry.relation]]
    return tuple(sorted({*kind, *(e.value for e in stated)} - {entry.value, entry.entity}))


def passages(rng: Random, tables: Path, evaluation: bool) -> Question:
    """Three passages that share people and relations, and a question; one in two is left open by them.

    In evaluation about people of whom training never reads. No answer is terse: a model of this size finds the value by
    saying again whose it is.
    """
    people = grounded.split_names(tables)[1] if evaluation else grounded.subjects(rng, tables)
    stated = grounded.entries(rng, people, tables, 3, 3)
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
    prompt = f"{text}\n{_ask(rng, entry.subject, evaluation)}"
    return Question("grounded", "absent" if absent else "present", prompt, reference, full, full)


def sums(rng: Random, tables: Path, evaluation: bool) -> Question:
    steps = rng.choice((1, 1, 2))
    while True:
        p = arithmetic.problem(rng, tables, steps, evaluation)
        reference = Reference(number=p.result, subject=("=",))
        if not verify(reference, p.question)[0]:  # else repeating the story would answer it
            break
    *_, count = p.worked.split(". ", 1)
    return Question("arithmetic", f"{steps} step", p.question, reference, (p.worked,), (count,))


def made_up(rng: Random, tables: Path, evaluation: bool) -> Question:
    name = invented.name(rng, evaluation)
    relation = rng.choice(facts(tables)).relation
    subject = f"the {relation} of {name}"
    fill = [tuple(phrasings.fill(t, subject, e=name) for t in ts)
            for ts in (phrasings.REFUSE_FULL, phrasings.REFUSE_TERSE)]
    reference = Reference(refuse=True, rivals=_values(relation, tables), subject=(relation, name))
    return Question("refusal", relation, _ask(rng, subject, evaluation), reference, *fill)


def form(rng: Random, tables: Path, evaluation: bool) -> Question:
    f = rng.choice(facts(tables))
    name = rng.choice(sorted(phrasings.FORMATS))
    demand, template = phrasings.FORMATS[name]
    answer = template.format(v=f.value)
    prompt = f"{_ask(rng, f.subject, evaluation)} {demand}"
    return Question("format", name, prompt, Reference(exact=answer), (answer,), (answer,))


MAKERS = {"facts": fact, "grounded": passages, "arithmetic": sums, "refusal": made_up, "format": form}


def question(capability: str, seed: int, part: str, index: int, tables: Path) -> Question:
    """Question `index` of a part (train, validation, test, evaluation, …): a function of its arguments alone.

    The parts named test and evaluation use held-out phrasings, people, combinations and made-up names.
    """
    rng = Random(f"{seed}:{part}:{capability}:{index}")
    return MAKERS[capability](rng, tables, part in ("test", "evaluation"))


def styled(q: Question, rng: Random, tables: Path) -> str:
    """An answer in one of the ways that people write: with or without an opening, terse or self-contained, with or
    without an offer to go on. A demanded form is kept."""
    if q.reference.exact:
        return q.full[0]
    parts = [rng.choice(q.full if rng.random() < 0.65 else q.terse)]
    if rng.random() < 0.7:
        parts.insert(0, small_talk.opener(rng))
    tail = rng.random()
    if tail < 0.92:
        parts.append(small_talk.closing(rng, tables, offer=tail >= 0.42))
    return " ".join(parts)
