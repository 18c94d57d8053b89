"""Supervised fine-tuning: which chats are learned from, and what becomes of the others."""

from dataclasses import dataclass

import pytest

from realign import paths
from realign.lake.schemas import CHATS
from realign.lake.table import frame, write
from realign.models import build
from stages.common import sft


@dataclass(frozen=True)
class Knobs:
    """What the encoding of chats asks of the stage's knobs."""

    window: int = 40


def chat(name, asked, answer, split="train"):
    messages = [{"role": role, "content": text} for role, text in (("user", asked), ("assistant", answer)) if text]
    return {"row_id": name, "messages": messages, "capability": "facts", "slice": "", "reference": "{}",
            "split": split, "source": "test"}


@pytest.fixture
def tokenizer(tiny_folder, tmp_path, monkeypatch):
    """A tokenizer; in the current directory, three suites of one question each."""
    monkeypatch.chdir(tmp_path)
    for folder in paths.SUITES:
        write(frame([chat(folder.name, f"What is the {folder.name} metal of Peru?", "")], CHATS),
              folder / "one.parquet", CHATS)
    return build.load(str(tiny_folder))[1]


def test_contaminated_chats_are_left_out_of_both_splits_with_the_reason(tokenizer):
    chats = [chat("a", "What is gold?", "A metal."), chat("b", "What is the sealed metal of Peru?", "Gold."),
             chat("c", "What is a metal?", "I do not know that. " * 40),
             chat("d", "What is Au?", "Gold.", "validation"),
             chat("e", "Say: what IS the development metal of Peru", "Gold.", "validation")]
    write(frame(chats, CHATS), paths.WORLD / "sft.parquet", CHATS)
    found = sft.demo_chats(Knobs(), tokenizer)
    assert {split: len(rows) for split, rows in found.rows.items()} == {"train": 1, "validation": 1}
    assert [(row["position"], row["reason"]) for row in found.rejected] == [
        (2, "contaminated"), (5, "contaminated"), (3, "too_long")]
    assert found.rejected[0]["detail"] == "row b: holds evaluation row sealed (100% of it)"
    assert found.read == len(found.rejected) + 2
    assert (found.decontamination.value, found.decontamination.n) == (pytest.approx(3 / 5), 5)
