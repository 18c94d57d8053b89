"""The members that a group of metrics must have: those of the base model's own figures.

A suite's `meta.members` maps a group to the group of the baseline's metrics that names them, so that capabilities and
slices are those of the evaluation rows, whoever brought these; or to names
that are always the same.
"""

from pathlib import Path

from realign import paths
from realign.errors import UserError
from realign.files import read_json
from realign.gates.expectation import table

BASELINE = paths.metrics(paths.COMMON, "baseline")
CONTAIN = "expect_column_distinct_values_to_contain_set"


def with_members(suite: dict, root: Path) -> dict:
    """The suite with an expectation for each such group that none of its members is left out.

    A capability that the base model does not have at all need not be retained, but measured it must be. Raises
    UserError where there are no metrics of the baseline, or none of that group.
    """
    found = suite.get("meta", {}).get("members", {})
    for group, names in found.items():
        if isinstance(names, list):
            suite = _before(suite, group, _contained(group, names))
    groups = {group: source for group, source in found.items() if isinstance(source, str)}
    if not groups:
        return suite
    path = root / BASELINE
    if not path.is_file():
        raise UserError("no figures of the base model to compare with", where=str(BASELINE), fix="dvc repro baseline")
    figures = read_json(path)
    return suite | {"expectations": [*(_contain(group, source, figures) for group, source in groups.items()),
                                     *suite["expectations"]]}


def _contain(group: str, source: str, figures: dict) -> dict:
    named = [name for name, entry in figures.get(source, {}).items() if group == source or entry["value"] > 0]
    if not named:
        raise UserError(f"holds nothing that {group} could be compared with: no {source} above 0", where=str(BASELINE),
                        expected="60 evaluation rows or more of a capability that the base model has",
                        fix=f"bring evaluation rows ({paths.EVALUATION}) that it can answer, then dvc repro")
    return _contained(group, named)


def _contained(group: str, names: list[str]) -> dict:
    return {"type": CONTAIN, "kwargs": {"column": "name", "value_set": names}, "severity": "critical",
            "meta": {"table": group}}


def _before(suite: dict, group: str, expectation: dict) -> dict:
    """The suite with an expectation ahead of the first one on its group."""
    stated = suite["expectations"]
    at = next((i for i, e in enumerate(stated) if table(e) == group), 0)
    return suite | {"expectations": [*stated[:at], expectation, *stated[at:]]}
