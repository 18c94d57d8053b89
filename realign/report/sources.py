"""What a report reads: the files of one workflow, found by convention. A missing file is normal."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from realign import paths
from realign.errors import UserError
from realign.metrics import flatten
from realign.report.words import WORKFLOWS

ACCEPTED = ("HIGH", "MEDIUM")


@dataclass(frozen=True)
class Stage:
    """One stage of this run: its figures (flat), curve records and verdict, each empty where not there.

    `notes` are what its metrics file holds beside figures, such as the remedies it applied itself.
    `reached` is false for a stage behind one that was not accepted; what an earlier run left there
    (`left_over`) is no part of this run and is not loaded.
    """

    name: str
    metrics: dict[str, dict]
    notes: dict[str, str]
    plots: list[dict]
    verdict: dict
    reached: bool
    left_over: bool

    @property
    def tier(self) -> str:
        """HIGH, MEDIUM or REJECT; empty where the gate has not run."""
        return str(self.verdict.get("tier", "")).upper()


@dataclass(frozen=True)
class Run:
    """Everything small that a report shows; the Parquet datasets are read where they are used."""

    root: Path
    workflow: str
    stages: tuple[Stage, ...]
    release: dict
    params: dict

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return next(s for s in self.stages if s.name == name)

    def dataset(self, stage: str, name: str) -> Path:
        """Where a dataset of a stage lies."""
        return self.root / paths.dataset(self.workflow, stage, name)


def load(root: Path, workflow: str) -> Run:
    """Reads the run of `workflow` under `root`; raises UserError on an unknown workflow or a broken file."""
    if workflow not in WORKFLOWS:
        near = get_close_matches(workflow, WORKFLOWS, 1)
        raise UserError(f"unknown workflow {workflow!r}", expected="one of " + ", ".join(WORKFLOWS),
                        fix=f"did you mean {near[0]}?" if near else "")
    stages, reached = [], True
    for name in WORKFLOWS[workflow]:
        stages.append(_stage(root, workflow, name, reached))
        reached = reached and bool(stages[-1].metrics) and stages[-1].tier in ACCEPTED
    release = read_json(root / paths.metrics(workflow, "release"), {}) if reached else {}
    return Run(root, workflow, tuple(stages), release, read_yaml(root / paths.PARAMS))


def _stage(root: Path, workflow: str, name: str, reached: bool) -> Stage:
    verdict = paths.accepted(workflow, name).with_suffix(".json")
    files = [root / p for p in (paths.metrics(workflow, name), paths.plots(workflow, name), verdict)]
    if not reached or not files[0].exists():
        return Stage(name, {}, {}, [], {}, reached, any(f.exists() for f in files))
    flat = flatten(read_json(files[0], {}))
    figures = {k: {"value": None} if m is None else m for k, m in flat.items()
               if m is None or isinstance(m, dict)}
    metrics = {k: {part: m.get(part) for part in ("value", "n", "low", "high")} for k, m in figures.items()}
    notes = {k: m if isinstance(m, str) else json.dumps(m, ensure_ascii=False)
             for k, m in flat.items() if k not in figures}
    return Stage(name, metrics, notes, read_json(files[1], []), read_json(files[2], {}), reached, False)


def read_json(path: Path, empty: dict | list) -> dict | list:
    """The parsed file, `empty` where there is none; UserError where it is no JSON of that kind."""
    if not path.exists():
        return empty
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"not valid JSON ({error})", where=str(path),
                        fix="remove the file and run `dvc repro` to make it again") from error
    if not isinstance(found, type(empty)):
        raise UserError(f"holds a {type(found).__name__}", where=str(path),
                        expected=f"a JSON {'object' if isinstance(empty, dict) else 'list'}")
    return found


def read_yaml(path: Path) -> dict:
    """The parsed YAML file, read as DVC reads it; empty where there is none, UserError where it is broken."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not path.exists():
        return {}
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) or {}
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"not valid YAML ({error})", where=str(path)) from error


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
