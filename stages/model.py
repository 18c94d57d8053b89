"""The base model that `params.yaml` names, shared by all workflows."""

from dataclasses import dataclass
from pathlib import Path

from realign import params
from realign.errors import UserError


@dataclass(frozen=True)
class Model:
    """`model` in params.yaml: `base` is a model directory or hub id; `files` is the directory that DVC watches."""

    base: str
    files: str


def base() -> str:
    """`model.base`. UserError for a directory that DVC does not watch: it could change and nothing would re-run."""
    chosen = params.load("model", Model)
    if Path(chosen.base).is_dir() and Path(chosen.base) != Path(chosen.files):
        raise UserError(f"found {chosen.files!r}", where=f"{params.PARAMS}: model.files",
                        expected=f"the directory of model.base, {chosen.base!r}, so that DVC watches it",
                        fix=f"set both: dvc exp run -S model.base={chosen.base} -S model.files={chosen.base}")
    return chosen.base
