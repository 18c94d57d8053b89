"""Where things stand, by convention. All paths are relative to the project's root, the working directory of a stage."""

from pathlib import Path

PARAMS = Path("params.yaml")
TABLES = Path("data/tables")
DEMO = Path("demo")  # what the demo's own stages make: its world, and the SFT model that workflows share
WORLD = DEMO / "world"
EVALUATION = Path("data/evaluation")  # the rows that every workflow is judged and decontaminated against
RESERVE = Path("data/reserve")  # more rows for the verdict, drawn where those leave something open
SEALED = Path("data/sealed")  # rows that releases alone open
DEVELOPMENT = Path("data/development")  # rows to choose methods, checkpoints and rounds by
SUITES = (EVALUATION, RESERVE, SEALED, DEVELOPMENT)
MORE, MORE_OF_START = "reserve", "reserve_of_start"  # datasets: answers to such rows, and those of the start
COMMON = "common"  # in place of a workflow: what belongs to all of them


def dataset(workflow: str, stage: str, name: str) -> Path:
    """A Parquet dataset that a stage makes."""
    return Path("data") / workflow / stage / f"{name}.parquet"


def checkpoint(workflow: str, stage: str) -> Path:
    """The model directory that a stage makes."""
    return Path("checkpoints") / workflow / stage


def metrics(workflow: str, stage: str) -> Path:
    """The metrics of a stage."""
    return Path("metrics") / workflow / f"{stage}.json"


def plots(workflow: str, stage: str) -> Path:
    """The curves of a stage, a list of records, for `dvc plots`."""
    return Path("metrics") / workflow / "plots" / f"{stage}.json"


def accepted(workflow: str, stage: str) -> Path:
    """The file that a gate leaves where it lets a stage pass. Later stages depend on it."""
    return Path("metrics") / workflow / "gates" / f"{stage}.accepted"


def suite(workflow: str, stage: str) -> Path:
    """The suite by which a gate judges a stage."""
    return Path("expectations") / workflow / f"{stage}.json"


def run_log(workflow: str, stage: str) -> Path:
    """What is not an output: timings, and checkpoints to resume from."""
    return Path("runs") / workflow / stage


def report(workflow: str) -> Path:
    """The report that the pipeline writes at its end."""
    return Path("report") / f"{workflow}.html"


def report_by_hand(workflow: str) -> Path:
    """The report that `realign report` writes: no output, since DVC checks nothing out over an output that was changed
    by hand."""
    return Path("runs") / workflow / "report.html"


def verdict(workflow: str) -> Path:
    """The verdict on a workflow's candidate."""
    return Path("verdicts") / f"{workflow}.json"


def figures(workflow: str) -> Path:
    """The few figures of a workflow that DVC is told, for `dvc exp show` and `dvc metrics diff`."""
    return Path("metrics") / f"{workflow}.json"


def released(workflow: str) -> Path:
    """The released model, its records, the pointer to both, and the openings of the sealed rows: what `realign release`
    alone writes."""
    return Path("released") / workflow
