"""What is left of a model's capabilities, and of their slices, after training."""

import json
from collections import Counter
from collections.abc import Sequence

from realign.interval import ALPHA, Sums, relative_drop
from realign.metrics import Metric

LEAST = 60  # examples of a slice; smaller ones of a capability are taken together as `other` (ours, TRUST)


def retention(before: Sequence[dict], after: Sequence[dict]) -> dict[str, Metric]:
    """Final over earlier accuracy by capability, from records of the same examples, with a verdict's paired interval
    (realign/interval.py), both ends together 95%. KeyError where an example was not answered before."""
    return _by(before, after, {row["example_id"]: row["capability"] for row in after})


def slice_retention(before: Sequence[dict], after: Sequence[dict]) -> dict[str, Metric]:
    """The same by slice, as `slices` names them."""
    return _by(before, after, slices(after))


def cells(rows: Sequence[dict]) -> dict[str, str]:
    """"capability/slice" by example, in the rows' order; a slice of fewer than LEAST rows is its capability's
    `other`."""
    counts = Counter((row["capability"], row["slice"]) for row in rows)
    return {row["example_id"]: f"{row['capability']}/"
            f"{row['slice'] if counts[row['capability'], row['slice']] >= LEAST else 'other'}" for row in rows}


def slices(rows: Sequence[dict]) -> dict[str, str]:
    """The same without cells that have too few examples even as `other`."""
    found = cells(rows)
    sizes = Counter(found.values())
    return {example: cell for example, cell in found.items() if sizes[cell] >= LEAST}


def _by(before: Sequence[dict], after: Sequence[dict], names: dict[str, str]) -> dict[str, Metric]:
    """A cell of which the earlier model could do nothing is left out: it has nothing to lose."""
    old = {row["example_id"]: row["score"] for row in before}
    found = {}
    for name in sorted(set(names.values())):
        rows = [row for row in after if names.get(row["example_id"]) == name]
        earlier = [old[row["example_id"]] for row in rows]
        if any(earlier):
            found[name] = _ratio(rows, earlier)
    return found


def _ratio(rows: Sequence[dict], earlier: Sequence[float]) -> Metric:
    """The score of the rows over the earlier one; examples that ask the same stand together."""
    drop = relative_drop(Sums.of([_asked(row) for row in rows], earlier, [row["score"] for row in rows]), ALPHA / 2)
    return Metric(1 - drop.value, len(rows), max(0.0, 1 - drop.high), 1 - drop.low)


def _asked(row: dict) -> str:
    """What an example asks, as in versions/views.sql: the fact that its reference names, or else its own question."""
    said = json.loads(row["reference"]) if row["reference"].startswith("{") else {}
    return row["reference"] if said.keys() >= {"answer", "subject"} else row["example_id"]
