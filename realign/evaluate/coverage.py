"""Which part of what an evaluation declares it can judge, and where a model falls short of what is wanted."""

from collections import defaultdict
from collections.abc import Sequence

from realign.evaluate.capabilities import accuracy
from realign.evaluate.retention import LEAST, cells
from realign.metrics import Metric, exact, proportion

TARGET = 0.92  # of task accuracy (DESIGN §5)


def coverage(declared: Sequence[dict], base: Sequence[dict], answered: Sequence[dict]) -> Metric:
    """Share of the cells (capability × slice, small slices of a capability taken together as `other`) of the declared
    rows that can show a loss: LEAST of their rows or more answered by both models, and some of them right by the base.
    `n` counts cells; counted, not estimated."""
    before, after = {row["example_id"]: row["score"] for row in base}, {row["example_id"] for row in answered}
    scores: dict[str, list[float]] = {}
    for example, cell in cells([row | {"example_id": row["row_id"]} for row in declared]).items():
        scores.setdefault(cell, []).extend([before[example]] if example in before and example in after else [])
    covered = sum(len(found) >= LEAST and any(found) for found in scores.values())
    return exact(covered / len(scores), len(scores)) if scores else proportion(0, 0)


def gaps(rows: Sequence[dict]) -> dict[str, Metric]:
    """Accuracy of every capability and cell of LEAST rows or more that lies below TARGET, by its name."""
    by_cell = defaultdict(list)
    for row, cell in zip(rows, cells(rows).values(), strict=True):
        by_cell[cell].append(row["score"])
    found = accuracy(rows) | {name: proportion(int(sum(scores)), len(scores)) for name, scores in by_cell.items()}
    return {name: metric for name, metric in sorted(found.items()) if metric.n >= LEAST and metric.value < TARGET}
