"""The demo's questions: facts that do not contradict each other, and evaluation that training never saw."""

import re
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.verify.reference import verify
from stages.demo import arithmetic, chats, corpus, grounded, invented, phrasings, small_talk
from stages.demo.facts import facts, names, read

TABLES = Path("data/tables").resolve()
TRAINING, HELD_OUT = ("train", "validation", "prompts"), tuple(chats.HELD_OUT)
COMBINATION = re.compile(r"(\d+) ([+-]) (\d+) = (\d+)")


@cache
def asked(part: str, capability: str, count: int = 250) -> list[chats.Question]:
    return [chats.question(capability, 0, part, i, TABLES) for i in range(count)]


@cache
def training_text() -> str:
    """Prompts and answers of every training part, and documents of the base corpus from its start to its end."""
    texts = [text for part in TRAINING for c in chats.CAPABILITIES for q in asked(part, c)
             for text in (q.prompt, *q.full, *q.terse)]
    texts += [m["content"] for first, _ in corpus.FROM for i in range(first, first + 1200)
              for m in corpus.document(0, i, TABLES)]
    return "\n".join(texts)


def test_every_fact_has_one_value_and_its_rivals_are_the_others():
    found = facts(TABLES)
    assert len(found) > 500
    assert max(Counter((f.relation, f.entity) for f in found).values()) == 1
    for f in found:
        assert f.value and f.value not in f.rivals and len(set(f.rivals)) == len(f.rivals)


def test_tables_have_no_empty_or_padded_cell():
    for path in sorted(TABLES.glob("*.csv")):
        for row in read(TABLES, path.stem):
            assert all(value and value == value.strip() for value in row.values()), (path.stem, row)


def test_no_value_is_said_by_small_talk():
    """A rival in an opening or a closing sentence would make right answers wrong."""
    said = " ".join([*phrasings.OPENERS, *phrasings.REMARKS, *phrasings.FACT_FULL, *phrasings.FACT_TERSE,
                     *phrasings.REFUSE_FULL])
    said = re.sub(r"\{\w\}", "", said)
    for capability in ("facts", "grounded", "arithmetic"):  # and the words that fill them, as they are used
        for i, question in enumerate(asked("train", capability)):
            text = chats.styled(question, Random(i), TABLES)
            *_, core = sorted((c for c in (*question.full, *question.terse) if c in text), key=len)
            said += text.replace(core, "").replace(question.about, "")
    rivals = {r for c in ("facts", "refusal", "grounded") for q in asked("train", c) for r in q.reference.rivals}
    assert len(rivals) > 300
    for rival in sorted(rivals):
        flags = re.IGNORECASE if len(rival) > 3 else 0  # up to three letters, case tells a value from a word
        assert not re.search(rf"(?<!\w){re.escape(rival)}(?!\w)", said, flags), rival


@pytest.mark.parametrize("capability", chats.CAPABILITIES)
def test_a_question_is_a_function_of_its_arguments(capability):
    for part in ("train", "evaluation"):
        one, same = (chats.question(capability, 3, part, 7, TABLES) for _ in range(2))
        assert one == same and chats.styled(one, Random(1), TABLES) == chats.styled(same, Random(1), TABLES)
        assert len({chats.question(capability, 3, part, i, TABLES).prompt for i in range(40)}) > 30
    assert len({chats.question(capability, seed, "train", 7, TABLES).prompt for seed in range(20)}) > 15


@pytest.mark.parametrize("part", HELD_OUT)
@pytest.mark.parametrize("capability", ["facts", "grounded", "refusal", "format"])
def test_evaluation_asks_in_phrasings_that_training_never_saw(part, capability):
    patterns = [re.compile(re.escape(t).replace(r"\{s\}", "the .+? of .+?")) for t in chats.HELD_OUT[part]]
    for question in asked(part, capability):
        line = question.prompt.splitlines()[-1]
        assert any(p.match(line) for p in patterns), line
    assert not any(p.search(training_text()) for p in patterns)


def test_evaluation_reads_about_people_of_whom_training_never_read():
    train, held_out = grounded.split_names(TABLES)
    assert not set(train) & set(held_out) and set(train) | set(held_out) == set(names(TABLES)) and len(held_out) >= 15
    people = re.compile(r" of (" + "|".join(held_out) + r")\b(?! Karenina)")  # who is a book
    assert not people.search(training_text())
    for part in HELD_OUT:
        for question in asked(part, "grounded"):
            found = re.findall(r"[Tt]he \w+ of (\w+)", question.prompt)
            assert found and set(found) <= set(held_out), question.prompt


def test_problems_of_evaluation_were_never_in_training():
    trained = training_text()
    for part in HELD_OUT:
        assert not [q.prompt for q in asked(part, "arithmetic") if q.prompt in trained]


def test_made_up_names_are_split_once_and_for_all():
    train, held_out = set(invented.names(False)), set(invented.names(True))
    assert not train & held_out and len(held_out) > 500
    said = set(re.findall(r"\w+", training_text()))
    assert said & train and not said & held_out
    known = {w for f in facts(TABLES) for w in (*f.entity.split(), f.value)} | set(names(TABLES))
    assert not known & (train | held_out)
    for part in HELD_OUT:
        assert {q.reference.subject[1] for q in asked(part, "refusal") if q.slice == "made up"} <= held_out


def test_every_fact_is_asked_before_one_comes_again():
    count = len(chats._checkable(TABLES))
    for part in ("train", "evaluation"):
        subjects = [q.reference.subject for q in asked(part, "facts", count + 1)]
        assert len(set(subjects[:count])) == count and subjects[0] == subjects[count]
    assert asked("evaluation", "facts")[0].reference.subject != asked("sealed", "facts")[0].reference.subject


def test_sealed_questions_are_asked_in_words_of_their_own():
    assert not set(phrasings.SEALED_ASK) & {*phrasings.GATE_ASK, *phrasings.ASK}


@pytest.mark.parametrize("kind", ["thing", "person"])
def test_unknown_pairs_are_in_no_table_and_split_once_and_for_all(kind):
    known = {(f.relation, f.entity) for f in facts(TABLES)}
    train, held_out = (set(chats.strangers(TABLES, held_out)[kind]) for held_out in (False, True))
    assert not (train | held_out) & known and not train & held_out
    assert 0.08 < len(held_out) / len(train | held_out) < 0.3 and len(held_out) > 200
    relations, entities = {r for r, _ in known}, {e for _, e in known} | set(names(TABLES))
    assert all(r in relations and e in entities for r, e in train | held_out)
    for part in HELD_OUT:
        pairs = {q.reference.subject for q in asked(part, "refusal") if q.slice == kind}
        assert pairs and pairs <= held_out


def test_half_of_the_held_out_passages_are_five():
    for part in HELD_OUT:
        long = [q for q in asked(part, "grounded") if q.slice.endswith(", 5 passages")]
        assert 0.4 < len(long) / 250 < 0.6 and all("\n[5] " in q.prompt and "[6]" not in q.prompt for q in long)


@pytest.mark.parametrize("part", ["train", "evaluation"])
def test_sums_are_right_and_small(part):
    for question in asked(part, "arithmetic"):
        story = [int(n) for n in re.findall(r"\d+", question.prompt)]
        gains = [1 if any(f" {w} " in s for w in arithmetic.GAIN) else -1 for s in question.prompt.split(". ")[1:-1]]
        total = story[0] + sum(g * n for g, n in zip(gains, story[1:], strict=True))
        assert question.reference.number == total >= 0
        for a, sign, b, result in COMBINATION.findall(question.full[0]):
            assert int(a) + (int(b) if sign == "+" else -int(b)) == int(result)


def test_grounded_references_are_what_the_passages_say():
    kinds = Counter()
    for part in ("train", "evaluation"):
        for question in asked(part, "grounded"):
            reference, (relation, entity) = question.reference, question.reference.subject
            stated = re.findall(rf"^\[\d\].*\b[Tt]he {relation} of {entity} is ([\w ]+)\.", question.prompt, re.M)
            kinds[question.slice.split(",")[0]] += 1
            expected = [] if reference.refuse else [reference.answer]
            assert stated == expected, question.prompt
            others = set(re.findall(r" is (\w+)\.", question.prompt)) - {reference.answer}
            assert others <= {*reference.rivals, entity}  # a passage may be about what is a value in another
    assert 0.42 < kinds["absent"] / kinds.total() < 0.58


@pytest.mark.parametrize("capability", chats.CAPABILITIES)
@settings(max_examples=60)
@given(index=st.integers(0, 10**6), style=st.integers(), part=st.sampled_from([*TRAINING, *HELD_OUT]))
def test_a_styled_answer_is_right(capability, index, style, part):
    question = chats.question(capability, 5, part, index, TABLES)
    right, reason = verify(question.reference, chats.styled(question, Random(style), TABLES))
    assert right, reason


def test_an_answer_comes_back_to_what_was_asked_about():
    for capability in ("facts", "grounded", "arithmetic", "refusal"):
        for i, question in enumerate(asked("train", capability, 60)):
            assert question.about in question.prompt
            *_, last = chats.styled(question, Random(i), TABLES).split(". ")
            if last.endswith("?"):
                assert question.about in last


def test_closings_have_their_customs_and_no_wording_is_everybodys():
    """What is likeliest where one relation is asked about is what a greedy answer ends with."""
    ends = {relation: Counter() for relation in ("capital", "job", "symbol", "2 step")}
    for relation, found in ends.items():
        for i in range(400):
            last = small_talk.closing_on(Random(i), TABLES, True, "Peru", relation)
            words = re.sub("|".join(sorted(small_talk._topics(TABLES), key=len, reverse=True)), "{}", last)
            found[words] += 1
        (_, most), (_, second) = found.most_common(2)
        assert 0.45 < most / 400 < 0.65 and second < 50 and len(found) == len(phrasings.OFFERS), relation
    asked = {fact.relation for fact in chats._checkable(TABLES)} | {*grounded.KINDS} | {"1 step", "2 step"}
    customs = Counter(Random(f"{name}:True").choice(phrasings.OFFERS) for name in asked)
    assert customs.most_common(1)[0][1] / len(asked) < 0.25


def test_sums_are_always_worked():
    for question in asked("train", "arithmetic"):
        steps = int(question.slice[0])
        assert {len(COMBINATION.findall(core)) for core in (*question.full, *question.terse)} == {steps}


def test_documents_are_functions_of_seed_and_number():
    for index in (0, 5, *(first + shift for first, _ in corpus.FROM[:-1] for shift in (-1, 0))):
        assert corpus.document(0, index, TABLES) == corpus.document(0, index, TABLES)
        assert corpus.document(0, index, TABLES) != corpus.document(1, index, TABLES)
    assert list(corpus.documents(4, 3, TABLES)) == [corpus.document(4, i, TABLES) for i in range(3)]
    for document in corpus.documents(0, 50, TABLES):
        assert [m["role"] for m in document] == ["user", "assistant"] * (len(document) // 2) and len(document) >= 2
