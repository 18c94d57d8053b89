"""Faults of single rows: labelled pairs from outside, rows that no model should learn from, training rows that hold an
evaluation row, and answers that a verifier must not take for right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.edits import EDITS, Row, World
from benchmarks.edits import edits_of as edits
from realign.curate.checks import check
from realign.curate.contamination import evaluation_index
from realign.curate.text import PAIR_TEXTS, normalised
from realign.ingest.preferences import ingest_pairs
from realign.lake.schemas import CHATS
from realign.lake.table import frame, write
from realign.verify.reference import Reference, verify
from tests.trust.fault import Fault
from tests.trust.gate_faults import Said, honest_pairs

GIVEN = {"prompt": "Name a sea.", "chosen": "The Baltic.", "rejected": "Paris.", "chosen_score": 0.9,
         "rejected_score": 0.2}


def line(**changes: Any) -> Callable[[], bytes]:
    """The clean line with other values; a value of None is left out."""
    row = {name: value for name, value in (GIVEN | changes).items() if value is not None}
    return lambda: json.dumps(row).encode()


def _given(name: str, says: str, plant: Callable[[], bytes]) -> Fault:
    return Fault("labelled pair", name, "ingestion", says, plant)


def turns(*said: tuple[str, str]) -> list[dict]:
    return [{"role": role, "content": content} for role, content in said]


INGESTED = {fault.name: fault for fault in (
    _given("broken JSON", "broken_json", lambda: b'{"prompt": "broken'),
    _given("not UTF-8", "invalid_utf8", lambda: json.dumps(GIVEN).encode().replace(b"Baltic", b"B\xe4ltic")),
    _given("a list in place of a row", "not_an_object", lambda: b"[1, 2]"),
    _given("no chosen side", "missing_field", line(chosen=None)),
    _given("no prompt", "missing_field", line(prompt=None)),
    _given("a number in place of an answer", "wrong_type", line(rejected=7)),
    _given("both sides the same", "identical_sides", line(rejected="The Baltic.")),
    _given("both sides the same but for a space", "identical_sides", line(rejected="The Baltic. ")),
    _given("a score out of range", "score_out_of_range", line(chosen_score=9.0)),
    _given("a score of NaN", "broken_json", line(chosen_score=float("nan"))),
    _given("a score in words", "wrong_type", line(chosen_score="good")),
    _given("one score of two", "missing_field", line(rejected_score=None)),
    _given("the same row twice", "duplicate", line()),
    _given("an answer of the user", "missing_field", line(chosen=turns(("user", "Name a sea.")))),
    _given("two prompts", "no_shared_prompt", line(
        prompt=None, chosen=turns(("user", "Name a sea."), ("assistant", "The Baltic.")),
        rejected=turns(("user", "Name a city."), ("assistant", "Paris.")))),
)}


def ingested_said(folder: Path) -> Said:
    """The reason with which the ingestion leaves out a row, the second of two; empty where it takes it."""
    said, path = {}, folder / "pairs.jsonl"
    for fault in INGESTED.values():
        path.write_bytes(line()() + b"\n" + fault.plant() + b"\n")
        said[fault.name] = "; ".join(row["reason"] for row in ingest_pairs(path)[1])
    return said


def _checked(name: str, says: str, text: str, column: str = "chosen") -> Fault:
    return Fault("text", name, "row checks", says, lambda rows: rows.with_columns(
        pl.when(pl.col("row_id") == "r5").then(pl.lit(text)).otherwise(column).alias(column)))


CHECKED = {fault.name: fault for fault in (
    _checked("an answer without a letter", "empty_text", " \n\t "),
    _checked("an empty rejected answer", "empty_text", "", "rejected"),
    _checked("an answer of 30,000 characters", "too_long", " ".join(f"word{i}" for i in range(4000))),
    _checked("an answer that repeats itself", "repetition", "jars, hiking or jars? " * 40),
    _checked("a letter that was misread", "encoding", "The cafÃ© is in MÃ¼nchen."),
    _checked("a control character", "encoding", "That makes\x00 12."),
    _checked("an address of mail", "personal_data", "Write to jane.doe@example.org about it."),
    Fault("text", "the same pair under a new id", "row checks", "duplicate", lambda rows: pl.concat(
        [rows, rows.slice(3, 1).with_columns(row_id=pl.lit("new"))])),
)}


def checked_said(folder: Path) -> Said:
    """The reason with which the row checks leave out a pair; empty where they keep all."""
    clean = honest_pairs(20)
    if check(clean, PAIR_TEXTS)[1].height:
        raise AssertionError("a clean pair is left out")
    return {fault.name: "; ".join(check(fault.plant(clean), PAIR_TEXTS)[1]["reason"]) for fault in CHECKED.values()}


ASKED = Row("Ann has five red kites and seven blue ones in a box. Ann sells two of them at the market, and Bob finds "
            "one more by the river. How many kites has Ann now?",
            "Five and seven is twelve, and twelve less two is ten.")
OTHERS = ("A train leaves the station at noon with sixty people. Nine get off at Lima. How many are left?",
          "Carl reads twelve pages a day. The book has ninety pages. How many days does he need to read it?")
AROUND = World(["It rained all day and the road was wet.", "The market opens at seven in the morning.",
                "My brother keeps three old clocks in the hall."], ["Ann", "Bob", "Eve", "Mia"], ["stone", "river"])
SEED = 3  # of the edits: one with which each of them changes something
CONTAMINATED = {f"contaminated, {kind}": Fault(
    "training row", f"contaminated, {kind}", "decontamination", "sums", lambda kind=kind: edits(
        kind, [ASKED], AROUND, SEED)[0]) for kind in EDITS}


def contaminated_said(folder: Path) -> Said:
    """The evaluation row that a training row holds; empty where it is taken for clean."""
    rows = [{"row_id": name, "messages": turns(("user", question)), "capability": "arithmetic", "slice": "s",
             "reference": json.dumps({"exact": answer}), "split": "test", "source": "made"}
            for name, question, answer in (("sums", ASKED.question, ASKED.answer), ("trains", OTHERS[0], "51"),
                                           ("pages", OTHERS[1], "8"))]
    write(frame(rows, CHATS), folder / "suite/rows.parquet", CHATS)
    index = evaluation_index(folder / "suite")

    def held(texts: list[str]) -> str:
        asked = pl.DataFrame({"row": [0] * len(texts), "text": texts})
        return "; ".join(index.faults(asked.with_columns(normal=normalised(pl.col("text"))))["evaluation_id"])
    if any(held([text]) for text in AROUND.sentences):
        raise AssertionError("a clean training row is flagged")
    return {fault.name: held(fault.plant()) for fault in CONTAMINATED.values()}


def _answer(name: str, says: str, text: str, missed: str = "", **reference: Any) -> Fault:
    asked = Reference(**(reference or {"number": 5}))
    return Fault("answer", name, "verifier", says, lambda: (asked, text), missed)


LIMA = {"answer": "Lima", "rivals": ("Arequipa", "Paris", "Rome"), "subject": ("Peru",)}
UNKNOWN = {"refuse": True, "rivals": ("Lima", "Paris"), "subject": ("Atlantis",)}
VERIFIED_ANSWERS = {fault.name: fault for fault in (
    _answer("a wrong number", "wrong number", "She has 6 kites."),
    _answer("the right number, then a wrong one", "wrong number", "She has 5. No, 6."),
    _answer("a number near the right one", "wrong number", "She has 5.5 kites."),
    _answer("two numbers to choose from", "also says", "She has 4 or 5 kites."),
    _answer("the number is denied", "denies it", "It is not 5."),
    _answer("no number", "no number", "She has some kites."),
    _answer("the number in the question back", "no number", "Is it 5?"),
    _answer("a wrong value", "missing", "It is Paris.", **LIMA),
    _answer("all candidates listed", "also says", "It is Lima, Arequipa, Paris or Rome.", **LIMA),
    _answer("the value is denied before", "denies it", "It is not Lima.", **LIMA),
    _answer("the value is denied behind it", "denies it", "Lima is wrong.", **LIMA),
    _answer("the value is what others say", "settles on", "Some say Lima, but it is Cusco.", **LIMA),
    _answer("no more than a guess", "number", "She has more than 5 kites."),
    _answer("a refusal of what is known", "leaves it open", "I do not know, perhaps Lima.", **LIMA),
    _answer("an answer to what cannot be known", "answers", "The capital of Atlantis is Lima.", **UNKNOWN),
    _answer("a refusal that answers", "refuses, yet says", "I do not know, it is Lima.", **UNKNOWN),
    _answer("the wrong passage cited", "cites the wrong", "It is Lima [3].", **LIMA, citation=2),
    _answer("no passage cited", "cites nothing", "It is Lima.", **LIMA, citation=2),
    _answer("another form than asked for", "form", "Answer: yes", exact="yes"),
)}


def answers_said(folder: Path) -> Said:
    """Why the verifier finds an answer wrong; empty where it takes it for right."""
    said = {}
    for fault in VERIFIED_ANSWERS.values():
        right, reason = verify(*fault.plant())
        said[fault.name] = "" if right else reason
    return said
