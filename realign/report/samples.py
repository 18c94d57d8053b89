"""Answers before and after, side by side, chosen by the hash of the example id and never by hand."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realign import paths
from realign.report.sources import Run, rows
from realign.workflow import BASELINE, EVALUATE

COLUMNS = ("example_id", "capability", "slice", "prompt", "output", "score", "reference")
SHOWN = 5  # examples a group


@dataclass(frozen=True)
class Sample:
    """One example with the answer before and, where there is one, after."""

    before: dict
    after: dict | None

    @property
    def change(self) -> float:
        """Score after minus before; 0 where there is no answer after."""
        return self.after["score"] - self.before["score"] if self.after else 0.0


@dataclass(frozen=True)
class Group:
    """Examples of one fate: how many there are in all, and the few that are shown."""

    name: str
    total: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Samples:
    """All groups; `paired` examples have both sides, `alone` were found on one side only."""

    groups: tuple[Group, ...]
    paired: int
    alone: int


def samples(run: Run) -> Samples:
    """Base model and final model on the same examples, paired by example id; only the first where the second has not
    been evaluated yet."""
    before = _records(run.root / paths.dataset(paths.COMMON, BASELINE, "records")) if run.baseline else {}
    after = _records(run.dataset(EVALUATE, "records")) if run.figures(EVALUATE) else {}
    if not after:
        pairs = [Sample(row, None) for row in before.values()]
        fates = (("Scored 0.5 or more", lambda s: s.before["score"] >= 0.5),
                 ("Scored below 0.5", lambda s: s.before["score"] < 0.5))
        return Samples(_groups(pairs, fates), 0, 0)
    pairs = [Sample(row, after[i]) for i, row in before.items() if i in after]
    fates = (("Improved", lambda s: s.change > 1e-9), ("Worsened", lambda s: s.change < -1e-9),
             ("Same score", lambda s: abs(s.change) <= 1e-9))
    return Samples(_groups(pairs, fates), len(pairs), len(before.keys() ^ after.keys()))


def _records(path: Path) -> dict[tuple[str, str], dict]:
    return {(row["capability"], row["example_id"]): row for row in rows(path, COLUMNS)}


def _groups(pairs: Sequence[Sample], fates: tuple) -> tuple[Group, ...]:
    found = [(name, [p for p in pairs if wanted(p)]) for name, wanted in fates]
    return tuple(Group(name, len(part), tuple(chosen(part, SHOWN))) for name, part in found)


def chosen(pairs: Sequence[Sample], count: int) -> list[Sample]:
    """`count` samples in order of the hash of their id, taking turns among the capabilities."""
    queues: dict[str, list[Sample]] = {}
    for pair in sorted(pairs, key=lambda p: _hash(p.before["example_id"])):
        queues.setdefault(pair.before["capability"], []).append(pair)
    turns = [(turn, pair) for queue in queues.values() for turn, pair in enumerate(queue)]
    return [pair for _, pair in sorted(turns, key=lambda t: t[0])[:count]]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
