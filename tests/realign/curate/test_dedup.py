from hypothesis import given, settings
from hypothesis import strategies as st

from realign.curate.dedup import dedup
from realign.lake.schemas import REJECTED, row_fault


def rows_of(texts):
    return [{"row_id": str(i), "text": text, "source": "f"} for i, text in enumerate(texts)]


def test_the_first_of_equal_rows_stays():
    rows = rows_of(["A cat.", "a  CAT", "a dog", "2 + 3", "2 * 3", "a cat!"])
    kept, rejected = dedup(rows, lambda row: [row["text"]])
    assert kept == [rows[0], rows[2], rows[3], rows[4]]
    assert [(r["position"], r["reason"]) for r in rejected] == [(2, "duplicate"), (6, "duplicate")]
    assert "same text as row 1" in rejected[1]["detail"]


def test_texts_do_not_run_together():
    rows = [{"texts": ["a b", "c"]}, {"texts": ["a", "b c"]}]
    assert dedup(rows, lambda row: row["texts"]) == (rows, [])


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "A", "a!", "b", "c d", "C  d", "?"])))
def test_counts_add_up_and_nothing_kept_is_double(texts):
    rows = rows_of(texts)
    kept, rejected = dedup(rows, lambda row: [row["text"]])
    assert len(kept) + len(rejected) == len(rows)
    assert dedup(kept, lambda row: [row["text"]]) == (kept, [])
    assert len(kept) == len({text.lower().strip("!").replace("  ", " ") for text in texts})
    assert all(row_fault(row, REJECTED) is None for row in rejected)
