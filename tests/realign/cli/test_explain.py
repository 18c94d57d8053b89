"""What `realign check --explain` says of a knob: from the class, params.yaml, and the comments in it."""

from dataclasses import dataclass

import pytest

from realign import check
from realign.cli import explain
from realign.cli.explain import Knob
from realign.errors import UserError
from realign.params import Positive


def rows(root, section):
    [reading] = [r for r in check.readings(root) if r.section == section]
    return explain.knobs(root / "params.yaml", reading)


def test_every_knob_with_value_range_meaning_and_source(project):
    assert rows(project(), "srf.rl") == [  # a dataclass's order of fields: those of its last base first
        Knob("attempts", "3", "a whole number, at least 0", "Runs, the first included.", ""),
        Knob("learning_rate", "0.0001", "a number above 0", "Peak of AdamW's learning rate, a step.",
             "DESIGN 1e-6 for a large model; ours: the demo's is small, and seven million parameters take more"),
        Knob("clip", "0.3", "a number from 0 to 1", "The surrogate's clip range.", "the code's own default"),
        Knob("seed", "0", "a whole number, at least 0", "", "")]


def test_what_a_section_has_from_another_and_from_nested_records(project):
    root = project()
    assert rows(root, "srf.sft") == [
        Knob("epochs", "3", "a whole number, at least 1", "Passes over the chats.", "more"),
        # what is indented no further than the key speaks of the next one
        Knob("learning_rate", "0.001", "a number above 0", "", "common.sft: AdamW Kingma 2015"),
        Knob("seed", "1", "a whole number, at least 0", "", ""),
        Knob("method.rank", "4", "a whole number, at least 1", "Rank of the adapters.", "the code's own default"),
        Knob("method.layers", "[a, b]", "a list, each item text, or null", "", "common.sft")]
    assert rows(root, "dpo.sft")[0].source == "common.sft: passes"
    assert rows(root, "common.sft")[2] == Knob("seed", "", "a whole number, at least 0", "", "missing")


def test_a_section_of_one_value(project):
    assert rows(project(), "srf.scorer") == [
        Knob("srf.scorer", "reference", "one of reference, judge", "", "by the answer")]


@pytest.mark.parametrize(("name", "first", "count"), [
    ("", "common.sft  4 knobs, read as stages.common.sft.Sft", 9),
    ("srf", "srf.data          2 knobs, read as stages.common.data.Data", 5),
    ("srf.scorer", "knob        value      range", 2),
    ("srf.rl", "knob           value", 5),
    ("srf.rl.clip", "knob  value  range", 2),
    ("srf.sft.method", "knob           value   range", 3),
])
def test_what_is_printed_for_a_name(project, capsys, name, first, count):
    explain.show(project(), name)
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()).startswith(" ".join(first.split())) and len(lines) == count


@pytest.mark.parametrize(("name", "message"), [
    ("srf.rll", r"params\.yaml: srf\.rll: unknown key\n.*srf\.rl.*\n.*did you mean 'srf\.rl'"),
    ("srf.rl.clipp", r"params\.yaml: srf\.rl\.clipp: unknown key\n.*\n.*did you mean 'clip'"),
    ("nothing.like.it", "unknown key\n.*\n.*correct its name"),
])
def test_a_name_that_is_none(project, name, message):
    with pytest.raises(UserError, match=message):
        explain.show(project(), name)


def test_on_a_terminal_the_table_is_drawn(project, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    root = project()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    explain.show(root, "srf.rl")
    shown = capsys.readouterr().out
    assert "┏" in shown and "The surrogate's clip range." in shown


@pytest.mark.parametrize(("text", "source"), [
    ("a: 1", ""), ("a: 1  # one", "one"), ("a: [1, 2]  # one", "one"), ("a: {b: 1}  # one", "one"),
    ("a: '# no'  # one", "one"), ("a:  # one\n  b: 1  # two", "one"), ("a:  # one\n  - 1  # two", "one"),
    ("a: 1  # one\n   # two\n  # three", "one two three"), ("a: 1  # one\n# two", "one"),
    ("a: null  # one\n\n\n  # two", "one two"),
])
def test_the_comment_at_a_key(text, source):
    tree = explain.YAML().load(f"{text}\nz: 0\n")
    assert explain._comment(tree, "a") == source


@dataclass(frozen=True)
class Lower:
    """Not a field."""

    a: Positive
    """One
    line."""
    b: int = 1
    "Two."
    c: int = 2


@dataclass(frozen=True)
class Upper(Lower):
    b: int = 3
    c: int = 4
    """Four."""


def test_meanings_are_inherited_and_the_nearest_counts():
    assert explain.meanings(Lower) == {"a": "One line.", "b": "Two."}
    assert explain.meanings(Upper) == {"a": "One line.", "b": "Two.", "c": "Four."}


@pytest.mark.parametrize(("value", "text"), [
    (None, "null"), (True, "true"), (1e-5, "1e-05"), ("no", "no"), ([1, None, "a"], "[1, null, a]"), ((), "[]"),
    ({"a": [1], "b": {}}, "{a: [1], b: {}}"),
])
def test_values_as_the_file_has_them(value, text):
    assert explain._text(value) == text
