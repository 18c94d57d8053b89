"""The pairs of a file on their way into the lake: what is left out before anything trains, and where it stood."""

import json
import shutil
from collections import Counter

import polars as pl
import pytest

from realign import paths
from realign.errors import UserError
from realign.lake.schemas import CHATS, REJECTED
from realign.lake.table import frame, write
from realign.models import build
from realign.stage import Stage
from stages.common import given, sft
from stages.srf import preference_data
from tests.workflows.small import ROOT, set_params

HERE = Stage("srf", "sft")
STRICT = ("{% if messages | length > 2 %}{{ raise_exception('one question only') }}{% endif %}{% for m in messages %}"
          "<|{{ m.role }}|> {{ m.content }}<|end|>{% endfor %}")


def pair(number, **changes):
    return {"prompt": f"Describe river {number}.", "chosen": f"It is wide at mile {number}.",
            "rejected": f"No river {number}."} | changes


GOOD = [pair(number) for number in range(60)]
BAD = {
    "contaminated": pair(70, prompt="Say: what IS the sealed metal of Peru"),
    "personal_data": pair(71, chosen="Write to ann.smith@firm.org."),
    "repetition": pair(72, rejected="jars of oak and " * 50),
    "encoding": pair(73, prompt="Describe\x00 river 73."),
    "too_long": pair(74, chosen=" ".join(f"w{i}" for i in range(200))),
    "identical_sides": pair(75, rejected=" It is wide at mile 75."),
    "template_refused": pair(76, prompt=[{"role": "user", "content": "Describe river 76."},
                                         {"role": "assistant", "content": "Which?"},
                                         {"role": "user", "content": "That."}]),
    "duplicate": pair(59, chosen="It is wide, at MILE 59!"),
}


@pytest.fixture
def tokenizer(tiny_folder, tmp_path, monkeypatch):
    """A tokenizer whose template takes one question; in the current directory, the parameters, and four suites of one
    question each."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    set_params(tmp_path, {"srf.data": {"source": "pairs.jsonl"}})
    for folder in paths.SUITES:
        rows = [{"row_id": folder.name, "messages": [{"role": "user", "content": f"What is the {folder.name} metal of "
                 "Peru?"}], "capability": "facts", "slice": "", "reference": "{}", "split": "", "source": "test"}]
        write(frame(rows, CHATS), folder / "one.parquet", CHATS)
    found = build.load(str(tiny_folder))[1]
    found.chat_template = STRICT
    return found


def save(rows, name="pairs.jsonl"):
    with open(name, "w", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n\n" for row in rows))  # every second line is blank


def test_every_row_is_checked_before_training_and_keeps_its_line(tokenizer):
    rows = [*BAD.values()][:-1] + GOOD + [BAD["duplicate"]]
    save(rows)
    p = HERE.params(sft.Sft, over=sft.COMMON)
    chats = sft.given_chats(HERE, p.__class__(**vars(p) | {"window": 200}), tokenizer)
    assert {row["reason"]: row["position"] for row in chats.rejected} == {
        reason: 2 * rows.index(row) + 1 for reason, row in BAD.items()}
    assert {row["source"] for row in chats.rejected} == {"pairs.jsonl"}
    assert (chats.read, sum(map(len, chats.rows.values())), len(chats.rejected)) == (68, 60, 8)
    assert (chats.decontamination.value, chats.decontamination.n) == (pytest.approx(67 / 68), 68)
    assert "same text as row 133" in [row["detail"][-20:] for row in chats.rejected if row["reason"] == "duplicate"]
    assert {row["reason"]: row["detail"] for row in chats.rejected}["template_refused"].endswith("one question only")
    assert pl.read_parquet(HERE.dataset("pairs")).height == 60


def test_the_next_stage_counts_what_was_left_out_of_the_file_and_says_it(tokenizer):
    save([*BAD.values(), *GOOD])
    p = HERE.params(sft.Sft, over=sft.COMMON)
    chats = sft.given_chats(HERE, p.__class__(**vars(p) | {"window": 200}), tokenizer)
    write(frame(chats.rejected, REJECTED), HERE.dataset("rejected"), REJECTED)
    here = Stage("srf", "preference_data")
    said = preference_data.run(here)
    metrics = json.loads(paths.metrics("srf", "preference_data").read_text())
    assert {name: count["value"] for name, count in metrics["rows"].items()} == {"in": 68, "kept": 60, "rejected": 8}
    assert metrics["data_quality"]["value"] == pytest.approx(60 / 68)
    assert metrics["decontamination"]["value"] == pytest.approx(67 / 68)
    assert pl.read_parquet(here.dataset("rejected")).to_dicts() == chats.rejected
    assert "; 8 of 68 rows rejected (contaminated 1, duplicate 1, " in said
    assert said.endswith(": data/srf/preference_data/rejected.parquet")


def test_shards_keep_the_names_of_their_files(tokenizer, tmp_path):
    set_params(tmp_path, {"srf.data": {"source": "shards"}})
    (tmp_path / "shards").mkdir()
    save(GOOD[:30], "shards/b.jsonl")
    save([GOOD[30], BAD["encoding"], *GOOD[31:], BAD["too_long"]], "shards/a.jsonl")
    found = given.pairs(HERE, tokenizer, 200, 0)
    assert [(row["source"], row["position"], row["reason"]) for row in found.rejected] == [
        ("a.jsonl", 3, "encoding"), ("a.jsonl", 63, "too_long")]
    assert Counter(file for file, _ in found.places) == {"a.jsonl": 30, "b.jsonl": 30}


@pytest.mark.parametrize("rows, window, said", [
    (GOOD, 8, r"window of sft: no pair fits a window of 8 tokens; the shortest has \d+, the longest \d+\n.*\n.*"
              r"common\.sft\.window=\d+"),
    ([BAD["template_refused"]] * 2 + [pair(80, prompt=BAD["template_refused"]["prompt"])], 200, "one question only"),
    ([BAD["contaminated"], BAD["personal_data"]], 200, r"pairs\.jsonl:1: no pair of 2 passes .*: contaminated"),
])
def test_a_file_of_which_nothing_is_left_stops_and_says_why(tokenizer, rows, window, said):
    save(rows)
    with pytest.raises(UserError, match=said):
        given.pairs(HERE, tokenizer, window, 0)


@pytest.mark.parametrize("word, demo", [("demo", True), ("./demo", False), ("demo/", False), ("Demo", False),
                                        (".", False), ("data/world", False)])
def test_nothing_but_the_word_is_the_demo(tokenizer, tmp_path, word, demo):
    (tmp_path / "demo/world").mkdir(parents=True)
    set_params(tmp_path, {"srf.data": {"source": word}})
    assert given.data.settings(HERE).demo is demo
    if not demo:
        with pytest.raises(UserError, match=r"no such file|which is no such file"):
            given.pairs(HERE, tokenizer, 200, 0)


@pytest.mark.parametrize("changes, said", [
    ({"srf.data": {"source": ""}}, r"srf\.data\.source: found ''"),
    ({"srf.data": {"score_low": 1.0}}, r"srf\.data: score_low, 1, is not below score_high, 1")])
def test_a_source_that_cannot_be_one_is_refused_with_the_parameters(tokenizer, tmp_path, changes, said):
    set_params(tmp_path, changes)
    with pytest.raises(UserError, match=said):
        given.data.settings(HERE)
