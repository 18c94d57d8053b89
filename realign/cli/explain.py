"""`realign check --explain`: what every knob means, what it may be, and where its default comes from.

Meaning and unit are the string below a field of the class that reads the section. The default is the value in
params.yaml, and its source the comment behind it, with the lines of comment below that are indented further.
"""

import ast
import dataclasses
import inspect
import itertools
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from ruamel.yaml import YAML

from realign import params
from realign.check import Reading, readings
from realign.files import read_yaml
from realign.paths import PARAMS

HEADINGS = ("knob", "value", "range", "meaning", "source")


@dataclass(frozen=True)
class Knob:
    """One row: a key below the section, its value, what it may be, what it means, and where the value comes from."""

    name: str
    value: str
    range: str
    meaning: str
    source: str


def show(root: Path, name: str = "") -> None:
    """Print the knobs of a section, or a single knob, as a table; above sections, or without a name, their list.

    UserError for a name that is in none of them.
    """
    found, path = readings(root), root / PARAMS
    below = sorted({r.section for r in found if not name or r.section.startswith(f"{name}.")})
    above = [r for r in found if f"{name}.".startswith(f"{r.section}.")]
    if above:
        _print(_chosen(above, path, name))
    elif below:
        width = max(map(len, below))
        print("\n".join(f"{section:{width}}  {_summary(_nearest(found, section).kind)}" for section in below))
    else:
        raise params.unknown(name, f"{path}: {name}", sorted({r.section for r in found}))


def knobs(path: Path, reading: Reading) -> list[Knob]:
    """The knobs of a section as params.yaml at `path` has them, those of a nested record by their dotted keys.

    UserError where the file cannot be read or has no such section.
    """
    params.find(read_yaml(path), reading.section, path)
    tree = YAML().load(path.read_text(encoding="utf-8"))
    if dataclasses.is_dataclass(reading.kind):
        return list(_rows(reading.kind, tree, [name for name in (reading.section, reading.over) if name]))
    value, source = _spot(tree, reading.section.split("."))
    return [Knob(reading.section, _text(value), params.words(reading.kind), "", source)]


def meanings(cls: type) -> dict[str, str]:
    """The string below each field of a dataclass and of those that it inherits from; the nearest counts."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body
        for field, below in itertools.pairwise(body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found


def _chosen(above: Sequence[Reading], path: Path, name: str) -> list[Knob]:
    """The rows of the innermost section that `name` is or lies in: all of them, or those of the named knob."""
    section = max((reading.section for reading in above), key=len)
    rows = knobs(path, _nearest(above, section))
    wanted = name.removeprefix(section).removeprefix(".")
    chosen = [row for row in rows if not wanted or f"{row.name}.".startswith(f"{wanted}.")]
    if not chosen:
        raise params.unknown(wanted, f"{path}: {name}", [row.name for row in rows])
    return chosen


def _nearest(found: Sequence[Reading], section: str) -> Reading:
    """How a section is read: by the stage that it is named after, where several read it."""
    return min((reading for reading in found if reading.section == section),
               key=lambda reading: getattr(reading.kind, "__module__", "") != f"stages.{section}")


def _summary(kind: Any) -> str:
    if not dataclasses.is_dataclass(kind):
        return params.words(kind)
    return f"{len(params.kinds(kind))} knobs, read as {kind.__module__}.{kind.__qualname__}"


def _rows(cls: Any, tree: Mapping[str, Any], sections: Sequence[str], at: tuple[str, ...] = (),
          made: Any = MISSING) -> Iterator[Knob]:
    """The rows of a record `at` these keys of the first section that has them; `made` is the class's own default."""
    meaning, fields = meanings(cls), {field.name: field for field in dataclasses.fields(cls)}
    for name, kind in params.kinds(cls).items():
        keys = (*at, name)
        default = getattr(made, name) if made is not MISSING else _default(fields[name])
        value, source = _value(tree, sections, keys, default)
        inner = params.record(kind)
        if inner and value is not None:
            yield from _rows(inner, tree, sections, keys, default)
        else:
            yield Knob(".".join(keys), _text(value), params.words(kind), meaning.get(name, ""), source)


def _default(field: dataclasses.Field) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _value(tree: Mapping[str, Any], sections: Sequence[str], keys: Sequence[str], default: Any) -> tuple[Any, str]:
    """A knob's value and where it comes from: the comment in params.yaml, another section, or the code."""
    for section in sections:
        spot = _spot(tree, [*section.split("."), *keys])
        if spot is not None:
            value, comment = spot
            return value, comment if section == sections[0] else f"{section}: {comment}".removesuffix(": ")
    return default, "missing" if default is MISSING else "the code's own default"


def _spot(tree: Any, keys: Sequence[str]) -> tuple[Any, str] | None:
    """What stands at these keys and the comment at the last of them; None where nothing does."""
    comment = ""
    for key in keys:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        comment = _comment(tree, key)
        tree = tree[key]
    return tree, comment


def _comment(section: Any, key: str) -> str:
    """The comment behind a key, and the lines below that are indented further than the key."""
    token = (section.ca.items.get(key) or [None] * 3)[2]
    if token is None:
        return ""
    first, *below = token.value.splitlines()
    column = section.lc.data[key][1]
    more = [line for line in below if line.lstrip().startswith("#") and line.index("#") > column]
    return " ".join(line.strip().lstrip("# ") for line in (first, *more))


def _text(value: Any) -> str:
    """A value as params.yaml has it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{', '.join(map(_text, value))}]"
        case Mapping():
            return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    return "" if value is MISSING else str(value)


def _print(rows: Sequence[Knob]) -> None:
    """A table: for a terminal by rich, else in columns, one row a line however long."""
    cells = [dataclasses.astuple(row) for row in rows]
    if sys.stdout.isatty():
        table = Table(*HEADINGS, show_lines=True)
        for row in cells:
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(HEADINGS, *cells, strict=True)]
    for row in (HEADINGS, *cells):
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
