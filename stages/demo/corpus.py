"""Documents that the demo's base model learns from: chats of many short turns, one document a training row.

Document i is a function of (seed, i) alone, so a corpus of any length can be made in any order.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

from stages.demo import arithmetic, grounded, invented, phrasings, small_talk
from stages.demo.facts import facts, names, words

# Share of documents by kind. Recall and citing, many answers a document, teach to match a name to its place in the
# context, which answers to single questions teach slowly.
MIX = (("list", 0.05), ("recall", 0.08), ("cite", 0.25), ("grounded", 0.32), ("facts", 0.09), ("arithmetic", 0.12),
       ("format", 0.05), ("talk", 0.04))
# Towards the end, rolls of all names: people of whom no passage tells were found where they stood, but were not
# missed where they did not. Lists go on: with word problems and rolls alone these names stayed too much alike. And
# openings before answers, so that the first SFT that asks for them does not unlearn the reading.
LAST = (("list", 0.05), ("roll", 0.13), ("recall", 0.05), ("cite", 0.20), ("opened", 0.31), ("facts", 0.08),
        ("arithmetic", 0.10), ("format", 0.04), ("talk", 0.04))
# In the end as many questions on passages are open as not.
END = tuple(("half_open" if kind == "opened" else kind, share) for kind, share in LAST)
FROM = ((96000, END), (64512, LAST), (0, MIX))  # by first document
Turn = tuple[str, str]


def _orders(rng: Random, items: list[str], tokens: int) -> list[Turn]:
    """The items in one order, then again and again in others, as many as fit a row of about 200 tokens."""
    count = max(3, min(12, 200 // (tokens * len(items))))
    first, *others = (" ".join(rng.sample(items, len(items))) for _ in range(count))
    return [(first, " ".join(others))]


def list_turns(rng: Random, tables: Path) -> list[Turn]:
    """Names with values beside them, listed again in other orders; among them those of whom no passage tells."""
    values = [w for kind in sorted(grounded.KINDS.values()) for w in words(tables)[kind]]
    chosen = rng.sample(rng.choice((names(tables), grounded.things(tables))), rng.randint(2, 12))
    return _orders(rng, [f"{name} {rng.choice(values)}," for name in chosen], 3)


def roll_turns(rng: Random, tables: Path) -> list[Turn]:
    """Names of people with values beside them, then those and as many others, of whom nothing is said."""
    values = [w for kind in sorted(grounded.KINDS.values()) for w in words(tables)[kind]]
    there = rng.randint(2, 6)
    chosen = rng.sample(names(tables), 2 * there)
    found = [f"{name} {rng.choice(values)}," for name in chosen[:there]]
    missing = [f"{name} not," for name in chosen[there:]]
    asked = (rng.sample(found + missing, 2 * there) for _ in range(max(1, 30 // there)))
    return [(" ".join(found), " ".join(" ".join(items) for items in asked))]


def recall_turns(rng: Random, tables: Path) -> list[Turn]:
    """Stated facts, restated in other orders; of one relation or several."""
    about = grounded.subjects(rng, tables)
    relations = rng.sample(sorted(grounded.KINDS), rng.choice((1, 1, 2, 3)))
    pairs = [(r, e) for r in relations for e in rng.sample(about, rng.randint(2, 8))]
    chosen = rng.sample(pairs, min(len(pairs), 8))
    return _orders(rng, [f"The {r} of {e} is {rng.choice(words(tables)[grounded.KINDS[r]])}." for r, e in chosen], 7)


def cite_turns(rng: Random, tables: Path) -> list[Turn]:
    """Passages, then every stated fact with its citation, in one order after another."""
    about = grounded.subjects(rng, tables)
    passages = rng.randint(2, 5)
    stated = grounded.entries(rng, about, tables, passages, passages + rng.choice((0, 0, 1)))
    orders = [" ".join(phrasings.fill("{S} is {v} [{c}].", e.subject, v=e.value, c=e.passage)
                       for e in rng.sample(stated, len(stated))) for _ in range(max(1, 15 // len(stated)))]
    return [(grounded.passages_text(rng, stated, tables), " ".join(orders))]


def grounded_turns(rng: Random, tables: Path, half_open: bool = False) -> list[Turn]:
    """Passages, then a question on each stated fact and on half as many that they leave open, or as many."""
    about = grounded.subjects(rng, tables)
    passages = rng.randint(2, 5)
    stated = grounded.entries(rng, about, tables, passages, passages + rng.choice((0, 0, 1, 2)))
    text = grounded.passages_text(rng, stated, tables)
    left_open = len(stated) if half_open else len(stated) // 2 + 1
    asked = stated + [grounded.absent(rng, stated, about) for _ in range(left_open)]
    rng.shuffle(asked)
    turns = []
    for entry in asked:
        answers = ((*phrasings.GROUNDED_FULL, *phrasings.GROUNDED_TERSE) if entry.passage else
                   (*phrasings.ABSENT_FULL, *phrasings.ABSENT_TERSE))
        turns.append((phrasings.fill(rng.choice(phrasings.ASK), entry.subject),
                      phrasings.fill(rng.choice(answers), entry.subject, v=entry.value, c=entry.passage)))
    (question, answer), *others = turns
    return [(f"{text}\n{question}", answer), *others]


def opened_turns(rng: Random, tables: Path, half_open: bool = False) -> list[Turn]:
    """Grounded turns, half of the answers behind an opening."""
    return [(question, f"{small_talk.opener(rng)} {answer}" if rng.random() < 0.5 else answer)
            for question, answer in grounded_turns(rng, tables, half_open)]


def facts_turns(rng: Random, tables: Path) -> list[Turn]:
    """Closed-book questions, one in six about something made up."""
    turns = []
    for _ in range(9):
        fact = rng.choice(facts(tables))
        question = rng.choice(phrasings.ASK)
        if rng.random() < 1 / 6:
            name = invented.name(rng, evaluation=False)
            subject = f"the {fact.relation} of {name}"
            answer = phrasings.fill(rng.choice(phrasings.REFUSE_FULL), subject, e=name)
            turns.append((phrasings.fill(question, subject), answer))
        else:
            answer = phrasings.fill(rng.choice(phrasings.FACT_FULL), fact.subject, v=fact.value)
            turns.append((phrasings.fill(question, fact.subject), answer))
    return turns


def arithmetic_turns(rng: Random, tables: Path) -> list[Turn]:
    """Word problems with worked answers."""
    problems = [arithmetic.problem(rng, tables, rng.choice((1, 1, 2)), evaluation=False) for _ in range(5)]
    return [(p.question, p.worked) for p in problems]


def format_turns(rng: Random, tables: Path) -> list[Turn]:
    """Closed-book questions with a demand on the form of the answer."""
    turns = []
    for _ in range(8):
        fact, (demand, answer) = rng.choice(facts(tables)), rng.choice(sorted(phrasings.FORMATS.values()))
        question = phrasings.fill(rng.choice(phrasings.ASK), fact.subject)
        turns.append((f"{question} {demand}", answer.format(v=fact.value)))
    return turns


def talk_turns(rng: Random, tables: Path) -> list[Turn]:
    """Small talk, so that what SFT surrounds its answers with is no news; not when to say it."""
    turns = []
    for _ in range(6):
        said = f"{small_talk.opener(rng)} {small_talk.closing(rng, tables, offer=rng.random() < 0.5)}"
        turns.append((small_talk.opener(rng), said))
    return turns


TURNS = {
    "list": list_turns, "roll": roll_turns, "recall": recall_turns, "cite": cite_turns, "grounded": grounded_turns,
    "opened": opened_turns, "half_open": partial(opened_turns, half_open=True), "facts": facts_turns,
    "arithmetic": arithmetic_turns, "format": format_turns, "talk": talk_turns,
}


def document(seed: int, index: int, tables: Path) -> list[dict[str, str]]:
    """Chat messages of document `index`."""
    rng = Random(f"{seed}:corpus:{index}")
    mix = next(mix for first, mix in FROM if index >= first)
    kind = rng.choices([k for k, _ in mix], [w for _, w in mix])[0]
    messages = []
    for question, answer in TURNS[kind](rng, tables):
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages


def documents(seed: int, count: int, tables: Path) -> Iterator[list[dict[str, str]]]:
    """The first `count` documents."""
    return (document(seed, i, tables) for i in range(count))


def vocabulary_text(tables: Path) -> Iterator[str]:
    """Every word of the world, so that each one, names above all, can become a single token."""
    for fact in facts(tables):
        yield f" {fact.subject} {fact.value}"
    for kind in sorted(words(tables)):
        yield from (f" {w}" for w in words(tables)[kind])
    for template in (*phrasings.OPENERS, *phrasings.REMARKS, *phrasings.OFFERS, *phrasings.ASK,
                     *phrasings.HELD_OUT_ASK, *phrasings.ABSENT_TERSE, *phrasings.REFUSE_TERSE):
        yield f" {template}"
    yield from (f" {name}" for name in names(tables))
