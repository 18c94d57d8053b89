"""The demo's datasets: unique rows, the right splits, and prompts that no other part has."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from realign import paths
from realign.lake.schemas import CHATS, row_fault
from realign.lake.table import small_rows
from realign.models import tokenizer
from realign.stage import Stage
from realign.verify.reference import Reference, verify
from stages.demo import chats, corpus, world

ROOT = Path.cwd()
# Large enough for facts to be asked twice by chance, so that leaving out what another part has is seen to matter.
COUNTS = {"seed": 1, "train": 240, "validation": 40, "prompts": 60, "test": 60, "development": 30, "evaluation": 60,
          "reserve": 40, "sealed": 50}
P = world.World(**COUNTS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of a small world."""
    home = tmp_path_factory.mktemp("world")
    (home / "data").mkdir()
    (home / "data/tables").symlink_to(ROOT / "data/tables")
    settings = "\n".join(f"    {k}: {v}" for k, v in COUNTS.items())
    (home / "params.yaml").write_text(f"demo:\n  world:\n{settings}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        line = world.run(Stage("demo", "world"))
        files = {name: small_rows(paths.WORLD / f"{name}.parquet", CHATS) for name in ("sft", "prompts")}
        files |= {suite: small_rows(folder / "demo.parquet", CHATS) for suite, folder in world.SUITES.items()}
    return files, line


def prompts(rows) -> set[str]:
    return {row["messages"][0]["content"] for row in rows}


def test_files_with_their_splits(written):
    files, line = written
    splits = {name: {row["split"] for row in rows} for name, rows in files.items()}
    assert splits == {"sft": {"train", "validation"}, "prompts": {"prompts", "validation", "test"},
                      **{suite: {suite} for suite in world.SUITES}}
    assert f"{len(files['sft'])} chats" in line
    assert all(f"{len(files[suite])} {suite}" in line for suite in world.SUITES)
    for name, rows in files.items():
        roles = ["user", "assistant"] if name == "sft" else ["user"]
        assert all([m["role"] for m in row["messages"]] == roles for row in rows)
        assert not any(row_fault(row, CHATS) for row in rows)


def test_as_many_rows_as_asked_for(written):
    files, _ = written
    found = Counter((row["split"], row["capability"]) for rows in files.values() for row in rows
                    if len(row["messages"]) == 1)
    assert all(found[suite, c] == COUNTS[suite] for suite in world.SUITES for c in chats.CAPABILITIES)
    assert all(found["prompts", c] == round(60 * world.PROMPTS[c]) for c in chats.CAPABILITIES)
    learnt = Counter(row["capability"] for row in files["sft"] if row["split"] == "train")
    assert learnt["arithmetic"] / learnt["facts"] == world.TRAIN["arithmetic"] / world.TRAIN["facts"]
    assert learnt["grounded"] / learnt["refusal"] == world.TRAIN["grounded"] / world.TRAIN["refusal"]


def test_no_row_twice_and_no_prompt_in_two_parts(written):
    files, _ = written
    assert len({*world.SUITES.values()}) == 3 and paths.SEALED not in (paths.EVALUATION, paths.WORLD)
    for rows in files.values():
        assert max(Counter(row["row_id"] for row in rows).values()) == 1
    training = {(name, split): prompts(row for row in rows if row["split"] == split)
                for name, rows in files.items() for split in {row["split"] for row in rows}}
    trained = training["sft", "train"] | training["prompts", "prompts"]
    held_out = [("prompts", "test"), *((suite, suite) for suite in world.SUITES)]
    for name in (("sft", "validation"), ("prompts", "validation"), *held_out):
        assert not trained & training[name], name
    for one, other in combinations(held_out, 2):
        assert not training[one] & training[other], (one, other)
    assert training["sft", "validation"] <= training["prompts", "validation"]


def test_no_training_prompt_is_contained_in_a_question_of_a_suite(written):
    files, _ = written
    asked = " ".join(sorted(prompts(row for suite in world.SUITES for row in files[suite]))).casefold()
    shared = [p for row in (*files["sft"], *files["prompts"]) if row["split"] != "test"
              if (p := row["messages"][0]["content"].casefold().rstrip(".?")) in asked]
    assert not shared


def test_prompts_left_out_are_replaced_by_others(monkeypatch):
    monkeypatch.chdir(ROOT)
    first = world.rows(P, "train", 20, False)
    others = world.rows(P, "train", 20, False, frozenset(prompts(first)))
    assert len(first) == len(others) and not prompts(first) & prompts(others)


def test_rows_are_the_same_every_time_and_another_seed_has_others(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert world.rows(P, "train", 20, True) == world.rows(P, "train", 20, True)
    other = world.rows(world.World(**COUNTS | {"seed": 2}), "train", 20, True)
    assert len(prompts(other) & prompts(world.rows(P, "train", 20, True))) < 5


def test_answers_to_learn_from_are_right(written):
    for row in written[0]["sft"]:
        right, reason = verify(Reference.parse(row["reference"]), row["messages"][1]["content"])
        assert right, reason


def test_every_row_fits_the_window(written):
    """With a tokenizer counted on far less text than the shipped one, so with more tokens a row."""
    files, _ = written
    tables = ROOT / "data/tables"
    texts = [m["content"] for d in corpus.documents(0, 100, tables) for m in d]
    trained = tokenizer.train([*corpus.vocabulary_text(tables), *texts], 1536, 96)
    longest = max(len(trained.encode("".join(f"<|{m['role']}|> {m['content']}<|end|>" for m in row["messages"])).ids)
                  for rows in files.values() for row in rows)
    assert longest <= 256  # demo.base.window, the smallest window of the demo
