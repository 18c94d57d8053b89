"""What is left of a model's capabilities after training."""

from collections.abc import Sequence

from realign.metrics import Metric, bootstrap


def retention(before: Sequence[dict], after: Sequence[dict]) -> dict[str, Metric]:
    """Final over earlier accuracy by capability, from records of the same examples; the interval resamples examples,
    paired. KeyError where an example was not answered before."""
    old = {row["example_id"]: row["score"] for row in before}
    found = {}
    for name in sorted({row["capability"] for row in after}):
        rows = [row for row in after if row["capability"] == name]
        found[name] = bootstrap(lambda a, b: a.sum() / max(b.sum(), 1e-9), [row["score"] for row in rows],
                                [old[row["example_id"]] for row in rows])
    return found
