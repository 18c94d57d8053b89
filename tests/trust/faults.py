"""Every planted fault, and what refused it."""

from collections.abc import Callable
from pathlib import Path

from tests.trust import gate_faults as gates
from tests.trust import release_faults as releases
from tests.trust import row_faults as rows
from tests.trust.fault import Fault
from tests.trust.gate_faults import Said

# Faults by the guard that is to refuse them, and how to ask it about all of them, each in a clean state of its own.
GUARDS: list[tuple[dict[str, Fault], Callable[[Path], Said]]] = [
    (gates.METRICS | gates.FILES, gates.metrics_said), (gates.SUITES, gates.suites_said),
    (gates.ROWS, gates.rows_said), (releases.RELEASES, releases.releases_said),
    (releases.VERIFIED, releases.verified_said), (releases.MOVED, releases.moved_said),
    (rows.INGESTED, rows.ingested_said),
    (rows.CHECKED, rows.checked_said), (rows.CONTAMINATED, rows.contaminated_said),
    (rows.VERIFIED_ANSWERS, rows.answers_said),
]
FAULTS: list[Fault] = [fault for found, _ in GUARDS for fault in found.values()]


def said(folder: Path) -> dict[tuple[str, str], str]:
    """By a fault's kind and name, what the guard meant for it said when it refused; empty where it let it pass."""
    told = {}
    for number, (found, ask) in enumerate(GUARDS):
        own = folder / f"guard{number}"
        own.mkdir()
        answers = ask(own)
        told |= {(fault.kind, name): answers[name] for name, fault in found.items()}
    return told


def caught(fault: Fault, told: dict[tuple[str, str], str]) -> bool:
    """Whether the guard refused the fault, for what it is and not for something else."""
    answer = told[fault.kind, fault.name]
    return answer != "" and fault.says in answer
