"""Room in DVC's cache: DVC takes a run for a success though it could not store what a stage made."""

import configparser
import shutil
from collections.abc import Iterable
from pathlib import Path

from realign.errors import UserError

DVC = Path(".dvc")


def cache_folder() -> Path:
    """The directory of DVC's cache, as the project's own configuration names it."""
    config = configparser.ConfigParser(interpolation=None)
    config.read([DVC / "config", DVC / "config.local"], encoding="utf-8")
    return DVC / config.get("cache", "dir", fallback="cache")  # a relative one is taken from there


def require_room(made: Iterable[Path]) -> None:
    """UserError where the disk of DVC's cache has no room for files and directories that a stage made. Nothing to ask
    outside a repository of DVC's."""
    if not DVC.is_dir():
        return
    files = [file for path in made for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    needed, folder = sum(file.stat().st_size for file in files), cache_folder()
    disk = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    if (free := shutil.disk_usage(disk).free) < needed:
        raise UserError(f"the disk of DVC's cache has {free} bytes left", where=str(folder),
                        expected=f"{needed}, for what this stage made: DVC would go on without having stored it",
                        fix="free space (`dvc gc --workspace` drops versions that nothing refers to), then store what "
                            "lies here already: dvc commit -f")
