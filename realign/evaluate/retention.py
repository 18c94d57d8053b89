"""What is left of a model's capabilities, and of their slices, after training."""

from collections import Counter
from collections.abc import Sequence

from realign.metrics import Metric, bootstrap

LEAST = 60  # examples of a slice; smaller ones of a capability are taken together as `other` (ours, TRUST)


def retention(before: Sequence[dict], after: Sequence[dict]) -> dict[str, Metric]:
    """Final over earlier accuracy by capability, from records of the same examples; the interval resamples examples,
    paired. KeyError where an example was not answered before."""
    return _by(before, after, {row["example_id"]: row["capability"] for row in after})


def slice_retention(before: Sequence[dict], after: Sequence[dict]) -> dict[str, Metric]:
    """The same by slice, named "capability/slice"; what has too few examples even as `other` is left out."""
    return {name: metric for name, metric in _by(before, after, cells(after)).items() if metric.n >= LEAST}


def cells(rows: Sequence[dict]) -> dict[str, str]:
    """"capability/slice" by example, in the rows' order; a slice of fewer than LEAST rows is its capability's
    `other`."""
    counts = Counter((row["capability"], row["slice"]) for row in rows)
    return {row["example_id"]: f"{row['capability']}/"
            f"{row['slice'] if counts[row['capability'], row['slice']] >= LEAST else 'other'}" for row in rows}


def _by(before: Sequence[dict], after: Sequence[dict], names: dict[str, str]) -> dict[str, Metric]:
    old = {row["example_id"]: row["score"] for row in before}
    found = {}
    for name in sorted(set(names.values())):
        rows = [row for row in after if names[row["example_id"]] == name]
        found[name] = bootstrap(lambda a, b: a.sum() / max(b.sum(), 1e-9), [row["score"] for row in rows],
                                [old[row["example_id"]] for row in rows])
    return found
