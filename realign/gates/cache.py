"""Verdicts by the content of everything that made them, so that an unchanged gate costs no evaluation."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from realign.lake.atomic import atomic_file

LIBRARIES = ("great-expectations", "pandas", "polars", "pyarrow")


def cache_key(workflow: str, stage: str, inputs: list[Path], missing: Mapping[str, str]) -> str:
    """SHA-256 over the gate's name, the bytes of its inputs, the metrics that are missing because the run lacks what
    they take, the gates' code and the libraries' versions."""
    here = Path(__file__).resolve().parent
    code = [*sorted(here.glob("*.py")),
            *(here.parent / f"{name}.py" for name in ("kinds", "metrics", "tiers", "words"))]
    parts = [workflow, stage, json.dumps(missing), *(f"{name} {version(name)}" for name in LIBRARIES),
             *(_file_digest(path) for path in [*inputs, *code])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(folder: Path, key: str) -> dict | None:
    """The verdict stored under `key`; None where there is none or its checksum does not match."""
    path = folder / f"{key}.json"
    if not path.is_file():
        return None
    checksum, _, payload = path.read_bytes().partition(b"\n")
    if hashlib.sha256(payload).hexdigest().encode() != checksum:
        return None
    return json.loads(payload)


def store(folder: Path, key: str, verdict: dict) -> None:
    """Keeps `verdict` under `key`, its checksum in the first line."""
    payload = json.dumps(verdict, sort_keys=True).encode()
    with atomic_file(folder / f"{key}.json") as temporary:
        temporary.write_bytes(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
