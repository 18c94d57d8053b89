"""The verdict on a workflow's candidate: whether it may be released, and why. It moves nothing: `release` does."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from realign.errors import UserError
from realign.files import read_json
from realign.lake.hashes import bind
from realign.release.bound import check_lock, check_recorded
from realign.release.made import of_workflow
from realign.tiers import REJECT, read_verdict
from realign.versions.compare import LOST, OPEN, Change, Comparison, compare_all
from realign.versions.draw import BASELINE, CANDIDATE, START, among, check_whole, drawn, planned, reserve
from realign.versions.load import Version, collect, read_pointer, read_records
from realign.versions.lock import steps
from realign.versions.render import as_json, names, summary, visible
from realign.words import AGAINST
from realign.words import change as change_of

if TYPE_CHECKING:
    import pyarrow as pa

PASSED, BLOCKED = "passed", "blocked"
RELEASED, BEST = "released", "best"  # what a candidate is compared with besides: the last release, and the best ever
EXAMPLES = 20  # examples of a capability that blocks, which the verdict names


@dataclass(frozen=True)
class Candidate:
    """What a workflow offers for release: the model, its evaluation records, those of the baseline and of the model
    that its stages started from (None where it was not evaluated), by name the records of each on rows in reserve, the
    evaluation's metrics, the evaluation rows (those in reserve too), and by stage the verdict file of every gate and
    the suite it was judged by. Paths are relative to the project."""

    workflow: str
    model: Path
    records: Path
    baseline: Path
    start: Path | None
    reserve: Mapping[str, Path]
    metrics: Path
    evaluation: tuple[Path, ...]
    gates: Mapping[str, Path]
    suites: Mapping[str, Path]

    @property
    def beside(self) -> list[Path]:
        """The files by which the model and its records were judged."""
        return [self.metrics, self.baseline, *([self.start] if self.start else []), *self.reserve.values(),
                *self.evaluation, *self.gates.values(), *self.suites.values()]

    def figures(self) -> dict[str, dict]:
        """The evaluation's metrics by flat name. UserError where there are none."""
        if not self.metrics.is_file():
            raise UserError("no such file", where=str(self.metrics), fix="dvc repro")
        return collect({self.metrics.stem: self.metrics.read_bytes}, self.metrics.parent.as_posix())


def decide(candidate: Candidate, folder: Path) -> dict:
    """The verdict on the candidate, against what is released in `folder` too.

    Blocked where a gate is REJECT, an example of the baseline or of the start was not evaluated, or a capability or
    slice is lost, or open and with enough examples above the margin, against anything that it is compared with; what
    else is not known is a warning. Raises UserError on missing or broken input, a tier that contradicts its checks, and
    files that are not those dvc.lock says the stages ran on, or, in a DVC repository, that it does not know.
    """
    if not candidate.gates:
        raise UserError("no gate is named", where=candidate.workflow, expected="the verdict of every gate")
    bound = _at_hand(candidate)
    check_made(bound, candidate.workflow)
    version = bound[candidate.model.as_posix()][:12]
    before = earlier(read_pointer(folder), version)
    gates = {stage: read_verdict(path)["tier"] for stage, path in sorted(candidate.gates.items())}
    compared = _compared(candidate, before)
    rejected = [stage for stage, tier in gates.items() if tier == REJECT]
    left_out = [(c, against) for against, found in compared.items() if against not in before
                for c in found.capabilities if c.only_a]
    reasons = [reason(c, against, found) for against, found in compared.items() for c in found.blocking]
    reasons += [f"the gate of {stage} is {REJECT}" for stage in rejected]
    reasons += [f"{c.only_a} examples of {c.capability} were evaluated for {AGAINST[against]}, not for this model"
                for c, against in left_out]
    return {
        "workflow": candidate.workflow, "decision": BLOCKED if reasons else PASSED, "version": version,
        "retention": retention(compared[BASELINE]),
        "earlier": {against: found["version"] for against, found in before.items()},
        "summary": [summary(found, AGAINST[against]) for against, found in compared.items()],
        "gates": gates, "bound": bound, "reasons": reasons,
        "warnings": [said for against, found in compared.items() for said in unknown(found, against)],
        "remedy": _remedy(compared, rejected, bool(left_out)) if reasons else "",
        "comparisons": {against: _brief(found) for against, found in compared.items()},
    }


def confirm(verdict: Path) -> dict:
    """The verdict, where it lets the candidate pass; raises UserError where it blocks it: a pipeline's last word, after
    its report."""
    said = read_json(verdict, fix="`dvc repro` decides again")
    if said["decision"] == BLOCKED:
        raise UserError("release blocked" + "".join(f"\n  - {r}" for r in said["reasons"]), where=said["workflow"],
                        fix=said["remedy"])
    return said


def earlier(pointer: Mapping | None, version: str) -> dict[str, dict]:
    """The releases that a candidate is compared with: RELEASED, the last one, and BEST, that with the best mean
    retention, where it is not the last one. A candidate that is released is compared with what it was compared with."""
    if pointer is None:
        return {}
    if pointer["version"] == version:
        return dict(pointer["before"])
    last = {key: pointer[key] for key in ("version", "retention", "records", "sealed")}
    best = max([last, *pointer["before"].values()], key=lambda found: found["retention"])
    return {RELEASED: last} | ({BEST: best} if best is not last else {})


def retention(comparison: Comparison) -> float:
    """What a model kept of another's capabilities: the mean of B over A, six digits."""
    kept = [1 - c.drop.value for c in comparison.capabilities if isfinite(c.drop.value)]
    return round(fmean(kept), 6) if kept else 0.0


def check_made(hashes: Mapping[str, str], workflow: str) -> None:
    """Raises UserError where these files are not what the stages of the workflow, and those that all share, made or
    read."""
    ran = of_workflow(steps(Path()), workflow)
    check_lock(hashes, ran)
    if Path(".dvc").is_dir():
        check_recorded(hashes, ran)


def _at_hand(candidate: Candidate) -> dict[str, str]:
    """The hash of everything that the candidate consists of or was judged by; records by their folder too, as the
    stage that wrote them has it."""
    answers = (candidate.records, candidate.baseline, candidate.start, *candidate.evaluation)
    return bind([candidate.records, *candidate.beside]) | bind({candidate.model, *(p.parent for p in answers if p)})


def _compared(candidate: Candidate, before: Mapping[str, Mapping]) -> dict[str, Comparison]:
    """The candidate against everything that came before it, in the order of AGAINST."""
    files = {CANDIDATE: candidate.records, BASELINE: candidate.baseline} | (
        {START: candidate.start} if candidate.start else {})
    first = {name: read_records(path) for name, path in files.items()}
    more = {name: read_records(candidate.reserve[name], allow_empty=True) for name in files}
    waiting = reserve(more[BASELINE])
    asked = drawn(first, waiting, among(more))
    check_whole(asked, first, more, candidate.reserve)
    new = Version(CANDIDATE, "", asked.pop(CANDIDATE), candidate.figures())
    asked |= {against: kept_records(found["records"]) for against, found in before.items()}
    found = compare_all([Version(name, "", records, {}) for name, records in asked.items()], new,
                        planned(first[BASELINE], waiting))
    return dict(zip(asked, found, strict=True))


def kept_records(kept: Mapping) -> "pa.Table":
    """The records of an earlier release. UserError where they are gone."""
    path = Path(kept["path"])
    if not path.is_file():
        raise UserError("the records of a model released before are missing", where=str(path),
                        fix=f"`git checkout -- {path}`; or, to start afresh, remove {path.parents[1]}")
    return read_records(path)


def reason(change: Change, against: str, comparison: Comparison) -> str:
    """Why a cell blocks."""
    what = AGAINST[against]
    if not change.drop.value > 0:
        return f"{change.name} was not evaluated, unlike for {what}"
    ids = [e.example_id for e in comparison.changed if e.capability == change.capability]
    word = "was lost" if change.outcome == LOST else "may be lost"
    more = f"; {change.needed:,} examples would decide" if change.needed else ""
    moved = f"{change.b:.4g} after {change.a:.4g} ({change_of(change.drop.value)})"
    return (f"{change.name} {word} against {what}: {moved}, {change.worse} of {change.drop.n} examples worse, "
            f"{change.better} better{more}"
            + (f"; worst: {', '.join(ids[:3])}" if ids else ""))


def unknown(comparison: Comparison, against: str) -> list[str]:
    """What is not known and does not block, a sentence for each reason."""
    cells = sorted((c for c in comparison.having(OPEN) if not c.blocks), key=lambda c: c.why)
    return [f"not known yet against {AGAINST[against]} ({why}): {names(group)}"
            for why, group in ((why, list(found)) for why, found in groupby(cells, lambda c: c.why))]


def _remedy(compared: Mapping[str, Comparison], rejected: list[str], left_out: bool) -> str:
    """What to do about a blocked release (DESIGN §5; a regression: roll back, lower learning rate, rebalance data)."""
    parts = [f"see the remedy of the {stage} gate" for stage in rejected]
    down = sorted({c.capability for found in compared.values() for c in found.blocking})
    if down:
        parts.append(f"lower the learning rate, and give {', '.join(down)} a larger share of the data")
    if left_out:
        parts.append("evaluate this model on the same examples as the base model and the start")
    return "; ".join(parts)


def _brief(comparison: Comparison) -> dict:
    """A comparison without its metrics, with the worst examples of what blocks."""
    plain = as_json(comparison, EXAMPLES)
    down = {c.capability for c in comparison.blocking}
    changed = [e for e in plain["changed"] if e["capability"] in down]
    brief = {key: plain[key] for key in ("capabilities", "slices", "lost", "blocking", "summary")}
    return brief | {"examples": changed, "visible": visible(comparison)}
