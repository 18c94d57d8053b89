"""A candidate that is offered for release, with all that it was judged by, and what is done with it."""

import hashlib
import json
import shutil
from pathlib import Path

import polars as pl

from realign.lake.atomic import write_json
from realign.lake.hashes import file_md5, tree_md5
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, write
from realign.release.decide import PASSED, Candidate, decide
from realign.release.release import release

STAGES = ("sft", "rl", "evaluate")
FOLDER, VERDICT, SEALED = Path("released/srf"), Path("verdicts/srf.json"), Path("data/sealed/demo.parquet")
RESERVE = {"candidate": Path("data/srf/evaluate/reserve.parquet"),
           "baseline": Path("data/common/baseline/reserve.parquet"),
           "start": Path("data/srf/evaluate/reserve_of_start.parquet")}


def records(path: str, wrong: int, n: int = 600, slices: int = 1) -> None:
    """Answers to `n` facts, `wrong` of them (the last ones) wrong, and to `n` rows of a format that is never missed."""
    rows = []
    for capability, misses in (("facts", wrong), ("format", 0)):
        rows += [{"example_id": f"e{i:03}", "capability": capability, "slice": f"s{i * slices // 600}",
                  "prompt": f"{capability} {i}?", "reference": "yes", "output": "no" if i >= 600 - misses else "yes",
                  "score": float(i < 600 - misses)} for i in range(n)]
    write(frame(rows, RECORDS), path, RECORDS)


def gate(stage: str, tier: str) -> Path:
    """A verdict whose one check makes that tier."""
    path = Path(f"metrics/srf/gates/{stage}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    check = {"metric": "kl", "severity": {"REJECT": "critical"}.get(tier, "warning"), "passed": tier == "HIGH"}
    path.write_text(json.dumps({"workflow": "srf", "stage": stage, "tier": tier, "checks": [check]}))
    return path


def offer(weights: str, wrong: int, tiers=("HIGH", "MEDIUM", "HIGH"), n: int = 600, slices: int = 1) -> Candidate:
    """A candidate whose model answers `wrong` of 600 facts wrong, where the start answered 10 wrong, the base 6."""
    model = Path("checkpoints/srf/iterate")
    shutil.rmtree(model, ignore_errors=True)
    (model / "sub").mkdir(parents=True)
    (model / "model.safetensors").write_text(weights)
    (model / "config.json").write_text("{}")
    (model / "sub" / "tokenizer.json").write_text("{}")
    records("data/srf/evaluate/records.parquet", wrong, n, slices)
    records("data/srf/sft/records.parquet", 10, slices=slices)
    records("data/common/baseline/records.parquet", 6, slices=slices)
    for path in RESERVE.values():
        write(frame([], RECORDS), path, RECORDS)
    gates = {stage: gate(stage, tier) for stage, tier in zip(STAGES, tiers, strict=True)}
    suites = {stage: Path(f"expectations/srf/{stage}.json") for stage in STAGES}
    for path in (*suites.values(), Path("data/evaluation/demo.parquet"), SEALED):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path}")
    metrics = Path("metrics/srf/evaluate.json")
    metrics.write_text(json.dumps({"kl": {"value": wrong / 1000, "n": 9, "low": 0.0, "high": 1.0}}))
    return Candidate("srf", model, Path("data/srf/evaluate/records.parquet"),
                     Path("data/common/baseline/records.parquet"), Path("data/srf/sft/records.parquet"),
                     RESERVE, metrics, (Path("data/evaluation/demo.parquet"),), gates, suites)


def ask(name: str) -> pl.DataFrame:
    """Every model answers the sealed rows as it answered the evaluation rows."""
    home = {"candidate": "srf/evaluate", "baseline": "common/baseline", "start": "srf/sft"}[name]
    return pl.read_parquet(f"data/{home}/records.parquet")


def losing(wrong: int):
    """The candidate answers that many sealed facts wrong; the others answer as ever."""
    def asked(name: str) -> pl.DataFrame:
        found = ask(name)
        fails = (pl.col("capability") == "facts") & (pl.col("example_id") >= f"e{600 - wrong:03}")
        return found.with_columns(score=pl.when(fails).then(0.0).otherwise("score")) if name == "candidate" else found
    return asked


def judge(candidate: Candidate) -> dict:
    """The verdict on a candidate, written where the pipeline writes it."""
    said = decide(candidate, FOLDER)
    write_json(VERDICT, said)
    return said


def settle(candidate: Candidate) -> dict:
    """The verdict on a candidate, which is released where it passed."""
    said = judge(candidate)
    if said["decision"] == PASSED:
        release(candidate, FOLDER, VERDICT, [SEALED], ask)
    return said


def state() -> dict[str, bytes]:
    """What is released."""
    return {p.as_posix(): p.read_bytes() for p in sorted(FOLDER.rglob("*")) if p.is_file()}


def locked() -> None:
    """The dvc.lock files of the stages that answered, evaluated and judged what is at hand."""
    def entry(path: str) -> dict:
        found = Path(path)
        md5 = tree_md5(found)[0] if found.is_dir() else hashlib.md5(found.read_bytes()).hexdigest()
        return {"path": path, "md5": md5}
    Path("stages/srf/dvc.lock").write_text(json.dumps({"stages": {
        "evaluate": {"cmd": "x", "deps": [entry("checkpoints/srf/iterate")], "outs": [entry("data/srf/evaluate")]},
        "gate@rl": {"cmd": "x", "deps": [entry("expectations/srf/rl.json")],
                    "outs": [entry("metrics/srf/gates/rl.json")]}}}))
    Path("dvc.yaml").write_text("stages: {baseline: {cmd: x}}")
    old = {"path": "checkpoints/srf/iterate", "md5": "of the model before"}
    Path("dvc.lock").write_text(json.dumps({"stages": {
        "baseline": {"cmd": "x", "deps": [entry("data/evaluation/demo.parquet"), entry(SEALED.as_posix())],
                     "outs": [entry("data/common/baseline")]},
        "verdict@srf": {"cmd": "x", "deps": [old]}}}))


def record_all(candidate: Candidate) -> None:
    """A dvc.lock that knows everything at hand."""
    folders = {path.parent for path in (candidate.records, candidate.baseline, candidate.start, *candidate.evaluation)}
    files = [candidate.metrics, *candidate.reserve.values(), *candidate.evaluation, *candidate.gates.values(),
             *candidate.suites.values()]
    outs = [{"path": p.as_posix(), "md5": tree_md5(p)[0] if p.is_dir() else file_md5(p)}
            for p in [candidate.model, *folders, *files, SEALED]]
    lock = {"schema": "2.0", "stages": {"evaluate": {"cmd": "x", "outs": outs}}}
    Path("stages/srf/dvc.lock").write_text(json.dumps(lock))
    Path(".dvc").mkdir(exist_ok=True)
