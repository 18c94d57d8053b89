from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realign.errors import UserError
from realign.lake import table as lake_table
from realign.lake.schemas import CHATS, RECORDS
from realign.lake.table import read_rows, read_table, write_table

SMALL = pa.schema([pa.field("name", pa.string(), False), pa.field("score", pa.float64(), False)])
ROWS = [{"name": f"n{i}", "score": i / 7} for i in range(50)]
CHAT = {"row_id": "1", "messages": [{"role": "user", "content": "hi"}], "capability": "facts", "slice": "",
        "reference": "{}", "split": "train", "source": "s"}
texts = st.text(st.characters(exclude_categories=["Cs"]))
same_folder = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@same_folder
@given(st.lists(st.fixed_dictionaries({"name": texts, "score": st.floats(allow_nan=False)})))
def test_rows_come_back_as_they_were(tmp_path, rows):
    assert write_table(iter(rows), tmp_path / "t.parquet", SMALL) == len(rows)
    assert read_rows(tmp_path / "t.parquet", SMALL, allow_empty=True) == rows


def test_messages_come_back_as_they_were(tmp_path):
    write_table([CHAT], tmp_path / "c.parquet", CHATS)
    assert read_rows(tmp_path / "c.parquet", CHATS) == [CHAT]


def test_the_same_rows_give_the_same_bytes_from_a_list_or_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(lake_table, "ROW_GROUP", 16)
    foreign = pl.DataFrame(list(reversed(ROWS))).select("score", "name").reverse().to_arrow()
    for number, rows in enumerate([ROWS, iter(ROWS), pa.Table.from_pylist(ROWS), foreign]):
        assert write_table(rows, tmp_path / f"{number}.parquet", SMALL) == 50
    first = (tmp_path / "0.parquet").read_bytes()
    assert all((tmp_path / f"{n}.parquet").read_bytes() == first for n in (1, 2, 3))
    assert pq.ParquetFile(tmp_path / "0.parquet").metadata.num_row_groups == 4


def test_rows_are_taken_one_group_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(lake_table, "ROW_GROUP", 10)
    pulled, written = [], []
    original = pq.ParquetWriter.write_table

    def watch(writer, group, **options):
        written.append((len(pulled), group.num_rows))
        return original(writer, group, **options)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", watch)
    write_table((pulled.append(1) or row for row in ROWS[:25]), tmp_path / "t.parquet", SMALL)
    assert written == [(10, 10), (20, 10), (25, 5)]


def test_an_error_between_rows_leaves_the_old_file(tmp_path, monkeypatch):
    monkeypatch.setattr(lake_table, "ROW_GROUP", 2)
    path = tmp_path / "t.parquet"
    write_table(ROWS[:3], path, SMALL)

    def broken():
        yield from ROWS[:5]
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        write_table(broken(), path, SMALL)
    assert read_rows(path, SMALL) == ROWS[:3]
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_plainly_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    write_table(ROWS[:3], path, SMALL)
    original = pq.ParquetWriter
    monkeypatch.setattr(pq, "ParquetWriter", lambda part, *a, **k: original("/dev/full", *a, **k))
    with pytest.raises(UserError, match="t.parquet: the disk is full"):
        write_table(ROWS, path, SMALL)
    monkeypatch.undo()
    assert read_rows(path, SMALL) == ROWS[:3]


@pytest.mark.parametrize(("row", "said"), [
    ({"name": "a"}, r"row 2 .*`score` is missing"),
    ({"name": None, "score": 1.0}, r"row 2 .*`name` is missing or null"),
    ({"name": "a", "score": "high"}, r"row 2 .*`score` is str"),
    ({"name": "a", "score": 1.0, "extra": 1}, r"row 2 .*`extra` is not a column"),
    ({"name": "\ud800", "score": 1.0}, r"row 2 .*invalid_utf8"),
])
def test_a_row_that_does_not_fit_is_not_written(tmp_path, row, said):
    with pytest.raises(UserError, match=said):
        write_table([ROWS[0], row], tmp_path / "t.parquet", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_table_with_a_null_is_not_written(tmp_path):
    with pytest.raises(UserError, match="row 2: column `name` holds a null"):
        write_table(pa.table({"name": ["a", None], "score": [1.0, 2.0]}), tmp_path / "t.parquet", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="nowhere.parquet: no such file"):
        read_table(tmp_path / "nowhere.parquet")


@pytest.mark.parametrize("damage", [
    lambda data: data[:len(data) // 2], lambda data: b"", lambda data: b"not parquet at all",
    lambda data: data[:40] + bytes(60) + data[100:],
])
def test_a_damaged_file(tmp_path, damage):
    path = tmp_path / "t.parquet"
    write_table(ROWS, path, SMALL)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="t.parquet: not a whole Parquet file"):
        read_table(path, SMALL)


@pytest.mark.parametrize(("columns", "said"), [
    ({"name": ["a"]}, "column `score` is missing"),
    ({"name": ["a"], "score": ["1"]}, "column `score` is string"),
    ({"name": [1], "score": [1.0]}, "column `name` is int64"),
    ({"name": ["a", "b", None], "score": [1.0, 2.0, 3.0]}, "row 3: column `name` holds a null"),
    ({"name": pa.nulls(2), "score": [1.0, 2.0]}, "row 1: column `name` holds a null"),
    ({"name": pa.array([], pa.string()), "score": pa.array([], pa.float64())}, "holds no rows"),
])
def test_a_table_of_another_shape(tmp_path, columns, said):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=said) as caught:
        read_table(tmp_path / "t.parquet", SMALL)
    assert "t.parquet" in str(caught.value) and "to do:" in str(caught.value)


def test_a_null_inside_a_message_is_found_in_its_row(tmp_path):
    loose = pa.schema({"messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))})
    strict = pa.schema([CHATS.field("messages")])
    good, bad = {"role": "user", "content": "x"}, {"role": "user", "content": None}
    rows = [{"messages": [good, good]}, {"messages": []}, {"messages": [good, bad]}]
    pq.write_table(pa.Table.from_pylist(rows, schema=loose), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="row 3: column `messages` holds a null"):
        read_table(tmp_path / "t.parquet", strict)


def test_a_null_is_counted_over_all_chunks(tmp_path):
    parts = [pa.table({"name": names, "score": [1.0] * len(names)}) for names in (["a"] * 10, ["b", None])]
    with pytest.raises(UserError, match="row 12: column `name`"):
        write_table(pa.concat_tables(parts), tmp_path / "t.parquet", SMALL)


def test_types_that_mean_the_same_are_taken_and_other_columns_left(tmp_path):
    table = pa.table({
        "score": pa.array([1, 2], pa.int32()), "other": [1, 2],
        "name": pa.array(["a", "b"], pa.large_string()).dictionary_encode()})
    pq.write_table(table, tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet", SMALL)
    assert found.schema == SMALL
    assert found.to_pylist() == [{"name": "a", "score": 1.0}, {"name": "b", "score": 2.0}]


def test_an_empty_table_is_taken_where_it_may_be_empty(tmp_path):
    assert write_table([], tmp_path / "t.parquet", RECORDS) == 0
    assert read_rows(tmp_path / "t.parquet", RECORDS, allow_empty=True) == []
