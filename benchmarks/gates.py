"""Seconds that the seven SRF gates take after every threshold was changed, and with nothing changed.

In a copy of the project, on metrics of a made-up clean run (those of the gates' tests), once gate by gate and
once through DVC. Run: python -m benchmarks.gates
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from realign.gates.suite import layout
from tests.workflows import clean

ROOT = Path(__file__).parents[1]
BOUNDS = ("min_value", "max_value")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        stages = make_project(copy)
        print(f"{len(stages)} gates, python -m realign.gates, one after the other:")
        gates = [[sys.executable, "-m", "realign.gates", "srf", stage] for stage in stages]
        for label in ("nothing cached", "cached"):
            timed(label, gates, copy)
        timed(f"{changed(copy)} thresholds changed", gates, copy)
        names = [f"stages/srf/dvc.yaml:gate_{stage}" for stage in stages]
        dvc = [[sys.executable, "-m", "dvc", "repro", "-q", "-s", *names]]
        print("the same through dvc repro:")
        run(dvc, copy)
        timed(f"{changed(copy)} thresholds changed", dvc, copy)
        timed("nothing changed", dvc, copy)


def make_project(copy: Path) -> list[str]:
    """What gates and DVC read, and clean metrics of every stage; the names of the stages."""
    for name in ("realign", "stages", "expectations", "params.yaml", "dvc.yaml", ".dvcignore"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copyfile(source, copy / name)
    suites = {path.stem: clean.read(path) for path in sorted((copy / "expectations" / "srf").glob("*.json"))}
    for stage, suite in suites.items():
        file = copy / "metrics" / "srf" / f"{stage}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(clean.as_file(clean.clean_metrics(suite))), encoding="utf-8")
        for name, place in clean.tables_of(suite).items():
            pl.DataFrame(clean.clean_rows(suite, name)).write_parquet(copy / place, mkdir=True)
    run([[sys.executable, "-m", "dvc", "init", "-q", "--no-scm"]], copy)
    return list(suites)


def changed(copy: Path) -> int:
    """Widen every threshold of every suite by a little; how many those were."""
    count = 0
    for path in sorted((copy / "expectations" / "srf").glob("*.json")):
        suite = json.loads(path.read_text(encoding="utf-8"))
        for expectation in suite["expectations"]:
            kwargs = expectation["kwargs"]
            for bound in BOUNDS:
                # Numbers of examples stay whole, and a bound of zero means what it says.
                if kwargs.get(bound) and kwargs[bound] % 1:
                    kwargs[bound] *= 0.999 if bound == "min_value" else 1.001
                    count += 1
                elif kwargs.get(bound, 0) > 1 and bound == "min_value":
                    kwargs[bound] -= 1
                    count += 1
        path.write_text(layout(suite), encoding="utf-8")
    return count


def timed(label: str, commands: list[list[str]], folder: Path) -> None:
    """Run the commands and print what they took."""
    started, used = time.perf_counter(), os.times()
    run(commands, folder)
    seconds, now = time.perf_counter() - started, os.times()
    processor = now.children_user + now.children_system - used.children_user - used.children_system
    print(f"  {label:<22} {seconds:6.1f} s, of the processor {processor:.1f} s", flush=True)


def run(commands: list[list[str]], folder: Path) -> None:
    """Run the commands one after the other; none may fail."""
    environment = os.environ | {"PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1"}
    # DVC's stages say `python`: it has to be this one.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for command in commands:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
