"""Edits of an evaluation row that leave what it asks, kind by kind: what decontamination has to find."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LOOK_ALIKE = str.maketrans("aceiopxyABCEHKMOPTX", "асеіорхуАВСЕНКМОРТХ")  # Latin to Cyrillic
ACCENTED = str.maketrans("aeioucn", "áèîöüçñ")
UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
SENTENCE = re.compile(r"(?<=[.?!])\s+")
NAMES, ORDER, ANSWER, REPLACED = (
    "names changed", "order of sentences changed", "answer alone", "one word in ten replaced")
NAME = re.compile(r"\b[A-Z][a-z]+\b")


@dataclass(frozen=True)
class Row:
    """An evaluation row, to be edited: its question, and its answer in words (may be empty)."""

    question: str
    answer: str


@dataclass(frozen=True)
class World:
    """What edits draw from: sentences that stand around, names and words."""

    sentences: Sequence[str]
    names: Sequence[str]
    words: Sequence[str]


Edit = Callable[[Row, World, random.Random], list[str]]  # the texts of a training row


def world(rows: Sequence[Row], around: Sequence[str]) -> World:
    """What edits of these rows draw from: sentences of the texts `around`, which must be clean; names (capitalised
    words that never stand in lower case) and other words of the rows."""
    texts = [text for row in rows for text in (row.question, row.answer)]
    lower = {word for text in texts for word in re.findall(r"\b[a-z]+\b", text)}
    names = {name for text in texts for name in NAME.findall(text) if name.lower() not in lower}
    return World([s for text in around for s in SENTENCE.split(text)], sorted(names), sorted(lower))


def edits_of(kind: str, rows: Sequence[Row], world: World, seed: int) -> list[list[str]]:
    """The edits of one kind of all rows that it changes: an answer of under 5 words is none, and of names only those
    count that leave four fifths of the words."""
    found, rng = [], random.Random(f"{seed}:{kind}")
    for row in rows:
        texts = EDITS[kind](row, world, rng)
        if kind == ANSWER and len(row.answer.split()) < 5:
            continue
        if kind in (NAMES, ORDER) and texts == [row.question] or kind == NAMES and words_left(row, texts[0]) < 0.8:
            continue
        found.append(texts)
    return found


def words_left(row: Row, edited: str) -> float:
    """The share of the words of a question that stand in its edit as they were."""
    before, after = row.question.split(), edited.split()
    return sum(a == b for a, b in zip(before, after, strict=True)) / len(before)


def _one_in(n: int, text: str, rng: random.Random, change: Callable[[str], str]) -> str:
    """The text with one word in n changed, of every n one."""
    words = re.split(r"(\s+)", text)
    places = range(0, len(words), 2)
    chosen = {rng.choice(places[i:i + n]) for i in range(0, len(places), n)}
    return "".join(change(word) if at in chosen else word for at, word in enumerate(words))


def _replaced(text: str, world: World, rng: random.Random) -> str:
    words = text.split()
    for at in rng.sample(range(len(words)), max(1, len(words) // 10)):
        words[at] = rng.choice(world.words)
    return " ".join(words)


def _renamed(text: str, world: World, rng: random.Random) -> str:
    present = sorted(set(NAME.findall(text)) & set(world.names))
    others = rng.sample([name for name in world.names if name not in present], len(present))
    changed = dict(zip(present, others, strict=True))
    return NAME.sub(lambda m: changed.get(m.group(), m.group()), text)


def _shuffled(text: str, rng: random.Random) -> str:
    sentences = SENTENCE.split(text)
    return " ".join(sentences[1:] + sentences[:1]) if len(sentences) < 3 else " ".join(
        rng.sample(sentences, len(sentences)))


def _sentences(world: World, rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(world.sentences, k=count))


def _punctuation(text: str, rng: random.Random, marks: Sequence[str]) -> str:
    return re.sub(r"[^\w\s]", lambda _: rng.choice(marks), text)


EDITS: dict[str, Edit] = {
    "as it is": lambda row, world, rng: [row.question],
    "upper case": lambda row, world, rng: [row.question.upper()],
    "title case": lambda row, world, rng: [row.question.title()],
    "punctuation removed": lambda row, world, rng: [_punctuation(row.question, rng, [""])],
    "punctuation changed": lambda row, world, rng: [_punctuation(row.question, rng, list(";:!-–…"))],
    "a sentence before": lambda row, world, rng: [f"{_sentences(world, rng, 1)} {row.question}"],
    "a sentence after": lambda row, world, rng: [f"{row.question} {_sentences(world, rng, 1)}"],
    "sentences around": lambda row, world, rng: [
        f"{_sentences(world, rng, 2)} {row.question} {_sentences(world, rng, 2)}"],
    "inside a long prompt": lambda row, world, rng: [
        f"{_sentences(world, rng, 60)}\n\n{row.question}\n\n{_sentences(world, rng, 60)}"],
    "before a long answer": lambda row, world, rng: [row.question, _sentences(world, rng, 60)],
    "question and answer in one text": lambda row, world, rng: [f"Q: {row.question}\nA: {row.answer}"],
    ANSWER: lambda row, world, rng: [row.answer],
    NAMES: lambda row, world, rng: [_renamed(row.question, world, rng)],
    "a homoglyph in one word of five": lambda row, world, rng: [
        _one_in(5, row.question, rng, lambda word: word.translate(LOOK_ALIKE))],
    "a zero-width character in one word of five": lambda row, world, rng: [
        _one_in(5, row.question, rng, lambda word: word[:1] + rng.choice(UNSEEN) + word[1:])],
    "accents in one word of five": lambda row, world, rng: [
        _one_in(5, row.question, rng, lambda word: word.translate(ACCENTED))],
    ORDER: lambda row, world, rng: [_shuffled(row.question, rng)],
    REPLACED: lambda row, world, rng: [_replaced(row.question, world, rng)],
}
