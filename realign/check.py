"""`realign check`: params.yaml against the stages that read it, before anything runs.

Which class reads which section follows from names. A stage is `python -m stages WORKFLOW STAGE` in a dvc.yaml, its
`params` are sections, and a section `a.b_c` is read as the class `BC` (or `BCKnobs`), looked for in the stage's own
module, then in stages.a.b_c, stages.common.b_c and stages.common.data. A stage that lists `a.b` and `common.b` reads
the first over the second.
"""

import importlib
import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from realign import params
from realign.errors import UserError
from realign.files import read_yaml
from realign.paths import COMMON, PARAMS
from realign.stage import Stage

_COMMAND = re.compile(r"python -m stages ([\w-]+) ([\w-]+)")
_VARIABLE = re.compile(r"\$\{(item|key)((?:\.\w+)*)\}")


@dataclass(frozen=True)
class Entry:
    """A stage of a dvc.yaml: the file, the modules that may hold its code, and the sections that it reads."""

    file: Path
    modules: tuple[str, str]
    sections: tuple[str, ...]

    @property
    def module(self) -> str:
        """The first of its modules that there is. UserError where there is none."""
        found = next((name for name in self.modules if _module(name)), None)
        if found is None:
            raise UserError(f"no module {self.modules[0]}", where=str(self.file),
                            fix=f"write {self.modules[0].replace('.', '/')}.py, or correct the stage's command")
        return found


@dataclass(frozen=True)
class Reading:
    """A section of params.yaml, the class that it is read as, and the section that it stands over, if any.

    It is `whole` where it must have every key: not where another section stands over it.
    """

    section: str
    kind: Any
    over: str = ""
    whole: bool = True


def check(root: Path) -> list[str]:
    """Load every section of params.yaml as its stages do; the sections' names.

    The backend must have been started: stages import MLX.
    Raises UserError for a section that no stage names, one that no class reads, an unknown or missing key, and a
    value of another type or out of its range.
    """
    path = root / PARAMS
    tree, found = read_yaml(path), readings(root)
    _refuse_unread(tree, {reading.section for reading in found}, path)
    for reading in found:
        if reading.whole:
            params.convert(tree, reading.section, reading.kind, path, reading.over)
    return sorted({reading.section for reading in found})


def readings(root: Path) -> list[Reading]:
    """Every section that a stage names with the class that reads it; more than once where classes differ.

    A name above other sections (`<workflow>`), or below one (`<workflow>.<stage>.seed`), is no section of its own.
    Raises UserError for a section that no class reads, a stage without a module, and where there is no stage at all.
    """
    if str(root.resolve()) not in sys.path:
        sys.path.insert(0, str(root.resolve()))  # stages/ is no part of the installed package
    found: list[Reading] = []
    unread: dict[str, Entry] = {}
    running = stages(root)
    if not running:
        raise UserError("no stage reads params.yaml", where=str(root / "dvc.yaml"),
                        expected="commands `python -m stages WORKFLOW STAGE`, here or in stages/*/dvc.yaml")
    named = {section for stage in running for section in stage.sections}
    for stage in running:
        below = {_over(section, stage) for section in stage.sections}
        for section in stage.sections:
            if "." not in section and any(_within(other, section) for other in named - {section}):
                continue
            kind = _kind(section, stage)
            reading = Reading(section, kind, _over(section, stage), section not in below)
            if kind is None:
                unread.setdefault(section, stage)
            elif reading not in found:
                found.append(reading)
    known = {reading.section for reading in found}
    for section, stage in unread.items():
        if not any(_within(section, other) or _within(other, section) for other in known):
            last = section.split(".")[-1]
            raise UserError(f"no class reads the section {section!r}", where=f"{stage.file}: {stage.module}",
                            expected=f"a dataclass {_class(last)} in " + ", ".join(_homes(section, stage)),
                            fix="add it there, or take the section from the stage's params")
    return found


def stages(root: Path) -> list[Entry]:
    """The stages that `python -m stages` runs: those of dvc.yaml and stages/*/dvc.yaml, written out where `foreach` or
    `matrix` makes several (a `foreach` over a variable of DVC's is left out), and those of no run, which the Makefile
    starts and which read the section of their name."""
    made = root / "Makefile"
    by_hand = _COMMAND.findall(made.read_text(encoding="utf-8")) if made.is_file() else []
    found = [Entry(made, Stage(*names).modules, (".".join(names),)) for names in by_hand]
    for file in (root / "dvc.yaml", *sorted((root / "stages").glob("*/dvc.yaml"))):
        for body in (read_yaml(file).get("stages") or {}).values():
            for cmd, sections in _written_out(body):
                if match := _COMMAND.search(cmd):
                    found.append(Entry(file, Stage(*match.groups()).modules, sections))
    return found


def _written_out(body: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Command and sections of each stage that a body of dvc.yaml stands for."""
    do = body.get("do", body)
    cmd = " && ".join(do["cmd"]) if isinstance(do.get("cmd"), list) else do.get("cmd", "")
    names = list(_sections(do.get("params") or []))
    for key, item in _items(body):
        yield _filled(cmd, key, item), tuple(_filled(name, key, item) for name in names)


def _items(body: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """What ${key} and ${item} stand for in each stage of a body: one without either where it is a stage itself."""
    each = body.get("foreach", [""])
    if "matrix" in body:
        rows = itertools.product(*body["matrix"].values())
        each = [dict(zip(body["matrix"], row, strict=True)) for row in rows]
    if isinstance(each, str):
        return []
    return list(each.items()) if isinstance(each, Mapping) else [(item, item) for item in each]


def _sections(entries: list) -> Iterator[str]:
    """The names in a `params` list that are of params.yaml."""
    for entry in entries:
        if isinstance(entry, Mapping):
            yield from (name for file, names in entry.items() if Path(file).name == PARAMS.name for name in names or [])
        else:
            yield entry


def _filled(text: str, key: Any, item: Any) -> str:
    """The text with ${key}, ${item} and ${item.name} put in."""
    def value(match: re.Match) -> str:
        found = item if match[1] == "item" else key
        for name in match[2].split(".")[1:]:
            found = found[name]
        return str(found)

    return _VARIABLE.sub(value, text)


def _kind(section: str, stage: Entry) -> Any:
    """The class that reads a section in a stage, or None."""
    name = _class(section.split(".")[-1])
    for home in _homes(section, stage):
        module = _module(home)
        for kind in (getattr(module, name, None), getattr(module, f"{name}Knobs", None)):
            if kind is not None and _of_knobs(kind):
                return kind
    return None


def _homes(section: str, stage: Entry) -> list[str]:
    """The modules that may hold a section's class, nearest first."""
    last = section.split(".")[-1]
    homes = (stage.module, f"stages.{section}", f"stages.{COMMON}.{last}", f"stages.{COMMON}.data")
    return list(dict.fromkeys(homes))


def _class(name: str) -> str:
    """reward_model: RewardModel."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _of_knobs(kind: Any) -> bool:
    """Whether a section can be read as this: a dataclass, or an alias of a field's type."""
    try:
        params.words(kind)
    except TypeError:
        return False
    return True


def _module(name: str) -> ModuleType | None:
    """The module, or None where there is none of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not _within(name, error.name):
            raise
        return None


def _over(section: str, stage: Entry) -> str:
    """The section of defaults that a stage reads this one over, or ""."""
    shared = f"{COMMON}.{section.split('.')[-1]}"
    return shared if section != shared and "." in section and shared in stage.sections else ""


def _within(name: str, above: str) -> bool:
    """Whether a dotted name is `above` or lies below it."""
    return name == above or name.startswith(f"{above}.")


def _refuse_unread(tree: Mapping[str, Any], known: set[str], path: Path, above: str = "") -> None:
    """UserError for the first section that no stage reads; what lies inside a section is its class's to check."""
    for key, value in tree.items():
        name = f"{above}{key}"
        below = {other.removeprefix(above).split(".")[0] for other in known if other.startswith(above)}
        if key not in below:
            raise params.unknown(str(key), f"{path}: {name}", sorted(below))
        if name not in known and isinstance(value, Mapping):
            _refuse_unread(value, known, path, f"{name}.")
