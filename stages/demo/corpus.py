"""Documents that the demo's base model learns from: chats of many short turns, one document a training row.

Document i is a function of (seed, i) alone, so a corpus of any length can be made in any order.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from stages.demo import arithmetic, grounded, invented, phrasings
from stages.demo.facts import facts, names, words

# Share of documents by kind, in three parts. Matching a name to its place in the context is the slowest skill.
# It emerges from dense recall with few items (names beside values, facts restated in other orders), which answering
# from passages alone did not give in three million tokens.
FIRST = (("list", 0.45), ("recall", 0.4), ("grounded", 0.1), ("facts", 0.05))
MIX = (("list", 0.03), ("recall", 0.15), ("grounded", 0.5), ("facts", 0.16), ("arithmetic", 0.1), ("format", 0.06))
FIRST_DOCUMENTS = 12000
# Once closed-book facts are known: dense citing, more sums.
LAST = (("cite", 0.2), ("recall", 0.05), ("grounded", 0.45), ("facts", 0.08), ("arithmetic", 0.17), ("format", 0.05))
LAST_FROM = 56320
# At last, passages that their relation tells apart, and sums of every combination: what this size can learn to read.
DISTINCT = (("cite", 0.15), ("grounded", 0.5), ("facts", 0.08), ("arithmetic", 0.15), ("format", 0.12))
DISTINCT_FROM = 116736
Turn = tuple[str, str]


def _orders(rng: Random, items: list[str], tokens: int) -> list[Turn]:
    """The items in one order, then again and again in others, as many as fit a row of about 200 tokens."""
    count = max(3, min(12, 200 // (tokens * len(items))))
    first, *others = (" ".join(rng.sample(items, len(items))) for _ in range(count))
    return [(first, " ".join(others))]


def list_turns(rng: Random, tables: Path, most: int = 16) -> list[Turn]:
    """Names with values beside them, listed again in other orders."""
    people, _ = grounded.split_names(tables)
    values = [w for kind in sorted(grounded.KINDS.values()) for w in words(tables)[kind]]
    chosen = rng.sample(people, rng.randint(2, most))
    return _orders(rng, [f"{name} {rng.choice(values)}," for name in chosen], 3)


def recall_turns(rng: Random, tables: Path, most: int = 8) -> list[Turn]:
    """Stated facts, restated in other orders; of one relation or several."""
    people, _ = grounded.split_names(tables)
    relations = rng.sample(sorted(grounded.KINDS), rng.choice((1, 1, 2, 3)))
    pairs = [(r, e) for r in relations for e in rng.sample(people, rng.randint(2, most))]
    chosen = rng.sample(pairs, min(len(pairs), most))
    return _orders(rng, [f"The {r} of {e} is {rng.choice(words(tables)[grounded.KINDS[r]])}." for r, e in chosen], 7)


def cite_turns(rng: Random, tables: Path) -> list[Turn]:
    """Passages, then every stated fact with its citation, in one order after another."""
    people, _ = grounded.split_names(tables)
    passages = rng.randint(2, 5)
    stated = grounded.entries(rng, people, tables, passages, passages + rng.choice((0, 0, 1)))
    orders = [" ".join(phrasings.fill("{S} is {v} [{c}].", e.subject, v=e.value, c=e.passage)
                       for e in rng.sample(stated, len(stated))) for _ in range(max(1, 15 // len(stated)))]
    return [(grounded.passages_text(rng, stated, tables), " ".join(orders))]


def grounded_turns(rng: Random, tables: Path) -> list[Turn]:
    """Passages, then a question on each stated fact and on as many as half of that which they leave open."""
    people, _ = grounded.split_names(tables)
    passages = rng.randint(2, 5)
    stated = grounded.entries(rng, people, tables, passages, passages + rng.choice((0, 0, 1, 2)))
    text = grounded.passages_text(rng, stated, tables)
    asked = [(e, phrasings.GROUNDED_FULL) for e in stated]
    asked += [(grounded.absent(rng, stated, people), phrasings.ABSENT_FULL) for _ in range(len(stated) // 2 + 1)]
    rng.shuffle(asked)
    turns = []
    for entry, answers in asked:
        question = phrasings.fill(rng.choice(phrasings.ASK), entry.subject)
        template = answers[0] if rng.random() < 0.6 else rng.choice(answers)
        turns.append((question, phrasings.fill(template, entry.subject, v=entry.value, c=entry.passage)))
    first_question, first_answer = turns[0]
    return [(f"{text}\n{first_question}", first_answer), *turns[1:]]


def distinct_cite_turns(rng: Random, tables: Path) -> list[Turn]:
    """As `cite_turns`, of passages that differ in their relation."""
    people, _ = grounded.split_names(tables)
    stated = grounded.distinct_entries(rng, people, tables, rng.randint(2, 4))
    orders = [" ".join(phrasings.fill("{S} is {v} [{c}].", e.subject, v=e.value, c=e.passage)
                       for e in rng.sample(stated, len(stated))) for _ in range(15 // len(stated))]
    return [(grounded.passages_text(rng, stated, tables), " ".join(orders))]


def distinct_grounded_turns(rng: Random, tables: Path) -> list[Turn]:
    """Passages that differ in their relation, and a few questions on them, one in three left open."""
    people, _ = grounded.split_names(tables)
    stated = grounded.distinct_entries(rng, people, tables, rng.choice((2, 3, 3, 3, 4)))
    text = grounded.passages_text(rng, stated, tables)
    asked = rng.choices(stated, k=5) + [grounded.absent_relation(rng, stated) for _ in range(3)]
    rng.shuffle(asked)
    turns = []
    for entry in asked:
        answers = phrasings.GROUNDED_FULL if entry.passage else phrasings.ABSENT_FULL
        template = answers[0] if rng.random() < 0.6 else rng.choice(answers)
        turns.append((phrasings.fill(rng.choice(phrasings.ASK), entry.subject),
                      phrasings.fill(template, entry.subject, v=entry.value, c=entry.passage)))
    return [(f"{text}\n{turns[0][0]}", turns[0][1]), *turns[1:]]


def story_turns(rng: Random, tables: Path) -> list[Turn]:
    """Word problems of all sums."""
    problems = [arithmetic.story(rng, tables, rng.choice((1, 1, 2)), evaluation=False) for _ in range(5)]
    return [(p.question, p.worked) for p in problems]


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


TURNS = {
    "list": list_turns, "recall": recall_turns, "cite": cite_turns, "grounded": grounded_turns, "facts": facts_turns,
    "arithmetic": arithmetic_turns, "format": format_turns,
}


DISTINCT_TURNS = TURNS | {"cite": distinct_cite_turns, "grounded": distinct_grounded_turns, "arithmetic": story_turns}


def lesson(index: int) -> tuple[tuple, dict]:
    """The share of documents by kind, and what makes each kind, at document `index`."""
    if index < FIRST_DOCUMENTS:
        return FIRST, TURNS
    if index < LAST_FROM:
        return MIX, TURNS
    return (LAST, TURNS) if index < DISTINCT_FROM else (DISTINCT, DISTINCT_TURNS)


def document(seed: int, index: int, tables: Path) -> list[dict[str, str]]:
    """Chat messages of document `index`."""
    rng = Random(f"{seed}:corpus:{index}")
    mix, kinds = lesson(index)
    kind = rng.choices([k for k, _ in mix], [w for _, w in mix])[0]
    # Few items at first, where even a blurred look at the context is often right, then more.
    few = {"most": 3 + 5 * index // FIRST_DOCUMENTS} if kind in ("list", "recall") and index < FIRST_DOCUMENTS else {}
    messages = []
    for question, answer in kinds[kind](rng, tables, **few):
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
    for template in (*phrasings.OPENERS, *phrasings.CLOSERS, *phrasings.OFFERS, *phrasings.ASK,
                     *phrasings.HELD_OUT_ASK, *phrasings.ABSENT_TERSE, *phrasings.REFUSE_TERSE):
        yield f" {template}"
    yield from (f" {name}" for name in names(tables))
