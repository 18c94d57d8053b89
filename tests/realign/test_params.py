import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.errors import UserError
from realign.params import check_all, load


@dataclass(frozen=True)
class Schedule:
    warmup: float = 0.05
    kind: Literal["cosine", "constant"] = "cosine"


@dataclass(frozen=True)
class Rl:
    steps: int
    kl_penalty: float
    compile: bool = True
    judge: str | None = None
    temperatures: tuple[float, ...] = (0.7, 1.0)
    layers: list[int] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    batch: int | Literal["auto"] = 4
    schedule: Schedule = Schedule()


@dataclass(frozen=True)
class Seeded:
    seed: int


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str, section: str = "srf.rl", cls: type = Rl) -> str:
    with pytest.raises(UserError) as error:
        load(section, cls, write(folder, text))
    return str(error.value)


RL = "srf:\n  rl:\n    steps: 10\n    kl_penalty: 1e-1\n"


def test_a_section_becomes_its_dataclass_with_defaults_filled_in(tmp_path):
    assert load("srf.rl", Rl, write(tmp_path, RL)) == Rl(steps=10, kl_penalty=0.1)


def test_every_kind_of_field(tmp_path):
    text = RL + ("    compile: false\n    judge: null\n    temperatures: [1, 0.5]\n    layers: [1, 2]\n"
                 "    weights: {facts: 2}\n    batch: 8\n    schedule: {warmup: 0, kind: constant}\n")
    loaded = load("srf.rl", Rl, write(tmp_path, text))
    assert loaded == Rl(10, 0.1, False, None, (1.0, 0.5), [1, 2], {"facts": 2.0}, 8,
                        Schedule(0.0, "constant"))
    assert type(loaded.temperatures[0]) is float and type(loaded.schedule.warmup) is float


def test_a_section_may_be_a_single_value(tmp_path):
    assert load("seed", int, write(tmp_path, "seed: 3\n")) == 3


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    """YAML 1.2: PyYAML, which follows 1.1, would make `1e-5` a word and `no` a boolean."""
    @dataclass(frozen=True)
    class Words:
        rate: float
        language: str
    assert load("x", Words, write(tmp_path, "x: {rate: 1e-5, language: no}\n")) == Words(1e-5, "no")


@pytest.mark.parametrize(("line", "key", "expected"), [
    ("steps: 2.5", "srf.rl.steps", "a whole number"),
    ("steps: true", "srf.rl.steps", "a whole number"),
    ("steps: '10'", "srf.rl.steps", "a whole number"),
    ("steps:", "srf.rl.steps", "a whole number"),
    ("kl_penalty: true", "srf.rl.kl_penalty", "a finite number"),
    ("kl_penalty: .nan", "srf.rl.kl_penalty", "a finite number"),
    ("kl_penalty: 1e999", "srf.rl.kl_penalty", "a finite number"),
    ("compile: 1", "srf.rl.compile", "true or false"),
    ("judge: 3", "srf.rl.judge", "text"),
    ("temperatures: 1.0", "srf.rl.temperatures", "a list, each item a finite number"),
    ("temperatures: [1.0, hot]", "srf.rl.temperatures[1]", "a finite number"),
    ("weights: {facts: high}", "srf.rl.weights.facts", "a finite number"),
    ("weights: {1: 2.0}", "srf.rl.weights", "a section, each value a finite number"),
    ("schedule: fast", "srf.rl.schedule", "a section with the keys warmup, kind"),
    ("schedule: {kind: linear}", "srf.rl.schedule.kind", "one of cosine, constant"),
])
def test_a_value_of_another_type_is_named(tmp_path, line, key, expected):
    given_keys = dict([("steps", "10"), ("kl_penalty", "0.1"), (line.split(":")[0], None)])
    others = "".join(f"    {k}: {v}\n" for k, v in given_keys.items() if v is not None)
    message = refusal(tmp_path, f"srf:\n  rl:\n{others}    {line}\n")
    assert message.startswith(f"{tmp_path / 'params.yaml'}: {key}: found ")
    assert f"expected: {expected}" in message


def test_an_unknown_key_is_named_with_the_one_that_was_meant(tmp_path):
    message = refusal(tmp_path, RL + "    temperature: [1.0]\n")
    assert "params.yaml: srf.rl.temperature: unknown key" in message
    assert "did you mean 'temperatures'?" in message


def test_an_unknown_key_in_a_nested_section_gives_its_full_name(tmp_path):
    assert "srf.rl.schedule.warm_up: unknown key" in refusal(tmp_path, RL + "    schedule: {warm_up: 1}\n")


def test_a_missing_key_is_named_and_so_is_a_misspelt_one(tmp_path):
    message = refusal(tmp_path, "srf:\n  rl:\n    steps: 1\n")
    assert "srf.rl.kl_penalty: missing key" in message and "expected: a finite number" in message
    assert "did you mean 'kl_penalty'?" in refusal(tmp_path, "srf: {rl: {steps: 1, kl_penaltys: 0.1}}\n")


def test_a_missing_section_is_named(tmp_path):
    message = refusal(tmp_path, RL, section="srf.rm")
    assert "srf.rm: missing key" in message and "where 'rl' stands" in message
    assert "params.yaml: srf: found nothing (null)" in refusal(tmp_path, "srf:\n")


@pytest.mark.parametrize(("text", "where"), [
    ("srf:\n  rl: [1,\n", "line 3, column 1"),
    ("srf:\n\trl: 1\n", "line 2, column 1"),
    ("srf: 1\nsrf: 2\n", "line 2, column 1"),
])
def test_broken_yaml_is_located(tmp_path, text, where):
    message = refusal(tmp_path, text)
    assert f"params.yaml, {where}: broken YAML: " in message


def test_an_object_tag_is_refused_and_not_made(tmp_path):
    message = refusal(tmp_path, f"srf: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    assert "broken YAML" in message and not (tmp_path / "made").exists()


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "5\n"])
def test_a_file_without_sections(tmp_path, text):
    assert "expected: sections" in refusal(tmp_path, text)


def test_a_missing_file_and_one_that_is_not_utf8(tmp_path):
    with pytest.raises(UserError, match="none.yaml: no such file"):
        load("srf.rl", Rl, tmp_path / "none.yaml")
    (tmp_path / "params.yaml").write_bytes(b"srf: \xff\n")
    with pytest.raises(UserError, match="not UTF-8 at byte 5"):
        load("srf.rl", Rl, tmp_path / "params.yaml")


def test_a_field_of_a_type_that_yaml_has_not_is_the_programmers_error(tmp_path):
    @dataclass(frozen=True)
    class Wrong:
        where: Path
    with pytest.raises(TypeError, match="Path"):
        load("x", Wrong, write(tmp_path, "x: {where: data}\n"))


def test_check_all_loads_every_section(tmp_path):
    path = write(tmp_path, "seed: 1\n" + RL + "  data: {seed: 7}\n")
    assert check_all(path, {"seed": int, "srf.rl": Rl, "srf.data": Seeded}) == {
        "seed": 1, "srf.rl": Rl(10, 0.1), "srf.data": Seeded(7)}


@pytest.mark.parametrize(("text", "key", "meant"), [
    ("sead: 1\n" + RL, "sead", "seed"),
    ("seed: 1\n" + RL + "  r1: {}\n", "srf.r1", "rl"),
])
def test_check_all_names_a_section_that_nobody_reads(tmp_path, text, key, meant):
    with pytest.raises(UserError, match=f"{key}: unknown key") as error:
        check_all(write(tmp_path, text), {"seed": int, "srf.rl": Rl})
    assert f"did you mean '{meant}'?" in str(error.value)


numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text("aZ09 _.:#'\"-é日", max_size=8)
configs = st.builds(
    Rl, steps=st.integers(), kl_penalty=numbers, compile=st.booleans(), judge=st.none() | texts,
    temperatures=st.lists(numbers, max_size=3).map(tuple), layers=st.lists(st.integers(), max_size=3),
    weights=st.dictionaries(texts, numbers, max_size=3), batch=st.integers(),
    schedule=st.builds(Schedule, numbers, st.sampled_from(["cosine", "constant"])))


@settings(deadline=None)
@given(configs)
def test_what_was_written_is_what_is_loaded(tmp_path_factory, config):
    """JSON is YAML too, and its writer is nobody's here."""
    path = tmp_path_factory.getbasetemp() / "params.yaml"
    path.write_text(json.dumps({"srf": {"rl": asdict(config)}}, ensure_ascii=False), encoding="utf-8")
    assert load("srf.rl", Rl, path) == config


@settings(deadline=None)
@given(st.text(alphabet="abcdefgh: [],{}\n-'\"#&*!|>%@`\t1.", max_size=60))
def test_any_text_gives_a_value_or_one_user_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "params.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load("a", Seeded, path)
    except UserError as error:
        assert str(path) in str(error)
