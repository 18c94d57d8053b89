"""The verifier's error rates by kind of answer, on adversarial answers.

Run: python -m benchmarks.verifier [--write docs/trust.md]. The rows lie in tests/realign/verify: `adversarial.jsonl` is
of the rules' first author, `adversarial_blind.jsonl` of somebody who had not seen the rules, `adversarial_kinds.jsonl`
and `adversarial_held_out.jsonl` two halves of one list by kind, of which the rules were mended on the first and on
`adversarial_worked.jsonl` alone, and `adversarial_last.jsonl` was written after most rules and made none.
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realign.metrics import Metric, proportion
from realign.verify.reference import Reference, verify

FOLDER = Path(__file__).parents[1] / "tests/realign/verify"
SETS = {"author's": "adversarial.jsonl", "blind": "adversarial_blind.jsonl", "kinds": "adversarial_kinds.jsonl",
        "worked": "adversarial_worked.jsonl", "held out": "adversarial_held_out.jsonl",
        "last": "adversarial_last.jsonl"}
FRESH = ("held out", "last")  # no rule was made on them
BEGIN, END = "<!-- verifier: python -m benchmarks.verifier -->", "<!-- /verifier -->"
OUTCOMES = {True: "right", False: "wrong", None: "undecided"}
# Words of a question that say nothing of its subject.
_EMPTY = frozenset(["what", "is", "the", "a", "an", "of", "does", "do", "did", "how", "many", "much", "far", "long",
                    "wrote", "which", "in", "to", "it", "they", "there", "for"])


@dataclass(frozen=True)
class Judged:
    """A row with the verifier's outcome."""

    part: str
    kind: str
    label: str
    outcome: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, default=Path("docs/trust.md"), help="the page that holds the table")
    path = parser.parse_args().write
    page = table(judged())
    print(page)
    before, rest = path.read_text(encoding="utf-8").split(BEGIN, 1)
    path.write_text(f"{before}{BEGIN}\n\n{page}\n\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def rows(part: str) -> list[dict]:
    """The rows of a set, each with kind, question, reference, answer and label."""
    return [json.loads(line) for line in (FOLDER / SETS[part]).read_text(encoding="utf-8").splitlines()]


def reference(row: dict) -> Reference:
    """A row's reference in the verifier's own form; the subject is the question's words."""
    given = row["reference"]
    words = tuple(w for w in re.findall(r"[\w%-]+", row["question"]) if w.casefold() not in _EMPTY)
    if given.get("unanswerable"):
        return Reference(refuse=True)
    if "number" in given:
        return Reference(number=given["number"], unit=given.get("unit", ""), subject=words)
    return Reference(answer=given["value"], rivals=tuple(given.get("rivals", ())), citation=given.get("citation"),
                     subject=words)


def judged() -> list[Judged]:
    """Every row of every set with its outcome."""
    return [Judged(part, row["kind"], row["label"], OUTCOMES[verify(reference(row), row["answer"])[0]])
            for part in SETS for row in rows(part)]


def table(found: Sequence[Judged]) -> str:
    """Shares by kind of each set, as Markdown."""
    lines = ["| set | kind | judged rightly | false positives | false negatives |", "|---|---|---|---|---|"]
    for part in SETS:
        here = [each for each in found if each.part == part]
        lines += [_line(part, kind, [each for each in here if each.kind == kind])
                  for kind in sorted({each.kind for each in here})]
        lines.append(_line(part, "**all**", here))
    lines.append(_line("fresh (held out, last)", "**all**", [each for each in found if each.part in FRESH]))
    lines.append(_line("all", "**all**", found))
    return "\n".join(lines)


def agreement(found: Sequence[Judged]) -> Metric:
    """Share of rows whose outcome is the label."""
    return proportion(sum(each.outcome == each.label for each in found), len(found))


def false_positives(found: Sequence[Judged]) -> Metric:
    """Share found right of the rows that are not."""
    outcomes = [each.outcome == "right" for each in found if each.label != "right"]
    return proportion(sum(outcomes), len(outcomes))


def false_negatives(found: Sequence[Judged]) -> Metric:
    """Share not found right of the rows that are."""
    outcomes = [each.outcome != "right" for each in found if each.label == "right"]
    return proportion(sum(outcomes), len(outcomes))


def _line(part: str, kind: str, found: Sequence[Judged]) -> str:
    cells = (agreement(found), false_positives(found), false_negatives(found))
    return f"| {part} | {kind} | {' | '.join(map(_cell, cells))} |"


def _cell(share: Metric) -> str:
    """A share with its 95% Wilson interval and the number of rows; a dash without rows."""
    return f"{share.value:.3f} ({share.low:.3f}–{share.high:.3f}), n = {share.n}" if share.n else "–"


if __name__ == "__main__":
    main()
