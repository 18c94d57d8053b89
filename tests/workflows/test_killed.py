"""A stage of each kind as a process of its own, killed at any moment and run again: the bytes of the unbroken run.

Each life is a fork of one process that has imported everything and computed nothing, as importing takes longer than the
stages do. A GPU's driver may not outlive a fork: there a life is a fresh process.
"""

import multiprocessing
import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from realign.models import backend, threads
from realign.stage import Stage
from stages import __main__ as runner
from tests.workflows import small
from tests.workflows.conftest import Finished
from tests.workflows.small import Declared

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("small project")]

DEATHS = 3
FORKS = sys.platform == "linux" and backend.start().device == "cpu"
LIVES = multiprocessing.get_context("forkserver" if FORKS else "spawn")
KINDS = {"curates": "preference_data", "trains on rows": "reward_model", "rolls out": "rl", "evaluates": "evaluate"}


@pytest.fixture(scope="module")
def lives(finished, tmp_path_factory):
    """By kind, what became of a stage that was killed and run again; two stages at once."""
    stages = {declared.stage.name: declared for declared in small.of("srf")}
    if FORKS:
        LIVES.set_forkserver_preload(["tests.conftest", *(f"stages.srf.{name}" for name in KINDS.values())])
    with ThreadPoolExecutor(2) as pool:
        yield {kind: pool.submit(lived, finished, tmp_path_factory.mktemp(name), stages[name], random.Random(name))
               for kind, name in KINDS.items()}


def lived(finished: Finished, folder: Path, declared: Declared, rng: random.Random) -> tuple[list[int], dict, dict]:
    """Exit statuses of a stage's lives, of which all but the last are cut short, the hashes of what it made in the
    end, and those of the unbroken run."""
    project = small.copy(finished.folder, folder)
    statuses = []
    for life in range(DEATHS + 1):
        small.forget(project, declared.made)
        seconds = finished.ran[declared.stage].seconds * rng.uniform(0.05, 0.5) if life < DEATHS else None
        statuses.append(one(project, declared, seconds))
    return statuses, small.hashes(project, declared.made), small.hashes(finished.folder, declared.made)


def one(project: Path, declared: Declared, seconds: float | None) -> int:
    """Exit status of one life of a stage, killed so many seconds after its work began."""
    begun = declared.stage.scratch.with_suffix(".running")
    small.forget(project, [begun])
    process = LIVES.Process(target=live, args=(project, declared.stage))
    process.start()
    if seconds is not None:
        while not (project / begun).exists() and process.is_alive():
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
    process.join()
    return process.exitcode


def live(project: Path, stage: Stage) -> None:
    """What `python -m stages` does, in a project and with one thread, since the number of threads decides the bytes."""
    os.chdir(project)
    threads.use(1)
    runner.main([stage.workflow, stage.name])


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_run_again_gives_the_bytes_of_an_unbroken_run(kind, lives):
    (*broken, last), found, expected = lives[kind].result()
    assert set(broken) <= {-signal.SIGKILL, 0} and -signal.SIGKILL in broken  # one that was quicker has ended well
    assert last == 0
    assert found == expected
