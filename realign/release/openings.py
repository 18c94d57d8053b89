"""How often the sealed rows were opened, and for which models: a line a model, in a file that git keeps.

Who may look again and again passes by luck at last. So "kept" must be the surer, the more models were looked at before:
the k-th may err by α/(k (k + 1)), over all of them by α (alpha spending, Lan and DeMets 1983, over looks without end).
The same model again is no new look. "Lost" is not made harder by it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from realign.errors import UserError
from realign.interval import ALPHA
from realign.lake.atomic import atomic_file

OPENED = "opened"  # before the outcome is known


@dataclass(frozen=True)
class Opening:
    """One model, by the hash of its files, that answered the sealed rows, by the hash of theirs; its number among those
    that answered the same rows, and the outcome: OPENED, passed or blocked."""

    opening: int
    model: str
    rows: str
    outcome: str = OPENED

    @property
    def alpha(self) -> float:
        """How often "kept" may be false by chance."""
        return ALPHA / (self.opening * (self.opening + 1))


def read(path: Path) -> list[Opening]:
    """The openings so far, first to last; none where there is no file. UserError on a broken line."""
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(Opening(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise UserError(f"broken line ({error})", where=f"{path}:{number}",
                            fix=f"`git checkout -- {path}`") from error
    return found


def opening(before: Sequence[Opening], model: str, rows: str) -> Opening:
    """The opening for a model: the one that it had, or the next one."""
    same = [found for found in before if found.rows == rows]
    return next((found for found in same if found.model == model), Opening(len(same) + 1, model, rows))


def note(path: Path, noted: Opening) -> None:
    """Writes the opening into the file, in place of the line that it has there."""
    lines = {(found.model, found.rows): found for found in read(path)} | {(noted.model, noted.rows): noted}
    with atomic_file(path) as part:
        part.write_text("".join(json.dumps(asdict(found), sort_keys=True) + "\n" for found in lines.values()),
                        encoding="utf-8", newline="\n")
