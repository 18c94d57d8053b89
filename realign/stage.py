"""How a stage module runs as a program: errors for a person, one last line, a run log beside the pipeline."""

import fcntl
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from realign import paths
from realign.errors import UserError
from realign.lake.atomic import writes


def main(workflow: str, name: str, run: Callable[[], str]) -> None:
    """Run one stage and exit: 0 after its last line, 2 with one message where the user can put something right.

    Of several processes launched together only the first logs."""
    from realign.models import backend

    started = time.monotonic()
    try:
        print(backend.start(), file=sys.stderr)
        with _alone(workflow, name):
            made = run()
    except UserError as error:
        print(f"{workflow} {name}: {error}", file=sys.stderr)
        sys.exit(2)
    seconds = time.monotonic() - started
    if not writes():
        return
    _log(workflow, name, seconds)
    _forget_checkpoints(workflow, name)
    print(f"{workflow} {name}: {made} ({seconds:.0f} s)", file=sys.stderr)


@contextmanager
def _alone(workflow: str, name: str) -> Iterator[None]:
    """No other process runs this stage meanwhile: a stage outlives a `dvc repro` that is killed without it, and two of
    them would write the same checkpoints. The system lets go of the lock when the process ends, however it ends."""
    if not writes():
        yield
        return
    path = paths.run_log(workflow, name).with_suffix(".running")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UserError(f"process {file.read()} still runs this stage", where=str(path),
                            fix="wait until it has ended, or end it; then run again") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _log(workflow: str, name: str, seconds: float) -> None:
    """Timings and memory go beside the pipeline, never into an output."""
    folder = paths.run_log(workflow, name)
    folder.mkdir(parents=True, exist_ok=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mebibytes = peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    ended = time.strftime("%FT%TZ", time.gmtime())
    entry = {"seconds": round(seconds, 1), "peak_memory_mib": round(mebibytes), "ended": ended}
    with open(folder / "log.jsonl", "a", encoding="utf-8") as f:
        f.write(json.dumps(entry) + "\n")


def _forget_checkpoints(workflow: str, name: str) -> None:
    """What a killed run resumes from is of no use to a finished one."""
    for path in paths.run_log(workflow, name).iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def write_metrics(workflow: str, name: str, metrics: dict, curves: list[dict] | None = None) -> None:
    """The stage's metrics file, and its curves where it has some."""
    from realign.lake.atomic import write_json
    from realign.metrics import to_json

    write_json(paths.metrics(workflow, name), to_json(metrics))
    if curves is not None:
        fields = {field: None for record in curves for field in record}  # `dvc plots` wants them in every record
        write_json(paths.plots(workflow, name), to_json({"_": [fields | record for record in curves]})["_"])
