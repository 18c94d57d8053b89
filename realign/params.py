"""`params.yaml` to frozen dataclasses: every knob is declared once, and a mistake in one is named.

The file is parsed as DVC parses it (YAML 1.2: `1e-5` is a number, `no` is a word).
"""

import dataclasses
import difflib
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from realign.errors import UserError

T = TypeVar("T")
PARAMS = Path("params.yaml")
_SCALARS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}


def load(section: str, cls: type[T], path: Path = PARAMS) -> T:
    """The section at a dotted key ("srf.rl") as `cls`: a dataclass, or any type a field may have.

    Fields may be bool, int, float, str, Literal, list, tuple[X, ...], dict[str, X], `X | None`, dataclasses.
    Raises UserError for a missing or broken file, a missing or unknown key, and a value of another type.
    """
    value: Any = _read(path)
    done: list[str] = []
    for key in section.split("."):
        if not isinstance(value, Mapping):
            raise _wrong(value, f"a section with the key {key!r}", path, ".".join(done))
        if key not in value:
            raise _missing(".".join([*done, key]), path, list(value))
        value = value[key]
        done.append(key)
    return _convert(value, cls, path, section)


def check_all(path: Path, sections: Mapping[str, type]) -> dict[str, Any]:
    """Every section by its dotted key, loaded; a UserError also for a section of the file not named here."""
    tree: dict[str, Any] = {}
    for section in sections:
        node = tree
        for key in section.split("."):
            node = node.setdefault(key, {})
    _reject_unknown(_read(path), tree, path, "")
    return {section: load(section, cls, path) for section, cls in sections.items()}


def _reject_unknown(value: Any, tree: Mapping[str, Any], path: Path, prefix: str) -> None:
    """Walk the part of the file above the sections; what lies inside a section is `load`'s to check."""
    if not tree or not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if key not in tree:
            raise _unknown(f"{prefix}{key}", path, list(tree))
        _reject_unknown(inner, tree[key], path, f"{prefix}{key}.")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("no such file", where=str(path), fix="run from the root of the repository") from None
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 at byte {error.start}", where=str(path), fix="save it as UTF-8") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        raise UserError(f"broken YAML: {error.problem}", where=where, fix="correct that line") from None
    except YAMLError as error:
        raise UserError(f"broken YAML: {error}", where=str(path), fix="correct the file") from None
    if not isinstance(value, Mapping):
        raise _wrong(value, "sections, each `name:` with its keys below", path, "")
    return value


def _convert(value: Any, kind: Any, path: Path, key: str) -> Any:
    """`value` as `kind`, or the UserError that says what stands there instead."""
    origin, args = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(value, kind, path, key)
    if origin in (Union, types.UnionType):
        return _union(value, args, path, key)
    if origin is Literal and any(value == a and type(value) is type(a) for a in args):
        return value
    if _is_sequence(kind) and isinstance(value, list):
        return origin(_convert(item, args[0], path, f"{key}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        return {k: _convert(item, args[1], path, f"{key}.{k}") for k, item in value.items()}
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if kind in (bool, int, str) and type(value) is kind:
        return value
    raise _wrong(value, _name(kind), path, key)


def _union(value: Any, kinds: tuple, path: Path, key: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    rest = [k for k in kinds if k is not type(None)]
    if len(rest) == 1:
        return _convert(value, rest[0], path, key)
    for kind in rest:
        if type(value) is kind:
            return value
    raise _wrong(value, " or ".join(_name(k) for k in rest), path, key)


def _dataclass(value: Any, cls: Any, path: Path, key: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(value, _name(cls), path, key)
    kinds = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for name in value:
        if name not in fields:
            raise _unknown(f"{key}.{name}", path, list(fields))
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise _missing(f"{key}.{name}", path, [k for k in value if k not in fields], _name(kinds[name]))
    return cls(**{name: _convert(value[name], kinds[name], path, f"{key}.{name}") for name in value})


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) is list or (get_origin(kind) is tuple and get_args(kind)[1:] == (...,))


def _name(kind: Any) -> str:
    """What a value of this type looks like, in words."""
    origin, args = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if dataclasses.is_dataclass(kind):
        return "a section with the keys " + ", ".join(f.name for f in dataclasses.fields(kind) if f.init)
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in args)
    if _is_sequence(kind):
        return f"a list, each item {_name(args[0])}"
    if origin is dict:
        return f"a section, each value {_name(args[1])}"
    if origin in (Union, types.UnionType):
        return " or ".join("null" if a is type(None) else _name(a) for a in args)
    raise TypeError(f"a parameter cannot be of type {kind}")


def _at(path: Path, key: str) -> str:
    return f"{path}: {key}" if key else str(path)


def _unknown(key: str, path: Path, known: list) -> UserError:
    close = difflib.get_close_matches(key.split(".")[-1], [str(k) for k in known], n=1, cutoff=0.5)
    fix = f"did you mean {close[0]!r}?" if close else "remove it, or correct its name"
    expected = "one of " + ", ".join(map(str, known))
    return UserError("unknown key", where=_at(path, key), expected=expected, fix=fix)


def _missing(key: str, path: Path, present: list, expected: str = "") -> UserError:
    close = difflib.get_close_matches(key.split(".")[-1], [str(k) for k in present], n=1, cutoff=0.5)
    fix = f"did you mean this key where {close[0]!r} stands?" if close else f"add {key.split('.')[-1]!r}"
    return UserError("missing key", where=_at(path, key), expected=expected, fix=fix)


def _wrong(value: Any, expected: str, path: Path, key: str) -> UserError:
    found = "nothing (null)" if value is None else f"{str(value)[:60]!r} ({type(value).__name__})"
    fix = "quote it if it is meant as text" if expected == "text" else "correct the value"
    return UserError(f"found {found}", where=_at(path, key), expected=expected, fix=fix)
