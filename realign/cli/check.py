"""`realign check`: params.yaml against the code that reads it, before anything runs."""

import ast
import builtins
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from realign import params


def check(root: Path) -> list[str]:
    """Load every section of params.yaml as the code does; the sections' names.

    UserError for an unknown or missing key, a value of another type, and a section that nothing reads.
    """
    found = sections(root)
    outermost = {name: kind for name, kind in found.items()
                 if not any(name.startswith(f"{other}.") for other in found)}
    params.check_all(root / params.PARAMS, outermost)
    return sorted(found)


def sections(root: Path) -> dict[str, type]:
    """Every section by its dotted key, with the type that the project's code reads it as."""
    if str(root.resolve()) not in sys.path:
        sys.path.insert(0, str(root.resolve()))  # stages/ is no part of the installed package
    found: dict[str, type] = {}
    for path in (p for room in ("realign", "stages") for p in sorted((root / room).rglob("*.py"))):
        for section, kind in loads(path):
            if hasattr(builtins, kind):
                found[section] = getattr(builtins, kind)
            elif f"class {kind}:" in path.read_text(encoding="utf-8"):  # elsewhere it is imported from here
                module = importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
                found[section] = getattr(module, kind)
    return found


def loads(path: Path) -> Iterator[tuple[str, str]]:
    """The section and the name of the type in every `params.load("section", Type)` of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="params"), attr="load"),
                          args=[ast.Constant(value=str(section)), ast.Name(id=kind)]):
                yield section, kind
