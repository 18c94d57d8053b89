"""Recall of decontamination by kind of edit, and its false alarms, on the demo's rows and on GSM8K.

Run: python -m benchmarks.contamination [--gsm8k FOLDER] [--write docs/trust.md]. The demo's rows must be there
(`dvc repro world`); without GSM8K (train.jsonl and test.jsonl) its columns are left out, and the table says so.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks.edits import EDITS, NAMES, REPLACED, Row, edits_of, world
from benchmarks.page import write
from realign import paths
from realign.curate.contamination import Index, evaluation_index, index
from realign.curate.text import texts_of
from realign.lake.schemas import CHATS
from realign.lake.table import small_rows
from realign.metrics import Metric, proportion

SEED = 0
DEMO_ROWS = 600  # of the gate's suite, a fifth
ANOTHER_QUESTION = (NAMES, REPLACED)  # in the demo: its rows are a template and one name


@dataclass(frozen=True)
class Measured:
    """Of one set of evaluation rows: recall by kind of edit, and false alarms (flagged, looked at) by training set."""

    name: str
    recall: dict[str, Metric]
    alarms: dict[str, tuple[int, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gsm8k", type=Path, default=Path("../shared/data/gsm8k"), help="folder of its two files")
    parser.add_argument("--write", type=Path, default=Path("docs/trust.md"), help="the page that holds the table")
    options = parser.parse_args()
    measured = [demo()]
    if (options.gsm8k / "test.jsonl").exists():
        measured.append(gsm8k(options.gsm8k))
    else:
        print(f"GSM8K is not in {options.gsm8k}: left out")
    page = table(measured)
    print(page)
    write(page, options.write, "decontamination", "benchmarks.contamination", "Decontamination")


def demo() -> Measured:
    """The demo's rows: its suites against its own SFT chats and RL prompts."""
    found = evaluation_index(paths.EVALUATION, paths.SEALED, paths.DEVELOPMENT)
    suite = small_rows(paths.EVALUATION / "demo.parquet", CHATS)[::5]
    rows = [Row(row["messages"][-1]["content"], json.loads(row["reference"]).get("exact", "")) for row in suite]
    chats, prompts = (small_rows(paths.WORLD / f"{name}.parquet", CHATS) for name in ("sft", "prompts"))
    texts = {"SFT chats": _texts(chats), "RL prompts": _texts([p for p in prompts if p["split"] == "prompts"])}
    kinds = [kind for kind in EDITS if kind not in ANOTHER_QUESTION]
    return measure("demo", found, rows, kinds, texts)


def gsm8k(folder: Path) -> Measured:
    """The test questions of GSM8K with their worked answers, against its training rows."""
    test, train = ([Row(each["question"], each["answer"]) for each in map(json.loads, (folder / name).open())]
                   for name in ("test.jsonl", "train.jsonl"))
    ids = [str(place) for place in range(len(test))]
    found = index([row.question for row in test], ids, [row.answer for row in test], ids)
    return measure("GSM8K", found, test, list(EDITS), {"training rows": [[row.question, row.answer] for row in train]})


def measure(name: str, found: Index, rows: Sequence[Row], kinds: Sequence[str],
            training: dict[str, list[list[str]]]) -> Measured:
    """Recall on edits of the rows, each with clean sentences of the training sets around, and what of these sets is
    flagged."""
    clean = [texts[0] for each in training.values() for texts in each[:500]]
    flagged = _flagged(found, [[text] for text in clean])
    drawn = world(rows, [text for place, text in enumerate(clean) if place not in flagged])
    recall = {}
    for kind in kinds:
        edited = edits_of(kind, rows, drawn, SEED)
        recall[kind] = proportion(len(_flagged(found, edited)), len(edited))
    return Measured(name, recall, {part: (len(_flagged(found, texts)), len(texts)) for part, texts in training.items()})


def table(measured: Sequence[Measured]) -> str:
    """Both tables, as Markdown."""
    names = [each.name for each in measured]
    lines = [f"| kind of edit | {' | '.join(f'recall, {name}' for name in names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {kind} | {' | '.join(_cell(each.recall.get(kind)) for each in measured)} |" for kind in EDITS]
    lines += ["", "| training rows that are not edits | flagged | of |", "|---|---|---|"]
    lines += [f"| {each.name}: {part} | {count} | {total:,} |"
              for each in measured for part, (count, total) in each.alarms.items()]
    return "\n".join(lines)


def _cell(recall: Metric | None) -> str:
    """Recall with its interval and the number of edits; a dash where no row can be edited so."""
    if recall is None or not recall.n:
        return "–"
    return f"{recall.value:.3f} ({recall.low:.3f}–{recall.high:.3f}), n = {recall.n:,}"


def _flagged(found: Index, rows: Sequence[Sequence[str]]) -> set[int]:
    """The places of the rows, of so many texts each, that are contaminated."""
    frame = pl.DataFrame({"texts": rows}, {"texts": pl.List(pl.String)})
    return set(found.faults(texts_of(frame, pl.col("texts")))["row"])


def _texts(chats: Sequence[dict]) -> list[list[str]]:
    return [[message["content"] for message in chat["messages"]] for chat in chats]


if __name__ == "__main__":
    main()
