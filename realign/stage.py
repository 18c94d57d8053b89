"""One stage of one workflow: its knobs, its places, what it reports, and how it runs as a program."""

import fcntl
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from realign import params, paths
from realign.errors import UserError
from realign.lake.atomic import write_json, writes
from realign.lake.cache import require_room
from realign.lake.hashes import bind
from realign.metrics import to_json

T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """A stage by its names. All places are relative to the project's root."""

    workflow: str
    name: str

    def of(self, name: str, workflow: str = "") -> "Stage":
        """Another stage, of the same workflow where none is named."""
        return Stage(workflow or self.workflow, name)

    @property
    def modules(self) -> tuple[str, str]:
        """Where its code may stand: in the workflow's own module, or else in the one that workflows have in common."""
        return f"stages.{self.workflow}.{self.name}", f"stages.{paths.COMMON}.{self.name}"

    def params(self, cls: type[T], section: str = "", over: str = "") -> T:
        """The knobs of `<workflow>.<section>` in params.yaml, by default the stage's own, as `cls`; where `over` names
        another section in full, that one's in place of what is missing."""
        return params.load(f"{self.workflow}.{section or self.name}", cls, over=over)

    def dataset(self, name: str) -> Path:
        """A Parquet file that the stage makes."""
        return paths.dataset(self.workflow, self.name, name)

    @property
    def checkpoint(self) -> Path:
        """The model directory that the stage makes."""
        return paths.checkpoint(self.workflow, self.name)

    @property
    def scratch(self) -> Path:
        """What a killed run goes on from; no output."""
        return paths.run_log(self.workflow, self.name)

    def report(self, metrics: Mapping, curves: list[dict] | None = None,
               settled: Mapping[str, float] | None = None) -> None:
        """Write the stage's metrics, with the knobs that it `settled` itself and the hashes of the model and the rows
        that they are `of`, and its curves where it has some. What the stage makes besides must stand."""
        if not writes():
            return
        made = bind(p for p in (self.checkpoint, self.dataset("any").parent) if p.is_dir())
        found = {**metrics, **({"settled": settled} if settled else {}), **({"of": made} if made else {})}
        write_json(paths.metrics(self.workflow, self.name), to_json(found))
        if curves is not None:
            fields = {field: None for record in curves for field in record}  # `dvc plots` wants them in every record
            write_json(paths.plots(self.workflow, self.name), to_json({"_": [fields | r for r in curves]})["_"])

    def run(self, work: Callable[["Stage"], str]) -> None:
        """Do the stage's work, alone on its files, and say in one line what it made. Of several processes launched
        together only the first logs. Raises UserError where another process still runs this stage, and where DVC's
        cache has no room for what it made."""
        started = time.monotonic()
        with self._alone():
            made = work(self)
        if writes():
            require_room([*self.checkpoint.parent.glob(f"{self.name}*"), self.dataset("any").parent,
                          Path(self.workflow) / self.name])  # the last is where the demo's own stages write
        seconds = time.monotonic() - started
        if writes():
            self._log(seconds)
            self._forget_checkpoints()
            print(f"{self.workflow} {self.name}: {made} ({seconds:.0f} s)", file=sys.stderr)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process runs this stage meanwhile: a stage outlives a `dvc repro` that is killed without it, and two
        of them would write the same checkpoints. The system lets go of the lock when the process ends, however it
        ends."""
        if not writes():
            yield
            return
        path = self.scratch.with_suffix(".running")
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

    def _log(self, seconds: float) -> None:
        """Timings and memory go beside the pipeline, never into an output."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mebibytes = peak / 2**20 if sys.platform == "darwin" else peak / 2**10
        ended = time.strftime("%FT%TZ", time.gmtime())
        entry = {"seconds": round(seconds, 1), "peak_memory_mib": round(mebibytes), "ended": ended}
        with open(self.scratch / "log.jsonl", "a", encoding="utf-8") as f:
            f.write(json.dumps(entry) + "\n")

    def _forget_checkpoints(self) -> None:
        """What a killed run resumes from is of no use to a finished one."""
        for path in self.scratch.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
