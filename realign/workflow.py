"""The workflows of a project, as their own stages/<name>/dvc.yaml declares them: order, words, and two marked stages.

Every stage has `desc: "Title. Sentence."`, the first one's `meta` has `workflow: <title>`, and `meta.role` marks
the stage whose model the later ones started from (`start`) and the one whose model is offered for release (`offered`).
The gates stand in one stage `gate` with `foreach`. A dvc.yaml without it holds no workflow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from realign.errors import UserError
from realign.files import read_yaml

GATE = "gate"  # the stage that holds the gates
EVALUATE = "evaluate"  # the stage that measures the offered model, in every workflow
BASELINE = "baseline"  # of these, the one that measures the base model


@dataclass(frozen=True)
class Words:
    """A stage in words: its title, and a sentence on what it does."""

    title: str
    sentence: str


@dataclass(frozen=True)
class Workflow:
    """One way of realigning: its stages in the order in which they run.

    `start` names the stage whose model the later ones started from, `offered` the one whose model may be released.
    """

    name: str
    title: str
    stages: dict[str, Words]
    start: str
    offered: str


def workflows(root: Path) -> dict[str, Workflow]:
    """Every workflow of the project at `root` by name, in order of name.

    Raises UserError where a declaration is broken or incomplete, with the file and what to write there.
    """
    found = {}
    for path in sorted(root.glob("stages/*/dvc.yaml")):
        stages = _mapping(read_yaml(path).get("stages"))
        if GATE in stages:
            found[path.parent.name] = _workflow(path.parent.name, stages, str(path))
    return found


def find(root: Path, name: str = "") -> Workflow:
    """The workflow called `name`, or without one the only workflow there is.

    Raises UserError for an unknown name, and without one where there are several workflows or none.
    """
    known = workflows(root)
    if not known:
        raise UserError("no workflow", where=str(root / "stages"), expected="stages/<workflow>/dvc.yaml with its gates",
                        fix="run in the root of the project")
    if not name and len(known) > 1:
        raise UserError("which workflow?", expected="one of " + ", ".join(known), fix="name it")
    name = name or next(iter(known))
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise UserError(f"unknown workflow {name!r}", expected="one of " + ", ".join(known),
                        fix=f"did you mean {near[0]}?" if near else "")
    return known[name]


def _workflow(name: str, declared: Mapping, where: str) -> Workflow:
    stages = {stage: _mapping(entry) for stage, entry in declared.items() if stage != GATE}
    if not stages:
        raise UserError("has gates but no stage", where=where, fix="declare the stages above the gates")
    first = next(iter(stages))
    title = _mapping(stages[first].get("meta")).get("workflow")
    if not title:
        raise UserError("the workflow has no title", where=f"{where}: {first}",
                        fix="write `meta: {workflow: <title>}` in its first stage")
    _check_gates(stages, _mapping(declared[GATE]).get("foreach"), where)
    words = {stage: _words(entry.get("desc"), f"{where}: {stage}") for stage, entry in stages.items()}
    return Workflow(name, str(title), words, _marked(stages, "start", "the later stages started from", where),
                    _marked(stages, "offered", "may be released", where))


def _words(desc: Any, where: str) -> Words:
    title, stop, sentence = str(desc or "").strip().partition(". ")
    if not stop or not sentence.strip():
        raise UserError(f"found {desc!r}" if desc else "no `desc`", where=where,
                        expected="a title and a sentence", fix='write `desc: "Title. What the stage does."`')
    return Words(title, sentence.strip())


def _marked(stages: Mapping[str, Mapping], role: str, meaning: str, where: str) -> str:
    """The one stage that has this role."""
    marked = [stage for stage, entry in stages.items() if role in _roles(_mapping(entry.get("meta")).get("role"))]
    if len(marked) != 1:
        raise UserError(f"role `{role}` stands at {', '.join(marked) or 'no stage'}", where=where,
                        expected=f"it once, at the stage whose model {meaning}",
                        fix=f"write `meta: {{role: {role}}}` there, or `role: [start, offered]` for both")
    return marked[0]


def _roles(role: Any) -> list:
    return role if isinstance(role, list) else [role]


def _check_gates(stages: Mapping, gates: Any, where: str) -> None:
    if not isinstance(gates, Mapping):
        raise UserError("the gates are no mapping", where=f"{where}: {GATE}",
                        fix="write `foreach: {<stage>: <what the gate reads>, ...}`")
    for name in gates:
        if name not in stages:
            near = get_close_matches(str(name), stages, 1)
            raise UserError(f"a gate for {name!r}, which is no stage here", where=f"{where}: {GATE}",
                            expected="one of " + ", ".join(stages), fix=f"did you mean {near[0]}?" if near else "")
    for name in stages:
        if name not in gates:
            raise UserError(f"no gate behind {name}", where=f"{where}: {GATE}",
                            fix=f"add `{name}: <what the gate reads>` to its foreach")


def _mapping(value: Any) -> Mapping:
    return value if isinstance(value, Mapping) else {}
