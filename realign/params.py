"""`params.yaml` to frozen dataclasses: every knob is declared once, its range in its type, and a mistake is named.

    @dataclass(frozen=True)
    class Rl:
        batch_size: Positive
        \"\"\"Prompts a rollout.\"\"\"

The string below a field is its meaning and unit, which `realign check --explain` shows. The file is parsed as DVC
parses it (YAML 1.2: `1e-5` is a number, `no` is a word).
"""

import dataclasses
import difflib
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from realign.errors import UserError
from realign.files import read_yaml
from realign.paths import PARAMS

T = TypeVar("T")
Location = tuple[str | int, ...]  # keys and list positions below a section
Where = Callable[[Location], str]  # how a message names a location

Positive = Annotated[int, Field(ge=1)]
"""A whole number from 1: sizes, steps, epochs."""
Times = Annotated[int, Field(ge=1, le=100_000)]
"""How often, from 1: epochs, rounds. More would be a slip of the keys, which no run ends."""
Rows = Annotated[int, Field(ge=1, le=1_000_000)]
"""Rows, prompts or answers at once, from 1. More would not fit into memory."""
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
"""Tokens of a text, from 1. No model reads more."""
Count = Annotated[int, Field(ge=0)]
"""A whole number from 0: seeds, and amounts that may be none."""
Share = Annotated[float, Field(ge=0, le=1)]
"""From 0 to 1, both included."""
PositiveShare = Annotated[float, Field(gt=0, le=1)]
"""Above 0, up to 1: top_p, a discount."""
PartShare = Annotated[float, Field(ge=0, lt=1)]
"""From 0 to below 1, never the whole: dropout, warmup."""
OpenShare = Annotated[float, Field(gt=0, lt=1)]
"""Above 0 and below 1: a held-out part, a clip range."""
Rate = Annotated[float, Field(gt=0)]
"""Above 0: scales, limits."""
LearningRate = Annotated[float, Field(gt=0, le=1)]
"""Above 0, up to 1: of AdamW, whose steps are about as large as the rate."""
NonNegative = Annotated[float, Field(ge=0)]
"""From 0: penalties and weights that may be off."""
Temperature = Annotated[float, Field(ge=0, le=10)]
"""From 0, which is greedy, to 10, at which every token is nearly as likely."""

Temperatures = Annotated[tuple[Temperature, ...], Field(min_length=1)]
"""One or more of them."""
Name = Annotated[str, Field(min_length=1)]
"""A text that is not empty."""
Names = Annotated[tuple[str, ...], Field(min_length=1)]
"""One or more of them."""
Factor = Annotated[float, Field(gt=1)]
"""Above 1: how many times."""

_SCALARS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_BOUNDS = ("ge", "gt", "le", "lt", "min_length")


def load(section: str, cls: type[T], path: Path = PARAMS, over: str = "") -> T:
    """The section at a dotted key ("<workflow>.<stage>") as `cls`: a dataclass, or any type a field may have.

    `over` names a section ("common.sft") whose keys are the defaults: `section` then holds only what differs, in a
    nested record too, and may be empty ({}). Fields may be bool, int, float, str, a ranged one of these, Literal,
    list, tuple[X, ...], dict[str, X], `X | None`, dataclasses.
    Raises UserError for a missing or broken file, a missing or unknown key, a value of another type or out of range,
    and whatever the dataclass's own __post_init__ refuses; TypeError for a field whose type no knob can have.
    """
    return convert(read_yaml(path), section, cls, path, over)


def convert(tree: Mapping[str, Any], section: str, cls: type[T], path: Path = PARAMS, over: str = "") -> T:
    """As `load`, of the sections that `path` was read into."""
    own = find(tree, section, path)
    if not over:
        return _convert(own, cls, (), lambda at: _at(path, section, at))
    defaults = find(tree, over, path)
    for name, value in ((section, own), (over, defaults)):
        if not isinstance(value, Mapping):
            raise _wrong(value, f"a section, {{}} where nothing differs from {over}", _at(path, name))
    return _convert(merged(defaults, own, cls), cls, (),
                    lambda at: _at(path, over if not _holds(own, at) and _holds(defaults, at) else section, at))


def find(tree: Mapping[str, Any], section: str, path: Path = PARAMS) -> Any:
    """What stands at a dotted key; UserError where nothing does."""
    value: Any = tree
    done: list[str] = []
    for key in section.split("."):
        where = _at(path, ".".join(done))
        if not isinstance(value, Mapping):
            raise _wrong(value, f"a section with the key {key!r}", where)
        done.append(key)
        if key not in value:
            raise _missing(key, _at(path, ".".join(done)), present=list(value))
        value = value[key]
    return value


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    """The keys of a section over its defaults; those of a nested record likewise, any other value as a whole."""
    fields = kinds(cls)
    inner = {name for name in own if isinstance(own[name], Mapping) and isinstance(defaults.get(name), Mapping)
             and name in fields and record(fields[name])}
    return {**defaults, **{name: merged(defaults[name], own[name], record(fields[name])) if name in inner else value
                           for name, value in own.items()}}


def kinds(cls: Any) -> dict[str, Any]:
    """The fields of a dataclass that a section gives, each with its type; TypeError where a knob cannot have it."""
    hints = get_type_hints(cls, include_extras=True)
    found = {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}
    for kind in found.values():
        words(kind)
    return found


def record(kind: Any) -> Any:
    """The dataclass that values of this type are, None aside; None where they are no such records."""
    members = [k for k in _members(kind) if k is not type(None)]
    return members[0] if len(members) == 1 and dataclasses.is_dataclass(members[0]) else None


def words(kind: Any) -> str:
    """What a value of this type looks like, in words: "a whole number, at least 1"."""
    bare, bounds = _split(kind)
    origin, args = get_origin(bare), get_args(bare)
    if bare in _SCALARS:
        return ("a number" if bare is float and bounds else _SCALARS[bare]) + _limits(bounds)
    if _is_sequence(bare):
        return f"a list{_limits(bounds)}, each item {words(args[0])}"
    if bounds:
        raise TypeError(f"a parameter cannot be of type {kind}: bounds belong to a number, a text or a list")
    if dataclasses.is_dataclass(bare):
        return "a section with the keys " + ", ".join(f.name for f in dataclasses.fields(bare) if f.init)
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in args)
    if origin is dict and args[0] is str:
        return f"a section, each value {words(args[1])}"
    if origin in (Union, types.UnionType):
        each = ["null" if a is type(None) else words(a) for a in args]
        return (", or " if any("," in word for word in each) else " or ").join(each)
    raise TypeError(f"a parameter cannot be of type {kind}")


def _limits(bounds: Mapping[str, Any]) -> str:
    """What follows "a number" or "a list"."""
    match bounds:
        case {"ge": low, "le": high}:
            return f" from {low} to {high}"
        case {"ge": low, "lt": high}:
            return f" from {low} to below {high}"
        case {"gt": low, "le": high}:
            return f" above {low}, at most {high}"
        case {"gt": low, "lt": high}:
            return f" above {low} and below {high}"
        case {"ge": low}:
            return f", at least {low}"
        case {"gt": low}:
            return f" above {low}"
        case {"le": high}:
            return f", at most {high}"
        case {"lt": high}:
            return f" below {high}"
        case {"min_length": least}:
            return f", at least {least} long"
    return ""


def _split(kind: Any) -> tuple[Any, dict[str, Any]]:
    """A type without its Annotated, and its bounds by pydantic's names; TypeError for one that `words` cannot say."""
    if get_origin(kind) is not Annotated:
        return kind, {}
    bare, *given = get_args(kind)
    constraints = [c for g in given for c in getattr(g, "metadata", [g])]
    bounds = {name: getattr(c, name) for c in constraints for name in _BOUNDS if getattr(c, name, None) is not None}
    for constraint in constraints:
        if not any(hasattr(constraint, name) for name in _BOUNDS):
            raise TypeError(f"a parameter cannot be bounded by {constraint}: messages have no words for it")
    return bare, bounds


def _convert(value: Any, kind: Any, at: Location, where: Where) -> Any:
    """`value` as `kind`, or the UserError that says what stands there instead."""
    members = [k for k in _members(kind) if k is not type(None)]
    if value is None and len(members) < len(_members(kind)):
        return None
    if len(members) > 1:
        return _union(value, kind, at, where)
    bare, _ = _split(members[0])
    origin, args = get_origin(bare), get_args(bare)
    if dataclasses.is_dataclass(bare):
        return _record(value, bare, at, where)
    if _is_sequence(bare) and isinstance(value, list):
        value = origin(_convert(item, args[0], (*at, i), where) for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        value = {key: _convert(item, args[1], (*at, key), where) for key, item in value.items()}
    # pydantic takes true, and 1.0, for a Literal's 1
    if origin is Literal and not any(value == a and type(value) is type(a) for a in args):
        raise _wrong(value, words(kind), where(at))
    try:
        return TypeAdapter(members[0], config=_STRICT).validate_python(value)
    except ValidationError:
        raise _wrong(value, words(kind), where(at)) from None


def _union(value: Any, kind: Any, at: Location, where: Where) -> Any:
    for member in get_args(kind):
        try:
            return _convert(value, member, at, where)
        except UserError:  # of the next type, perhaps
            continue
    raise _wrong(value, words(kind), where(at))


def _record(value: Any, cls: Any, at: Location, where: Where) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(value, words(cls), where(at))
    fields = kinds(cls)
    for name in value:
        if name not in fields:
            raise unknown(str(name), where((*at, name)), list(fields))
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if field.init and required and field.name not in value:
            raise _missing(field.name, where((*at, field.name)), words(fields[field.name]))
    values = {name: _convert(value[name], fields[name], (*at, name), where) for name in value}
    try:
        return cls(**values)
    except ValueError as error:  # of its __post_init__
        raise UserError(str(error), where=where(at), fix="correct these values together") from error


def _members(kind: Any) -> tuple:
    """The types of a union; of any other type, itself alone."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) is list or (get_origin(kind) is tuple and get_args(kind)[1:] == (...,))


def _holds(value: Any, at: Location) -> bool:
    """Whether a section has something at this location."""
    for key in at:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _at(path: Path, section: str, at: Location = ()) -> str:
    key = section + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in at)
    return f"{path}: {key}" if key else str(path)


def unknown(key: str, where: str, known: list[str]) -> UserError:
    """The error of a key that is none of those known, with the one that was probably meant."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]!r}?" if close else "remove it, or correct its name"
    return UserError("unknown key", where=where, expected="one of " + ", ".join(known), fix=fix)


def _missing(key: str, where: str, expected: str = "", present: list | None = None) -> UserError:
    close = difflib.get_close_matches(key, [str(k) for k in present or []], n=1, cutoff=0.5)
    fix = f"did you mean this key where {close[0]!r} stands?" if close else f"add {key!r}"
    return UserError("missing key", where=where, expected=expected, fix=fix)


def _wrong(value: Any, expected: str, where: str) -> UserError:
    found = "nothing (null)" if value is None else f"{str(value)[:60]!r} ({type(value).__name__})"
    fix = "quote it if it is meant as text" if expected.startswith("text") else "correct the value"
    return UserError(f"found {found}", where=where, expected=expected, fix=fix)
