"""What DVC watches of a model that `params.yaml` names by its directory."""

from pathlib import Path

from realign import params
from realign.errors import UserError


def require(folder: str, files: str, chosen: tuple[str, str], watch: str) -> None:
    """Nothing where `folder` is no directory, a hub id say, or is `files`, the value of the parameter `watch`.

    UserError for a directory that DVC does not watch: it could change and nothing would re-run. `chosen` is the
    parameter that names the model, and its value.
    """
    if Path(folder).is_dir() and Path(folder) != Path(files):
        key, value = chosen
        raise UserError(f"found {files!r}", where=f"{params.PARAMS}: {watch}",
                        expected=f"the directory of {key}, {folder!r}, so that DVC watches it",
                        fix=f"set both: dvc exp run -S {key}={value} -S {watch}={folder}")
