"""What to do when a check fails: the suite's own words, and those that every suite would repeat.

A suite's `meta.remedy` maps a metric, or a group of metrics, to its remedy. One that fails low and high for
different reasons has two: `entropy.low`, `entropy.high`. A suite may also reword what the gate says of its own
checks: `kl.missing` (no number), `kl.n` (too few examples), `kl.impossible`. In a remedy of a group, `{name}`
stands for the member that failed.
"""

from realign.errors import UserError
from realign.gates.expectation import bounds, columns, metric_name, severity, table

COMMON = {
    "missing": "metric missing or not a number: read the stage's run log, then run the stage again",
    "n": "too few examples to judge: evaluate on more held-out examples",
    "impossible": "no such figure can be measured: look where the stage makes it, mend that, run the stage again",
}
BROKEN = "the {table} are broken: run the stage again, and compare with the rejected dataset"
SIDES = ("low", "high")
SUFFIXES = ("", *(f".{s}" for s in (*SIDES, *COMMON)))  # what may follow a metric's name in `meta.remedy`


def remedy_of(expectation: dict, suite: dict, where: str) -> str | dict[str, str]:
    """What to do when the expectation fails; `{"low": …, "high": …}` where that depends on the side.

    Its own `meta.remedy` comes first, then the suite's, then the common one. Raises UserError where a bound that
    decides has none.
    """
    meta, name = expectation.get("meta", {}), table(expectation)
    said = suite.get("meta", {}).get("remedy", {})
    if "remedy" in meta:
        return meta["remedy"]
    if name in suite.get("meta", {}).get("tables", {}):
        return BROKEN.format(table=name)
    subject = name or next((metric_name(c) for c in columns(expectation)), "")
    topic = meta.get("evidence") or ("missing" if name and "name" in columns(expectation) else None)
    if topic:
        return said.get(f"{subject}.{topic}", COMMON[topic])
    by_side = {side: said.get(f"{subject}.{side}", said.get(subject)) for side in _sides(expectation)}
    if None in by_side.values() and severity(expectation) != "info":
        raise UserError(f"nothing says what to do when {subject!r} fails {expectation['type']}", where=where,
                        expected=f"meta.remedy of the suite with {subject!r}, or with "
                                 + " and ".join(repr(f"{subject}.{side}") for side in SIDES))
    different = {text or "" for text in by_side.values()}
    return different.pop() if len(different) == 1 else by_side


def _sides(expectation: dict) -> list[str]:
    """The sides on which the expectation can fail; both where it is no range."""
    given = [side for side, bound in zip(SIDES, bounds(expectation), strict=True) if bound is not None]
    return given or list(SIDES)


def told(remedy: str | dict[str, str], check: dict, name: str = "") -> str:
    """The remedy of a check that failed, for the side on which it did (the nearer bound) and the member `name`."""
    if isinstance(remedy, dict):
        seen, low, high = check["observed"], check["min"], check["max"]
        remedy = remedy["low" if seen is not None and abs(seen - low) <= abs(seen - high) else "high"]
    return remedy.replace("{name}", name)
