"""`realign deps`: the rooms of code that each pipeline stage enters, against the `deps` of its dvc.yaml.

DVC re-runs a stage when something in its `deps` changes. They name rooms, so that a person reads them in a minute:
a directory of realign/, each objective singly, each module of stages/ singly. What a stage enters is derived from its
imports; nothing is imported.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from realign.errors import UserError
from realign.files import read_yaml
from realign.stage import Stage

CODE = ("realign", "stages")
# They say where things stand and how they are said; none of them decides what an output holds.
PLUMBING = ("errors", "files", "params", "paths", "stage")


@dataclass(frozen=True)
class Entry:
    """One stage of a dvc.yaml that runs a module of the project: its `deps` as they stand, and the rooms that its
    imports reach.

    Paths are relative to the project's root, the working directory of every stage.
    """

    file: Path
    name: str
    deps: tuple[str, ...]
    rooms: tuple[str, ...]

    @property
    def faults(self) -> list[str]:
        """What is wrong with `deps`, a line each."""
        named = [dep for dep in self.deps if is_code(dep)]
        return ([f"missing {room}" for room in self.rooms if room not in named]
                + [f"surplus {dep}" for dep in sorted(named) if dep not in self.rooms])


@dataclass(frozen=True)
class Module:
    """A module of the project: its room, and the names that it imports."""

    room: str
    imports: tuple[str, ...]


def stages(root: Path) -> list[Entry]:
    """Every stage of dvc.yaml and stages/*/dvc.yaml whose command runs a module of the project; of a `foreach` the
    stage that its first item makes."""
    project, found = modules(root), []
    for file in [root / "dvc.yaml", *sorted(root.glob("stages/*/dvc.yaml"))]:
        for name, entry in (read_yaml(file).get("stages") or {}).items():
            body = entry.get("do", entry)
            command = _resolved(str(body["cmd"]), entry)
            if "python -m " in command:
                module = module_of(command, project)
                found.append(Entry(file.relative_to(root), name, tuple(body.get("deps", ())),
                                   tuple(reached(module, project))))
    return found


def _resolved(command: str, entry: Mapping) -> str:
    items = entry.get("foreach")
    if not items:
        return command
    return command.replace("${key}", str(next(iter(items)))).replace("${item}", str(next(iter(items))))


def module_of(command: str, project: Mapping[str, Module]) -> str:
    """The module that a command runs: for `python -m stages WORKFLOW STAGE` that of the stage, the workflow's own or
    else the common one. UserError where there is none."""
    words = command.split("python -m ", 1)[1].split()
    named = Stage(*words[1:3]).modules if words[0] == "stages" else (f"{words[0]}.__main__", words[0])
    found = next((name for name in named if name in project), None)
    if found is None:
        raise UserError(f"no module for `{command}`", where="dvc.yaml", expected=" or ".join(named),
                        fix="correct the cmd of the stage")
    return found


def is_code(dep: str) -> bool:
    """Whether a dependency is a room, or a module, of the project's code."""
    return dep.startswith(tuple(f"{room}/" for room in CODE)) and Path(dep).suffix in ("", ".py")


def room_of(path: str) -> str:
    """The room that a module lies in; empty for the plumbing."""
    parts = path.split("/")
    if len(parts) == 2:
        return "" if parts[0] == "stages" or parts[1].removesuffix(".py") in PLUMBING else path
    return path if parts[0] == "stages" else "/".join(parts[:3 if parts[1] == "objectives" else 2])


def modules(root: Path) -> dict[str, Module]:
    """Every module of the project by its dotted name; an empty file can change nothing and is in no room."""
    found = {}
    for path in (p for room in CODE for p in sorted((root / room).rglob("*.py"))):
        dotted = path.relative_to(root).with_suffix("").parts
        package = dotted[:-1]
        source = path.read_text(encoding="utf-8")
        room = room_of(path.relative_to(root).as_posix()) if source.strip() else ""
        found[".".join(package if dotted[-1] == "__init__" else dotted)] = Module(
            room, tuple(_imports(ast.parse(source, str(path)), package)))
    return found


def reached(module: str, project: Mapping[str, Module]) -> list[str]:
    """The rooms that running `module` can enter, sorted."""
    done: set[str] = set()
    waiting = [module]
    while waiting:
        parts = waiting.pop().split(".")
        # Python runs the packages around a module first. What is no module is a name inside one.
        around = {".".join(parts[:i]) for i in range(1, len(parts) + 1)} & project.keys() - done
        done |= around
        waiting += [name for new in around for name in project[new].imports]
    return sorted({project[name].room for name in done} - {""})


def _imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Dotted names of all that is imported; with `from a import b` b may be a module or a name in a."""
    for node in _walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[:len(package) + 1 - node.level] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements but what only a type checker sees; no import stands in an expression."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.expr):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _walk(other)
        else:
            yield from _walk(child)
