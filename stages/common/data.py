"""What a workflow works on: its base model, its chats and prompts, its scorer, and the rows that judge it.

Rows come from the demo world, or from a file of preference pairs (`<workflow>.data.source` in params.yaml).
"""

from dataclasses import dataclass
from pathlib import Path

from realign import params, paths
from realign.curate.contamination import decontamination, evaluation_index, held
from realign.curate.text import CHAT_TEXTS, texts_of
from realign.errors import UserError
from realign.evaluate import scorers
from realign.evaluate.scorers import Scorer as Score
from realign.lake.schemas import CHATS, PAIRS
from realign.lake.table import frame, small_rows
from realign.metrics import Metric
from realign.params import Name
from realign.stage import Stage

TRAINED = "prompts"  # the split of the prompts that policies train on


@dataclass(frozen=True)
class Model:
    """A model that params.yaml names, by its directory or hub id."""

    name: Name
    """Directory or hub id."""
    files: Name
    """What DVC watches of it: that directory again; a hub id has none here, so leave it then."""

    def watched(self, folder: str, key: str) -> str:
        """`folder`, the directory or hub id in `name`. UserError, for the knob `key`, for a directory that DVC does not
        watch: it could change and nothing would run again."""
        if Path(folder).is_dir() and Path(folder) != Path(self.files):
            raise UserError(f"found {self.files!r}", where=f"{paths.PARAMS}: {key}.files",
                            expected=f"the directory of {key}.name, {folder!r}, so that DVC watches it",
                            fix=f"set both: dvc exp run -S {key}.name={self.name} -S {key}.files={folder}")
        return folder


@dataclass(frozen=True)
class Base(Model):
    """The model that every workflow starts from: `model.base` in params.yaml."""


@dataclass(frozen=True)
class Scorer(Model):
    """What tells better responses from worse: `reference`, the verifier of each prompt's reference answer, or
    `reward:<directory>`, a reward model."""

    def __post_init__(self):
        if not scorers.known(self.name):
            raise ValueError(f"unknown scorer {self.name!r}; known are reference, and reward:<directory of a reward "
                             "model>")


@dataclass(frozen=True)
class Data:
    """Where a workflow's rows come from."""

    source: Name
    """`demo`: the demo world, from which responses are sampled; or a JSONL, CSV or Parquet file of preference pairs, or
    a folder of such files (`./demo`, should it be called so)."""
    score_low: float
    """Lowest score that such a file may hold."""
    score_high: float
    """Highest score that such a file may hold."""

    def __post_init__(self):
        if not self.score_low < self.score_high:
            raise ValueError(f"score_low, {self.score_low:g}, is not below score_high, {self.score_high:g}")

    @property
    def demo(self) -> bool:
        """Whether prompts of the demo world are sampled from, rather than labelled pairs given."""
        return self.source == str(paths.DEMO)


def base_model() -> str:
    """Directory or hub id of the base model."""
    base = params.load("model.base", Base)
    return base.watched(base.name, "model.base")


def settings(here: Stage) -> Data:
    """Where the workflow's rows come from."""
    return here.params(Data, "data")


def scorer(here: Stage) -> Score:
    """The workflow's scorer of responses. UserError for a name that is none."""
    chosen, key = here.params(Scorer, "scorer"), f"{here.workflow}.scorer"
    if chosen.name.startswith(scorers.REWARD):
        chosen.watched(chosen.name.removeprefix(scorers.REWARD), key)
    return scorers.scorer(chosen.name, f"{paths.PARAMS}: {key}.name")


def has_scorer(here: Stage) -> bool:
    """Whether anything but the reward model trained here can tell how good a new answer is: not for labelled pairs
    without a scorer of their own, as they have no reference answers. The gates ask the same of params.yaml."""
    return settings(here).demo or here.params(Scorer, "scorer").name.startswith(scorers.REWARD)


def independent_scorer(here: Stage) -> Score | None:
    """The scorer, where it can be held against a policy's reward: never the reward model trained here, which DVC would
    call a cycle. None where there is none."""
    return scorer(here) if has_scorer(here) else None


def evaluation_rows() -> list[dict]:
    """The rows of every capability suite, in the order of the suites' names."""
    found = suite(paths.EVALUATION)
    if not found:
        raise UserError("holds no evaluation rows", where=str(paths.EVALUATION), expected="a Parquet file a suite",
                        fix="`dvc repro` makes those of the demo")
    return found


def reserve_rows() -> list[dict]:
    """The rows that a verdict may draw besides."""
    return suite(paths.RESERVE)


def suite(folder: Path) -> list[dict]:
    """The rows of the files in a folder of evaluation rows, in the order of their names; none where it is empty."""
    return [row for file in sorted(folder.glob("*.parquet")) for row in small_rows(file, CHATS, allow_empty=True)]


def contaminated(chats: list[dict]) -> dict[int, str]:
    """The places of the chats that hold a row of an evaluation suite (those for releases and for choosing included),
    each with what it holds. Nothing may train on them."""
    found = evaluation_index(*paths.SUITES).faults(texts_of(frame(chats, CHATS), CHAT_TEXTS))
    return {place: held(evaluation_id, share) for place, evaluation_id, share in found.iter_rows()}


def prompts(here: Stage, split: str) -> list[dict]:
    """Chats without an answer, to sample from: of the demo world, or the prompts of the file's pairs. Of the split
    `prompts`, which policies train on, those that are contaminated are left out."""
    return training_prompts(here)[0] if split == TRAINED else _prompts(here, split)


def training_prompts(here: Stage) -> tuple[list[dict], Metric]:
    """The prompts that policies train on, and the share of all that held no evaluation row; the others are left
    out."""
    found = _prompts(here, TRAINED)
    out = contaminated(found)
    return [row for place, row in enumerate(found) if place not in out], decontamination(len(out), len(found))


def _prompts(here: Stage, split: str) -> list[dict]:
    given = settings(here)
    if given.demo:
        return [row for row in small_rows(paths.WORLD / "prompts.parquet", CHATS) if row["split"] == split]
    of_file = {TRAINED: "train", "validation": "validation", "test": "validation"}[split]
    unique = {row["prompt_id"]: row for row in pairs(here) if row["split"] == of_file}
    if not unique:
        raise UserError(f"no prompts in the split {of_file}", where=given.source, fix="give more pairs")
    return [{"row_id": name, "messages": row["messages"], "capability": "preference", "slice": row["preference_type"],
             "reference": "{}", "split": split, "source": row["source"]} for name, row in unique.items()]


def pairs(here: Stage) -> list[dict]:
    """The file's pairs that fit the window, as the stage `sft` has brought them into the lake."""
    return small_rows(here.of("sft").dataset("pairs"), PAIRS)
