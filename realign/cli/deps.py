"""`realign deps`: the code that each pipeline stage imports, against the `deps` of its dvc.yaml.

DVC re-runs a stage when a file in its `deps` changes, so these must be the modules that the stage's imports
reach, and only those. They are derived from the source; nothing is imported.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from realign.errors import UserError

ROOMS = ("realign", "stages")
NOT_READ = (".py", ".pyc", ".md", ".yaml", ".lock", "")  # lies beside modules, but no module reads it


@dataclass(frozen=True)
class Stage:
    """One stage that runs a module: its `deps` as they stand, and the code that its imports reach.

    Paths are relative to the project's root, the working directory of every stage.
    """

    file: Path
    name: str
    deps: tuple[str, ...]
    code: tuple[str, ...]

    @property
    def wanted(self) -> list[str]:
        """What `deps` should be: the data as it stands, then the code, sorted."""
        return [d for d in self.deps if not is_code(d)] + list(self.code)

    @property
    def faults(self) -> list[str]:
        """What is wrong with `deps`, a line each."""
        missing = [f"missing {path}" for path in self.code if path not in self.deps]
        return missing + [f"surplus {d}" for d in sorted(self.deps) if is_code(d) and d not in self.code]


@dataclass(frozen=True)
class Module:
    """A module of the project: its file with the data files it reads, and the names it imports."""

    files: tuple[str, ...]
    imports: tuple[str, ...]


def stages(root: Path) -> list[Stage]:
    """Every stage of dvc.yaml and stages/*/dvc.yaml whose command is `python -m <module of the project>`."""
    project, found = modules(root), []
    for file in [root / "dvc.yaml", *sorted(root.glob("stages/*/dvc.yaml"))]:
        for name, entry in _parse(_text(file), file)["stages"].items():
            module = module_of(entry["cmd"])
            if module:
                code = reached(module, project)
                found.append(Stage(file.relative_to(root), name, tuple(entry.get("deps", ())), tuple(code)))
    return found


def module_of(command: str | list) -> str | None:
    """The module that a stage's `cmd` runs, environment variables before it allowed; None for other programs."""
    found = re.match(r"(?:\w+=\S* )*python -m ([\w.]+)", str(command))
    return found and found[1]


def is_code(dep: str) -> bool:
    """Whether a dependency lies among the project's code."""
    return dep.startswith(tuple(f"{room}/" for room in ROOMS))


def modules(root: Path) -> dict[str, Module]:
    """Every module of the project by its dotted name; an empty file can change nothing and has no files."""
    found = {}
    for path in (p for room in ROOMS for p in sorted((root / room).rglob("*.py"))):
        dotted = path.relative_to(root).with_suffix("").parts
        package = dotted[:-1]
        name = ".".join(package if dotted[-1] == "__init__" else dotted)
        source = path.read_text(encoding="utf-8")
        files = [path, *_data(path, source)] if source.strip() else []
        found[name] = Module(tuple(f.relative_to(root).as_posix() for f in files),
                             tuple(_imports(ast.parse(source, str(path)), package)))
    return found


def reached(module: str, project: Mapping[str, Module]) -> list[str]:
    """The files that running `module` can load, sorted. UserError where the project has no such module."""
    start = f"{module}.__main__" if f"{module}.__main__" in project else module
    if start not in project:
        raise UserError(f"no module {module!r}", where="dvc.yaml", fix="correct the cmd of the stage")
    done: set[str] = set()
    waiting = [start]
    while waiting:
        parts = waiting.pop().split(".")
        # Python runs the packages around a module first. What is no module is a name inside one.
        around = {".".join(parts[:i]) for i in range(1, len(parts) + 1)} & project.keys() - done
        done |= around
        waiting += [name for new in around for name in project[new].imports]
    return sorted({file for name in done for file in project[name].files})


def write(root: Path) -> list[Path]:
    """Put the derived code into every dvc.yaml; returns the files that changed. All other lines stay."""
    changed = []
    for stage in stages(root):
        if list(stage.deps) != stage.wanted:
            file = root / stage.file
            file.write_text(_rewritten(_text(file), stage), encoding="utf-8")
            changed.append(stage.file)
    return list(dict.fromkeys(changed))


def _data(path: Path, source: str) -> list[Path]:
    """The files that a module reads from its own directory, if it looks for that at all."""
    if "__file__" not in source:
        return []
    return [p for p in sorted(path.parent.iterdir()) if p.is_file() and p.suffix not in NOT_READ]


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
    """All nodes but what only a type checker sees."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _walk(other)
        else:
            yield from _walk(child)


def _rewritten(text: str, stage: Stage) -> str:
    """The text of a dvc.yaml with one stage's dependencies written anew."""
    lines = text.splitlines(keepends=True)
    entry = _parse(text, stage.file)["stages"][stage.name]
    wanted = [f"      - {dep}\n" for dep in stage.wanted]
    if "deps" not in entry:
        row = entry.lc.key("cmd")[0] + 1
        return "".join([*lines[:row], "    deps:\n", *wanted, *lines[row:]])
    first = entry.lc.key("deps")[0] + 1
    last = first + len(stage.deps)
    if [line.strip() for line in lines[first:last]] != [f"- {dep}" for dep in stage.deps]:
        raise UserError("deps cannot be rewritten", where=f"{stage.file}: {stage.name}",
                        expected="one a line, without comments between", fix="write them so")
    return "".join([*lines[:first], *wanted, *lines[last:]])


def _text(file: Path) -> str:
    if not file.is_file():
        raise UserError("no such file", where=str(file), fix="run from the root of the repository")
    return file.read_text(encoding="utf-8")


def _parse(text: str, file: Path):
    """The YAML with the line of every key. Other faults than its syntax are DVC's to find."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML().load(text)
    except YAMLError as error:
        raise UserError(f"not valid YAML ({error})", where=str(file)) from error
