"""The floors of the house, derived from the imports: nothing imports upwards, and siblings do not know each other."""

import ast
import re
from pathlib import Path

import pytest

from realign.cli import deps

ROOT = Path(__file__).parents[1]
# Bottom up; rooms on one floor do not know each other.
FLOORS = (("errors", "metrics", "paths", "words"), ("files", "interval", "kinds"), ("params", "tiers"), ("lake",),
          ("verify",), ("curate", "stage", "workflow"), ("check", "ingest", "models"), ("evaluate", "train"),
          ("objectives",), ("gates", "versions"), ("release",), ("report",), ("cli",))


def rooms() -> dict[str, set[str]]:
    """For every room of realign/ (a directory, or a module at the top) the other rooms that its modules import."""
    project = {name: module for name, module in deps.modules(ROOT).items() if name.startswith("realign.")}
    found: dict[str, set[str]] = {}
    for name, module in project.items():
        room = name.split(".")[1]
        imported = {other.split(".")[1] for other in module.imports if other.startswith("realign.")}
        found.setdefault(room, set()).update(imported - {room})
    return found


def floors(graph: dict[str, set[str]]) -> list[list[str]]:
    """The rooms by the longest way down; raises where a way leads back to where it began."""
    heights: dict[str, int] = {}

    def height(room: str, above: tuple[str, ...] = ()) -> int:
        if room in above:
            raise AssertionError("imports go round: " + " -> ".join([*above[above.index(room):], room]))
        if room not in heights:
            heights[room] = 1 + max((height(other, (*above, room)) for other in graph[room]), default=-1)
        return heights[room]

    for room in graph:
        height(room)
    return [sorted(r for r in heights if heights[r] == n) for n in range(max(heights.values()) + 1)]


def test_the_floors_follow_from_the_imports():
    graph = rooms()
    declared = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    assert set(declared) == set(graph)
    upwards = [f"{room} imports {other}" for room, others in sorted(graph.items()) for other in sorted(others)
               if declared[other] >= declared[room]]
    assert not upwards
    assert floors(graph)[0] == sorted(room for room, others in graph.items() if not others)


def test_training_and_evaluation_are_siblings():
    graph = rooms()
    derived = {room: number for number, floor in enumerate(floors(graph)) for room in floor}
    assert "train" not in graph["evaluate"] and "evaluate" not in graph["train"]
    assert derived["objectives"] > max(derived["train"], derived["evaluate"])


def test_a_way_round_is_seen():
    with pytest.raises(AssertionError, match="a -> b -> a"):
        floors({"a": {"b"}, "b": {"a"}, "c": set()})
    assert floors({"a": {"b"}, "b": set(), "c": {"a", "b"}}) == [["b"], ["a"], ["c"]]


def test_the_library_names_no_workflow():
    workflows = [path.parent.name for path in ROOT.glob("stages/*/dvc.yaml") if path.parent.name != "demo"]
    literals = [f"{path.relative_to(ROOT)}: {text}" for path in sorted((ROOT / "realign").rglob("*.py"))
                for text in texts(ast.parse(path.read_text(encoding="utf-8")))
                for name in workflows if re.search(rf"\b{name}\b", text)]
    assert workflows and not literals


def texts(tree: ast.Module) -> list[str]:
    """The text literals of a module, without its docstrings."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said]
