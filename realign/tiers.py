"""A gate's verdict as a file: its tier follows from its checks, whoever wrote it there."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from realign.errors import UserError
from realign.files import read_json

HIGH, MEDIUM, REJECT = "HIGH", "MEDIUM", "REJECT"
SEVERITIES = ("critical", "warning", "info")


def tier(checks: Sequence[Mapping]) -> str:
    """REJECT where a critical check failed, MEDIUM where a warning did, else HIGH."""
    failed = {c["severity"] for c in checks if not c["passed"]}
    return REJECT if "critical" in failed else MEDIUM if "warning" in failed else HIGH


def read_verdict(path: Path) -> dict:
    """The verdict in a file. Raises UserError where it has no checks, or its tier is not the one they make."""
    again = "run its gate again: `dvc repro`"
    verdict = read_json(path, fix=again)
    checks = verdict.get("checks")
    if not isinstance(checks, list) or not checks:
        raise UserError("not a verdict: it has no checks", where=str(path), fix=again)
    for i, check in enumerate(checks):
        if not (isinstance(check, dict) and check.get("severity") in SEVERITIES
                and isinstance(check.get("passed"), bool)):
            raise UserError(f"check {i + 1} is none", where=str(path), fix=again,
                            expected=f"`severity` ({', '.join(SEVERITIES)}) and `passed` (true or false)")
    if verdict.get("tier") != tier(checks):
        raise UserError(f"says {verdict.get('tier')}, but its checks make {tier(checks)}", where=str(path),
                        expected="the tier that follows from the checks", fix=again)
    return verdict
