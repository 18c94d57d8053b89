import pyarrow as pa
import pytest

from realign.errors import UserError
from realign.lake.schemas import RECORDS
from realign.versions.compare import KEPT, LOST, OPEN, compare_all
from realign.versions.draw import BASELINE, CANDIDATE, START, among, check_whole, drawn, planned, reserve
from realign.versions.load import Version


def answers(capability: str, numbers: range, wrong: int) -> list[dict]:
    """Records of these examples, of which every `wrong`-th is wrong (0: none)."""
    return [{"example_id": f"{capability}{i:05}", "capability": capability, "slice": "", "prompt": f"{i}?",
             "output": "", "reference": "", "score": float(not wrong or i % wrong > 0)} for i in numbers]


def table(*rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist([row for part in rows for row in part], RECORDS)


def setting(wrong: int, extra: int = 1800, start: int = 0) -> tuple[dict, dict]:
    """First records and those in reserve: of sums, every `wrong`-th of the candidate's wrong; of facts none."""
    first = {name: table(answers("sums", range(600), every), answers("facts", range(600), 0))
             for name, every in ((CANDIDATE, wrong), (BASELINE, 0), (START, start))}
    more = {name: table(answers("sums", range(600, 600 + extra), every), answers("facts", range(600, 600 + extra), 0))
            for name, every in ((CANDIDATE, wrong), (BASELINE, 0), (START, start))}
    return first, more


def counts(records: pa.Table) -> dict[str, int]:
    return {name: records["capability"].to_pylist().count(name) for name in ("sums", "facts")}


def outcome(records: dict, first: dict, waiting: dict) -> str:
    new = Version(CANDIDATE, "", records[CANDIDATE], {})
    found, = compare_all([Version(BASELINE, "", records[BASELINE], {})], new, planned(first[BASELINE], waiting))
    return next(c.outcome for c in found.capabilities if c.capability == "sums")


@pytest.mark.parametrize(("wrong", "asked", "ends"), [
    (0, 600, KEPT), (100, 600, KEPT),  # 1% down: kept at once
    (6, 600, LOST),  # 17% down: lost at once
    (27, 1200, KEPT), (25, 2400, KEPT),  # 3.7% and 4% down
    (20, 2400, OPEN),  # just 5% down: no number of examples decides
    (17, 2400, OPEN)])  # 5.9% down
def test_only_what_is_open_is_asked_more_and_no_further_than_needed(wrong, asked, ends):
    first, more = setting(wrong)
    waiting = reserve(more[BASELINE])
    records = drawn(first, waiting, among(more))
    assert counts(records[CANDIDATE]) == {"sums": asked, "facts": 600}
    assert all(counts(each) == counts(records[CANDIDATE]) for each in records.values())
    assert outcome(records, first, waiting) == ends


def test_without_rows_in_reserve_the_first_look_is_the_last():
    first, more = setting(25, extra=0)
    assert drawn(first, reserve(more[BASELINE]), among(more)) == first


def test_what_is_open_against_the_start_alone_is_asked_more_too():
    first, more = setting(27, start=0)
    first[BASELINE] = table(answers("sums", range(600), 27), answers("facts", range(600), 0))
    more[BASELINE] = table(answers("sums", range(600, 2400), 27), answers("facts", range(600, 2400), 0))
    records = drawn(first, reserve(more[BASELINE]), among(more))
    assert counts(records[CANDIDATE]) == {"sums": 1200, "facts": 600}


def test_the_order_of_the_answers_does_not_matter():
    first, more = setting(25)
    turned = {name: each.take(pa.array(range(each.num_rows))[::-1]) for name, each in more.items()}
    found = [drawn(first, reserve(m[BASELINE]), among(m))[CANDIDATE] for m in (more, turned)]
    assert found[0].sort_by("example_id") == found[1].sort_by("example_id")


def test_an_answer_that_the_verdict_needs_and_nobody_asked_for_is_missed():
    first, more = setting(25)
    short = more | {CANDIDATE: more[CANDIDATE].slice(0, 599)}
    with pytest.raises(UserError, match="examples that the verdict needs were not asked, sums01199 first"):
        drawn(first, reserve(more[BASELINE]), among(short))


def test_chosen_examples_are_refused(tmp_path):
    first, more = setting(100)
    records = drawn(first, reserve(more[BASELINE]), among(more))
    files = dict.fromkeys(more, tmp_path / "reserve.parquet")
    check_whole(records, first, {name: t.slice(0, 0) if name != BASELINE else t for name, t in more.items()}, files)
    with pytest.raises(UserError, match="holds 5 examples that the verdict does not ask for"):
        check_whole(records, first, more | {CANDIDATE: more[CANDIDATE].slice(0, 5), START: more[START].slice(0, 0)},
                    files)
