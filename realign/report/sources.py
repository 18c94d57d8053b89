"""What a report reads: the files of one workflow, found by convention. A missing file is normal."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realign import paths
from realign.errors import UserError
from realign.files import read_json, read_yaml
from realign.lake.hashes import file_md5, tree_md5
from realign.metrics import flatten
from realign.versions.current import out_of_date
from realign.versions.lock import Step, steps
from realign.workflow import BASELINE, Workflow, find, workflows

ACCEPTED = ("HIGH", "MEDIUM")


@dataclass(frozen=True)
class Stage:
    """One stage of this run: its figures (flat), curve records and verdict, each empty where not there.

    `notes` are what its metrics file holds beside figures, such as the remedies it applied itself.
    `reached` is false for a stage behind one that was not accepted; what an earlier run left there
    (`left_over`) is no part of this run and is not loaded. `stale` says why what stands there is of another run
    than the rest, by dvc.lock and the hashes that metrics are of; it is not loaded either.
    """

    name: str
    metrics: dict[str, dict]
    notes: dict[str, str]
    plots: list[dict]
    verdict: dict
    reached: bool
    left_over: bool
    stale: str = ""

    @property
    def tier(self) -> str:
        """HIGH, MEDIUM or REJECT; empty where the gate has not run."""
        return str(self.verdict.get("tier", "")).upper()


@dataclass(frozen=True)
class Run:
    """Everything small that a report shows; the Parquet datasets are read where they are used.

    `baseline` holds the figures of the base model, `verdict` is that on the candidate, `params` what belongs to this
    workflow.
    """

    root: Path
    workflow: Workflow
    stages: tuple[Stage, ...]
    baseline: dict[str, dict]
    verdict: dict
    params: dict

    def figures(self, stage: str) -> dict[str, dict]:
        """The figures of the stage of that name; none where it has not run, or the workflow has no such stage."""
        return next((s.metrics for s in self.stages if s.name == stage), {})

    def dataset(self, stage: str, name: str) -> Path:
        """Where a dataset of a stage lies."""
        return self.root / paths.dataset(self.workflow.name, stage, name)


def load(root: Path, workflow: str = "") -> Run:
    """Reads the run of `workflow` under `root`, by default of the only workflow there is.

    Raises UserError on an unknown workflow or a broken file.
    """
    found, ran = find(root, workflow), steps(root)
    stages, reached = [], True
    for name in found.stages:
        stages.append(_stage(root, found.name, name, reached, ran))
        reached = reached and bool(stages[-1].metrics) and stages[-1].tier in ACCEPTED
    verdict = _json(root / paths.verdict(found.name), dict) if reached else {}
    if any(made.get(path, md5) != md5 for made in (step.outputs for step in ran)
           for path, md5 in verdict.get("bound", {}).items()):
        verdict = {}  # on an earlier candidate
    measured = root / paths.metrics(paths.COMMON, BASELINE)
    baseline, _ = ({}, {}) if _of_others(root, measured) else _figures(measured)
    return Run(root, found, tuple(stages), baseline, verdict, _params(root, found.name))


def _stage(root: Path, workflow: str, name: str, reached: bool, ran: list[Step]) -> Stage:
    verdict = paths.accepted(workflow, name).with_suffix(".json")
    files = [root / p for p in (paths.metrics(workflow, name), paths.plots(workflow, name), verdict)]
    if not reached or not files[0].exists():
        return Stage(name, {}, {}, [], {}, reached, any(f.exists() for f in files))
    stage = next((step for step in ran if step.name == f"{workflow}:{name}"), None)
    stale = [*(out_of_date(ran, stage) if stage else []), *_of_others(root, files[0])]
    if stale:
        return Stage(name, {}, {}, [], {}, reached, True, stale[0])
    judged, measured = _json(files[2], dict), file_md5(files[0])
    if judged.get("of", {}).get(paths.metrics(workflow, name).as_posix(), measured) != measured:
        judged = {}  # on figures of before; dvc.lock would not tell, since a gate that rejects leaves it as it is
    metrics, notes = _figures(files[0])
    return Stage(name, metrics, notes, _json(files[1], list), judged, reached, False)


def _of_others(root: Path, metrics: Path) -> list[str]:
    """A sentence for each dataset at hand that is not the one of which the metrics are."""
    of = _json(metrics, dict).get("of", {})
    return [f"{path} is not what {metrics.relative_to(root)} is of" for path, md5 in of.items()
            if path.startswith("data/") and (root / path).is_dir() and tree_md5(root / path)[0] != md5]


def _figures(path: Path) -> tuple[dict[str, dict], dict[str, str]]:
    """The figures of a metrics file by flat name, and what it holds beside them as text; nothing where it is not."""
    flat = flatten(_json(path, dict))
    figures = {k: {"value": None} if m is None else m for k, m in flat.items() if m is None or isinstance(m, dict)}
    metrics = {k: {part: m.get(part) for part in ("value", "n", "low", "high")} for k, m in figures.items()}
    notes = {k: m if isinstance(m, str) else json.dumps(m, ensure_ascii=False)
             for k, m in flat.items() if k not in figures and not k.startswith("of.")}  # hashes, not for reading
    return metrics, notes


def _params(root: Path, workflow: str) -> dict:
    """`params.yaml` without the sections of other workflows; empty where there is none."""
    path = root / paths.PARAMS
    others = workflows(root).keys() - {workflow}
    return {k: v for k, v in read_yaml(path).items() if k not in others} if path.exists() else {}


def _json(path: Path, kind: type) -> Any:
    """The parsed file; an empty one of that kind where there is none."""
    return read_json(path, kind, "remove the file and run `dvc repro` to make it again") if path.exists() else kind()


def rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict]:
    """Rows of a Parquet file as dictionaries of `columns`, batch by batch; none where there is no file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return
    try:
        with pq.ParquetFile(path) as file:
            missing = [c for c in columns if c not in file.schema_arrow.names]
            if missing:
                raise UserError(f"has no column {', '.join(missing)}", where=str(path),
                                expected="columns " + ", ".join(columns))
            for batch in file.iter_batches(columns=list(columns)):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise UserError(f"not a readable Parquet file ({error})", where=str(path),
                        fix="run `dvc checkout` to bring it back, or `dvc repro` to make it again") from error
