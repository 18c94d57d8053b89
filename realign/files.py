"""JSON and YAML that a person may have edited: read whole, or the fault is named with its place."""

import json
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from realign.errors import UserError

KINDS = {dict: "a JSON object", list: "a JSON list"}


def read_json(path: Path, kind: type = dict, fix: str = "mend the line, or take the file back from git") -> Any:
    """The JSON value in a file.

    Raises UserError where there is no file, it is not UTF-8, broken JSON (line and column), names a key twice in one
    object, or holds no `kind`.
    """
    def once(pairs: list[tuple[str, Any]]) -> dict:
        found = dict(pairs)
        if len(found) < len(pairs):  # JSON leaves open which of the two counts
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"{twice!r} stands twice", where=str(path), expected="each name once in an object", fix=fix)
        return found

    try:
        value = json.loads(path.read_bytes(), object_pairs_hook=once)
    except FileNotFoundError:
        raise UserError("no such file", where=str(path), fix="`dvc repro` makes what the pipeline writes") from None
    except json.JSONDecodeError as error:
        raise UserError(f"broken JSON: {error.msg}", where=f"{path}, line {error.lineno}, column {error.colno}",
                        fix=fix) from error
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 at byte {error.start}", where=str(path), fix=fix) from error
    if not isinstance(value, kind):
        raise UserError(f"holds {named(value)}", where=str(path), expected=KINDS[kind], fix=fix)
    return value


def named(value: Any) -> str:
    """What kind of JSON value this is, in words."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return {str: "a text", list: "a list", dict: "an object"}.get(type(value), "a number")


def read_yaml(path: Path) -> dict:
    """The sections of a YAML file, parsed as DVC parses it (YAML 1.2: `1e-5` is a number, `no` is a word).

    Raises UserError where there is no file, it is not UTF-8, broken YAML (line and column), or holds no sections.
    """
    try:
        value = deepcopy(_parsed(path.read_text(encoding="utf-8"), path))
    except FileNotFoundError:
        raise UserError("no such file", where=str(path), fix="run from the root of the repository") from None
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 at byte {error.start}", where=str(path), fix="save it as UTF-8") from error
    if not isinstance(value, dict):
        found = "nothing (null)" if value is None else f"{str(value)[:60]!r} ({type(value).__name__})"
        raise UserError(f"found {found}", where=str(path), expected="sections, each `name:` with its keys below",
                        fix="correct the file")
    return value


@lru_cache(maxsize=16)  # a stage reads params.yaml for every section, and one reading takes a tenth of a second
def _parsed(text: str, path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        raise UserError(f"broken YAML: {error.problem}", where=where, fix="correct that line") from error
    except YAMLError as error:
        raise UserError(f"broken YAML: {error}", where=str(path), fix="correct the file") from error
