"""A small project on disk whose srf metrics and pairs pass every gate at HIGH."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from realign.lake.hashes import tree_md5
from tests.workflows.clean import BASELINE, EXPECTATIONS, as_file, clean_metrics, clean_rows, read

STAGES = sorted(path.stem for path in (EXPECTATIONS / "srf").glob("*.json"))


class Project:
    """The project's root, with writers for what a stage would leave there."""

    def __init__(self, root: Path):
        self.root = root
        self.suites = root / "expectations" / "srf"
        self.pairs_file = root / "data" / "srf" / "preference_data" / "pairs.parquet"

    def metrics(self, stage: str, metrics: dict) -> Path:
        path = self.root / "metrics" / "srf" / f"{stage}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(metrics))
        self.of()
        return path

    def of(self) -> None:
        """The metrics of the pairs are of those that are here, as the stage would have it."""
        path, folder = self.root / "metrics" / "srf" / "preference_data.json", self.pairs_file.parent
        if path.is_file() and self.pairs_file.is_file():
            made = {folder.relative_to(self.root).as_posix(): tree_md5(folder)[0]}
            path.write_text(json.dumps(json.loads(path.read_text()) | {"of": made}))

    def baseline(self, figures: dict) -> None:
        path = self.root / "metrics" / "common" / "baseline.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures))

    def params(self, source: str, scorer: str) -> None:
        knobs = {"srf": {"data": {"source": source}, "scorer": {"name": scorer}}}
        (self.root / "params.yaml").write_text(json.dumps(knobs))

    def keep(self, *stages: str) -> None:
        """Only these stages have been measured; judging the others ahead would cost the test seconds."""
        for path in (self.root / "metrics" / "srf").glob("*.json"):
            if path.stem not in stages:
                path.unlink()

    def pairs(self, columns: dict[str, list]) -> None:
        self.pairs_file.parent.mkdir(parents=True, exist_ok=True)
        types = {k: pl.Float64 if k.endswith("score") else pl.String for k in columns}
        pl.DataFrame(columns, schema=types).write_parquet(self.pairs_file)
        self.of()

    def suite(self, stage: str) -> dict:
        return json.loads((self.suites / f"{stage}.json").read_text())

    def write_suite(self, stage: str, suite: dict) -> None:
        (self.suites / f"{stage}.json").write_text(json.dumps(suite))

    def ask(self, stage: str, metric: str) -> None:
        """This stage alone has been measured, and its suite judges this metric alone."""
        self.keep(stage)
        self.narrow(stage, metric)

    def narrow(self, stage: str, metric: str = "") -> None:
        """The suite of a stage judges this metric alone (its first one), which takes a tenth of the time: for what
        becomes of a verdict, whatever is in it."""
        suite = self.suite(stage)
        metric = metric or next(
            e["kwargs"]["column"] for e in suite["expectations"]
            if "table" not in e.get("meta", {}) and "." not in e["kwargs"]["column"]
            and e["kwargs"]["column"] not in suite["meta"].get("counted", []))
        suite["expectations"] = [e for e in suite["expectations"] if e["kwargs"].get("column") == metric]
        suite["meta"] = {part: {name: said for name, said in suite["meta"].get(part, {}).items()
                                if name.removesuffix(".low").removesuffix(".high") in (metric, "*")}
                         for part in ("evidence", "remedy")}
        self.write_suite(stage, suite)

    def verdict_file(self, stage: str) -> Path:
        return self.root / "metrics" / "srf" / "gates" / f"{stage}.json"

    def accepted_file(self, stage: str) -> Path:
        return self.root / "metrics" / "srf" / "gates" / f"{stage}.accepted"


def as_written(stage: str) -> dict:
    """The stage's clean metrics as plain JSON; a fresh copy to plant a fault in."""
    return as_file(clean_metrics(read(EXPECTATIONS / "srf" / f"{stage}.json")))


def clean_pairs() -> dict[str, list]:
    """Columns of pairs that pass."""
    return clean_rows(read(EXPECTATIONS / "srf" / "preference_data.json"), "pairs")


@pytest.fixture
def clean():
    return as_written


@pytest.fixture
def pairs():
    return clean_pairs()


@pytest.fixture
def project(tmp_path) -> Project:
    """Expectations of the repository, clean metrics of the baseline and of every stage, clean pairs."""
    made = Project(tmp_path)
    shutil.copytree(EXPECTATIONS / "srf", made.suites)
    shutil.copy(EXPECTATIONS / "remedies.json", made.suites.parent)
    for stage in STAGES:
        made.metrics(stage, as_written(stage))
    made.pairs(clean_pairs())
    made.baseline(BASELINE)
    return made
