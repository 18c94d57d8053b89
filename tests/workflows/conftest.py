"""The small project, run once in this process from end to end, and once more on labelled pairs of its own."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from realign.stage import Stage
from realign.train import memory
from tests.workflows import small
from tests.workflows.small import Declared, Ran

PAIRS = 40


@dataclass(frozen=True)
class Finished:
    """A project in which stages were run, unbroken, and what each took."""

    folder: Path
    ran: dict[Stage, Ran]


def finish(folder: Path, stages: list[Declared]) -> Finished:
    """Run these stages in a project, one after the other in this process. Every batch is taken to fit: measuring finds
    the same for such models, in a third of a training's time. The processes of test_killed.py do measure, and must come
    to the same bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(memory, "_peak", lambda *given: 0)
        return Finished(folder, {declared.stage: small.run(declared.stage) for declared in stages})


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Finished:
    """The shared stages, then every workflow from its first stage to its last."""
    return finish(small.make(tmp_path_factory.mktemp("small")), small.ALL)


@pytest.fixture(scope="session")
def labelled(finished, tmp_path_factory) -> Finished:
    """Every stage of SRF on a file of labelled pairs, of which two rows are no good. The demo's own files are gone."""
    stages = small.of("srf")
    folder = small.copy(finished.folder, tmp_path_factory.mktemp("labelled"),
                        ("demo", *(path for declared in stages for path in declared.made)))
    rows = [{"prompt": f"Question {i}?", "chosen": f"Good answer {i}.", "rejected": f"Bad {i}."} for i in range(PAIRS)]
    lines = [json.dumps(row) for row in rows]
    lines[7] = '{"prompt": "broken'
    lines[9] = json.dumps({**rows[9], "rejected": rows[9]["chosen"]})
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    # `finished` plays two rounds of iterate
    small.set_params(folder, {"srf.data": {"source": "pairs.jsonl"}, "srf.iterate": {"rounds": 1}})
    return finish(folder, stages)


@pytest.fixture
def project(finished, tmp_path, monkeypatch) -> Path:
    """A copy of the finished project to break, and the current directory."""
    monkeypatch.chdir(small.copy(finished.folder, tmp_path))
    return tmp_path
