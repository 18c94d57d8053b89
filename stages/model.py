"""The base model that `params.yaml` names, shared by all workflows."""

from dataclasses import dataclass

from realign import params
from stages import watched


@dataclass(frozen=True)
class Model:
    """`model` in params.yaml: `base` is a model directory or hub id; `files` is the directory that DVC watches."""

    base: str
    files: str

    def __post_init__(self):
        watched.require(self.base, self.files, ("model.base", self.base), "model.files")


def base() -> str:
    """`model.base`. UserError for a directory that DVC does not watch."""
    return params.load("model", Model).base
