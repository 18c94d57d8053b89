import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from realign.errors import UserError
from realign.params import (
    Count,
    LearningRate,
    NonNegative,
    OpenShare,
    PartShare,
    Positive,
    PositiveShare,
    Rate,
    Rows,
    Share,
    Temperature,
    Times,
    Tokens,
    load,
    words,
)


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
    ("judge: 3", "srf.rl.judge", "text or null"),
    ("temperatures: 1.0", "srf.rl.temperatures", "a list, each item a finite number"),
    ("temperatures: [1.0, hot]", "srf.rl.temperatures[1]", "a finite number"),
    ("weights: {facts: high}", "srf.rl.weights.facts", "a finite number"),
    ("weights: {1: 2.0}", "srf.rl.weights", "a section, each value a finite number"),
    ("schedule: fast", "srf.rl.schedule", "a section with the keys warmup, kind"),
    ("schedule: {kind: linear}", "srf.rl.schedule.kind", "one of cosine, constant"),
])
def test_a_value_of_another_type_is_named(tmp_path, line, key, expected):
    given_keys = {"steps": "10", "kl_penalty": "0.1", line.split(":")[0]: None}
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
    with pytest.raises(UserError, match=r"none\.yaml: no such file"):
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


@pytest.mark.parametrize(("kind", "good", "bad", "says"), [
    (Positive, [1, 2**70], [0, -1, 1.0, True, "1", None], "a whole number, at least 1"),
    (Count, [0, 5], [-1, 0.0, False], "a whole number, at least 0"),
    (Share, [0, 1, 0.5], [-0.1, 1.1, True, "0.5"], "a number from 0 to 1"),
    (PositiveShare, [1e-9, 1], [0, 1.1], "a number above 0, at most 1"),
    (PartShare, [0, 0.999], [1, -0.1], "a number from 0 to below 1"),
    (OpenShare, [1e-9, 0.999], [0, 1], "a number above 0 and below 1"),
    (Rate, [1e-5, 3], [0, -1e-5, True, "1e-5", None], "a number above 0"),
    (NonNegative, [0, 1e9], [-1e-9], "a number, at least 0"),
    (LearningRate, [1e-5, 1], [0, -1e-5, 1.1], "a number above 0, at most 1"),
    (Times, [1, 100_000], [0, 100_001, 1.0], "a whole number from 1 to 100000"),
    (Rows, [1, 1_000_000], [0, 10**9], "a whole number from 1 to 1000000"),
    (Tokens, [1, 1_000_000], [0, 10**9], "a whole number from 1 to 1000000"),
    (Temperature, [0, 10], [-0.1, 10.1], "a number from 0 to 10"),
    (float, [-1, 0.5], [True, "1"], "a finite number"),
    (Annotated[int, Field(gt=1, lt=5)], [2, 4], [1, 5], "a whole number above 1 and below 5"),
    (Annotated[int, Field(le=8)], [8, -9], [9], "a whole number, at most 8"),
    (Annotated[float, Field(lt=0.5)], [0.4], [0.5], "a number below 0.5"),
    (Annotated[str, Field(min_length=1)], ["a"], ["", 1], "text, at least 1 long"),
    (Annotated[tuple[Rate, ...], Field(min_length=1)], [], [[], 1],
     "a list, at least 1 long, each item a number above 0"),
    (Positive | None, [1, None], [0, "1"], "a whole number, at least 1, or null"),
    (Positive | Literal["auto"], [1, "auto"], [0, "all", True, None], "a whole number, at least 1, or one of auto"),
    (Literal[2, 4] | None, [2, None], [3, 2.0, "2"], "one of 2, 4, or null"),
    (Literal[1, 2], [1], [True, 1.0], "one of 1, 2"),
    (list[Positive], [[1, 2], []], [1, "12"], "a list, each item a whole number, at least 1"),
    (dict[str, Share], [{"a": 1.0}, {}], [[], 1], "a section, each value a number from 0 to 1"),
])
def test_a_range_stands_in_the_type(tmp_path, kind, good, bad, says):
    """Every value at the edge, a hair beyond it, and of every type that must not pass for another."""
    assert words(kind) == says
    for value in good:
        assert load("knob", kind, write(tmp_path, f"knob: {json.dumps(value)}\n")) == value
    for value in bad:
        message = refusal(tmp_path, f"knob: {json.dumps(value)}\n", "knob", kind)
        assert message.startswith(f"{tmp_path / 'params.yaml'}: knob: found ") and f"expected: {says}\n" in message


@pytest.mark.parametrize("kind", [Share, Rate, NonNegative, Temperature, float])
@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "1e999", "1" + "0" * 400])
def test_a_number_is_finite(tmp_path, kind, value):
    assert "expected: a" in refusal(tmp_path, f"knob: {value}\n", "knob", kind)


def test_a_whole_number_where_a_fraction_may_stand_becomes_a_float(tmp_path):
    assert type(load("knob", Rate, write(tmp_path, "knob: 3\n"))) is float


@pytest.mark.parametrize("kind", [Annotated[int, Field(multiple_of=8)], Annotated[dict[str, int], Field(min_length=1)],
                                  Annotated[int | None, Field(ge=1)], dict[int, int], set[int]])
def test_a_type_that_messages_have_no_words_for_is_the_programmers_error(tmp_path, kind):
    with pytest.raises(TypeError, match="a parameter cannot be"):
        load("knob", kind, write(tmp_path, "knob: x\n"))


@dataclass(frozen=True)
class Checked:
    low: float
    high: float

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError("low is above high")
        if self.low == self.high:
            raise UserError("low is high", where="as the class says it")


def test_what_the_dataclass_itself_refuses(tmp_path):
    assert f"{tmp_path / 'params.yaml'}: a.b: low is above high" in refusal(
        tmp_path, "a: {b: {low: 2, high: 1}}", "a.b", Checked)
    assert refusal(tmp_path, "a: {b: {low: 1, high: 1}}", "a.b", Checked) == "as the class says it: low is high"


@dataclass(frozen=True)
class Method:
    rank: Positive = 8
    kind: Literal["full", "lora"] = "full"


@dataclass(frozen=True)
class Sft:
    seed: Count
    rate: Rate
    shares: dict[str, Share]
    method: Method | None
    layers: tuple[Positive, ...] = ()


COMMON = "common: {sft: {seed: 1, rate: 0.5, shares: {a: 1}, method: {rank: 4}, layers: [1, 2]}}\n"


@pytest.mark.parametrize(("own", "differs"), [
    ("{}", {}), ("{rate: 2}", {"rate": 2.0}), ("{layers: []}", {"layers": ()}),
    ("{method: {kind: lora}}", {"method": Method(4, "lora")}),  # within a record only what differs, too
    ("{method: null}", {"method": None}),
    ("{shares: {b: 0.5}}", {"shares": {"b": 0.5}}),  # a mapping that is one value is replaced as a whole
])
def test_a_section_over_another_holds_only_what_differs(tmp_path, own, differs):
    path = write(tmp_path, f"{COMMON}dpo: {{sft: {own}}}\n")
    common = Sft(1, 0.5, {"a": 1.0}, Method(4), (1, 2))
    assert load("dpo.sft", Sft, path, over="common.sft") == replace(common, **differs)
    assert load("common.sft", Sft, path) == common


@pytest.mark.parametrize(("common", "own", "message"), [
    ("rate: 0.5", "{rates: 2}", "dpo.sft.rates: unknown key\n.*\n.*did you mean 'rate'"),
    ("rates: 0.5", "{}", "common.sft.rates: unknown key\n.*\n.*did you mean 'rate'"),
    ("rate: 0.5", "{rate: 0}", r"dpo.sft.rate: found '0' \(int\)\n.*a number above 0"),
    ("rate: 0", "{}", r"common.sft.rate: found '0' \(int\)\n.*a number above 0"),
    ("rate: 0.5", "{layers: [1, 0]}", r"dpo.sft.layers\[1\]: found"),
    ("layers: [1, 0]", "{rate: 1}", r"common.sft.layers\[1\]: found"),
    ("rate: 0.5, method: {ranks: 1}", "{method: {kind: lora}}", "common.sft.method.ranks: unknown key"),
    ("rate: 0.5, method: {rank: 1}", "{method: {kind: lore}}", "dpo.sft.method.kind: found 'lore'"),
    ("seed: 3", "{}", "dpo.sft.rate: missing key"),
    ("rate: 0.5", "null", r"dpo.sft: found nothing \(null\)\n.*{} where nothing differs from common.sft"),
])
def test_a_mistake_is_named_in_the_section_where_it_stands(tmp_path, common, own, message):
    keys = {"seed": "1", "shares": "{}", "method": "{}"}
    given_keys = {k: v for k, v in keys.items() if k not in common}
    text = ", ".join([f"{k}: {v}" for k, v in given_keys.items()] + [common])
    path = write(tmp_path, f"common: {{sft: {{{text}}}}}\ndpo: {{sft: {own}}}\n")
    with pytest.raises(UserError, match=message):
        load("dpo.sft", Sft, path, over="common.sft")


def test_a_section_that_others_stand_over_must_be_there(tmp_path):
    with pytest.raises(UserError, match=r"common\.stf: missing key.*\n.*where 'sft' stands"):
        load("common.sft", Sft, write(tmp_path, COMMON), over="common.stf")


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
