from itertools import islice
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realign.errors import UserError
from realign.lake import table as lake_table
from realign.lake.schemas import CHATS, PAIRS, RECORDS, REJECTED
from realign.lake.table import batches, frame, read_table, scan, small_rows, write, writer

SMALL = pa.schema([pa.field("name", pa.string(), False), pa.field("score", pa.float64(), False)])
ROWS = [{"name": f"n{i}", "score": i / 7} for i in range(50)]
CHAT = {"row_id": "1", "messages": [{"role": "user", "content": "hi"}], "capability": "facts", "slice": "",
        "reference": "{}", "split": "train", "source": "s"}
texts = st.text(st.characters(exclude_categories=["Cs"]))
same_folder = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
COLUMNS = {pa.string(): texts, pa.float64(): st.floats(allow_nan=False), pa.int64(): st.integers(-2**63, 2**63 - 1)}
MESSAGES = st.lists(st.fixed_dictionaries({"role": texts, "content": texts}), max_size=3)


def rows_of(schema: pa.Schema) -> st.SearchStrategy:
    return st.lists(st.fixed_dictionaries({field.name: COLUMNS.get(field.type, MESSAGES) for field in schema}))


def small(rows) -> pl.DataFrame:
    return frame(rows, SMALL)


def written_by_row(rows: list[dict], path: Path, schema: pa.Schema, group_rows: int) -> bytes:
    """What the writer of this lake made of a list of dictionaries while it was written row by row."""
    rows = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=3) as parquet:
        while batch := list(islice(rows, group_rows)):
            parquet.write_table(pa.Table.from_pylist(batch, schema=schema), row_group_size=group_rows)
    return path.read_bytes()


@same_folder
@given(st.data())
@pytest.mark.parametrize("schema", [SMALL, CHATS, PAIRS, RECORDS, REJECTED])
def test_the_bytes_are_those_of_rows_written_one_by_one_and_come_back(tmp_path, monkeypatch, schema, data):
    monkeypatch.setattr(lake_table, "ROW_GROUP", 3)
    rows, cut = data.draw(rows_of(schema)), data.draw(st.integers(1, 5))
    path = tmp_path / "t.parquet"
    pieces = [frame(rows[i:i + cut], schema) for i in range(0, len(rows), cut)]
    assert write(pieces, path, schema) == len(rows)
    assert path.read_bytes() == written_by_row(rows, tmp_path / "o.parquet", schema, 3)
    assert write(frame(rows, schema), path, schema) == len(rows)
    assert path.read_bytes() == (tmp_path / "o.parquet").read_bytes()
    assert small_rows(path, schema, allow_empty=True) == rows
    assert scan(path, schema, allow_empty=True).collect().equals(frame(rows, schema))
    assert [row for part in batches(path, schema, allow_empty=True) for row in part.to_dicts()] == rows


def test_a_large_file_has_the_bytes_of_rows_written_one_by_one(tmp_path):
    rows = [CHAT | {"row_id": str(i), "slice": "é" * (i % 7)} for i in range(40_000)]
    assert write(frame(rows, CHATS), tmp_path / "t.parquet", CHATS) == 40_000
    assert (tmp_path / "t.parquet").read_bytes() == written_by_row(rows, tmp_path / "o.parquet", CHATS, 16_384)
    assert [part.height for part in batches(tmp_path / "t.parquet", CHATS)] == [16_384, 16_384, 7_232]


def test_the_same_rows_give_the_same_bytes_whatever_frame_holds_them(tmp_path, monkeypatch):
    monkeypatch.setattr(lake_table, "ROW_GROUP", 16)
    foreign = pl.DataFrame(list(reversed(ROWS))).select("score", pl.col("name").cast(pl.Categorical)).reverse()
    pieces = (small(ROWS[i:i + 9]) for i in range(0, 50, 9))
    for number, rows in enumerate([small(ROWS), pieces, foreign, [small([]), small(ROWS[:16]), small(ROWS[16:])]]):
        assert write(rows, tmp_path / f"{number}.parquet", SMALL) == 50
    first = (tmp_path / "0.parquet").read_bytes()
    assert all((tmp_path / f"{n}.parquet").read_bytes() == first for n in (1, 2, 3))
    assert pq.ParquetFile(tmp_path / "0.parquet").metadata.num_row_groups == 4


def test_frames_are_taken_one_group_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(lake_table, "ROW_GROUP", 10)
    pulled, written = [], []
    original = pq.ParquetWriter.write_table

    def watch(parquet, group, **options):
        written.append((len(pulled), group.num_rows))
        return original(parquet, group, **options)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", watch)
    write((pulled.append(1) or small([row]) for row in ROWS[:25]), tmp_path / "t.parquet", SMALL)
    assert written == [(10, 10), (20, 10), (25, 5)]


def test_two_files_can_be_written_at_once(tmp_path):
    with writer(tmp_path / "a.parquet", SMALL) as a, writer(tmp_path / "b.parquet", SMALL) as b:
        for row in ROWS:
            (a if row["score"] < 1 else b).write(small([row]))
    assert (a.rows, b.rows) == (7, 43)
    assert small_rows(tmp_path / "a.parquet", SMALL) + small_rows(tmp_path / "b.parquet", SMALL) == ROWS


def test_an_error_between_frames_leaves_the_old_file(tmp_path, monkeypatch):
    monkeypatch.setattr(lake_table, "ROW_GROUP", 2)
    path = tmp_path / "t.parquet"
    write(small(ROWS[:3]), path, SMALL)

    def broken():
        yield small(ROWS[:5])
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        write(broken(), path, SMALL)
    assert small_rows(path, SMALL) == ROWS[:3]
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_plainly_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    write(small(ROWS[:3]), path, SMALL)
    original = pq.ParquetWriter
    monkeypatch.setattr(pq, "ParquetWriter", lambda part, *a, **k: original("/dev/full", *a, **k))
    with pytest.raises(UserError, match=r"t.parquet: the disk is full"):
        write(small(ROWS), path, SMALL)
    monkeypatch.undo()
    assert small_rows(path, SMALL) == ROWS[:3]


@pytest.mark.parametrize(("row", "said"), [
    ({"name": "a"}, r"row 2 .*`score` is missing"),
    ({"name": None, "score": 1.0}, r"row 2 .*`name` is missing or null"),
    ({"name": "a", "score": "high"}, r"row 2 .*`score` is str"),
    ({"name": "a", "score": 1.0, "extra": 1}, r"row 2 .*`extra` is not a column"),
    ({"name": "\ud800", "score": 1.0}, r"row 2 .*invalid_utf8"),
    ({"name": ["a"], "score": 1.0}, r"row 2 .*`name` is list"),
])
def test_a_dictionary_that_does_not_fit_makes_no_frame(row, said):
    with pytest.raises(UserError, match=f"the pairs: {said}") as caught:
        frame([ROWS[0], row], SMALL, "the pairs")
    assert "expected: columns name (string), score (double)" in str(caught.value) and "to do:" in str(caught.value)


@pytest.mark.parametrize(("columns", "said"), [
    ({"name": ["a"]}, "column `score` is missing"),
    ({"name": ["a"], "score": ["1"]}, "column `score` is large_string"),
    ({"name": [1], "score": [1.0]}, "column `name` is int64"),
    ({"name": ["a", None], "score": [1.0, 2.0]}, "row 5: column `name` holds a null"),
    ({"name": ["a"], "score": [1.0], "more": [1]}, "`more` is not a column of this dataset"),
])
def test_a_frame_that_does_not_fit_is_not_written(tmp_path, columns, said):
    with pytest.raises(UserError, match=said) as caught:
        write([small(ROWS[:3]), pl.DataFrame(columns)], tmp_path / "t.parquet", SMALL)
    assert list(tmp_path.iterdir()) == []
    assert "t.parquet" in str(caught.value) and "to do:" in str(caught.value)


def scanned(path, schema):
    return scan(path, schema).collect()


def batched(path, schema):
    return list(batches(path, schema))


readers = pytest.mark.parametrize("read", [read_table, small_rows, scanned, batched])


@readers
def test_a_missing_file(tmp_path, read):
    with pytest.raises(UserError, match=r"nowhere.parquet: no such file"):
        read(tmp_path / "nowhere.parquet", SMALL)


@pytest.mark.parametrize("damage", [
    lambda data: data[:len(data) // 2], lambda data: b"", lambda data: b"not parquet at all",
])
@readers
def test_a_damaged_file(tmp_path, read, damage):
    path = tmp_path / "t.parquet"
    write(small(ROWS), path, SMALL)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"t.parquet: not a whole Parquet file"):
        read(path, SMALL)


@pytest.mark.parametrize("read", [read_table, small_rows, batched])
def test_a_file_damaged_in_the_middle(tmp_path, read):
    path = tmp_path / "t.parquet"
    write(small(ROWS), path, SMALL)
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes(60) + data[100:])
    with pytest.raises(UserError, match=r"t.parquet: not a whole Parquet file"):
        read(path, SMALL)


@pytest.mark.parametrize(("columns", "said"), [
    ({"name": ["a"]}, "column `score` is missing"),
    ({"name": ["a"], "score": ["1"]}, "column `score` is string"),
    ({"name": [1], "score": [1.0]}, "column `name` is int64"),
    ({"name": ["a", "b", None], "score": [1.0, 2.0, 3.0]}, "row 3: column `name` holds a null"),
    ({"name": pa.nulls(2), "score": [1.0, 2.0]}, "row 1: column `name` holds a null"),
    ({"name": pa.array([], pa.string()), "score": pa.array([], pa.float64())}, "holds no rows"),
])
@readers
def test_a_table_of_another_shape(tmp_path, read, columns, said):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path / "t.parquet", SMALL)
    assert "t.parquet" in str(caught.value) and "to do:" in str(caught.value)


@pytest.mark.parametrize("statistics", [True, False])
@readers
def test_a_null_inside_a_message_is_found_in_its_row(tmp_path, read, statistics):
    loose = pa.schema({"messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))})
    strict = pa.schema([CHATS.field("messages")])
    good, bad = {"role": "user", "content": "x"}, {"role": "user", "content": None}
    rows = [{"messages": [good, good]}, {"messages": []}, {"messages": [good, bad]}]
    pq.write_table(pa.Table.from_pylist(rows, schema=loose), tmp_path / "t.parquet", write_statistics=statistics)
    with pytest.raises(UserError, match="row 3: column `messages` holds a null"):
        read(tmp_path / "t.parquet", strict)


@readers
def test_a_null_is_counted_over_all_row_groups(tmp_path, monkeypatch, read):
    monkeypatch.setattr(lake_table, "ROW_GROUP", 3)
    pq.write_table(pa.table({"name": ["a"] * 11 + [None], "score": [1.0] * 12}), tmp_path / "t.parquet",
                   row_group_size=4)
    with pytest.raises(UserError, match="row 12: column `name`"):
        read(tmp_path / "t.parquet", SMALL)


def test_types_that_mean_the_same_are_taken_and_other_columns_left(tmp_path):
    table = pa.table({
        "score": pa.array([1, 2], pa.int32()), "other": [1, 2],
        "name": pa.array(["a", "b"], pa.large_string()).dictionary_encode()})
    path = tmp_path / "t [1].parquet"
    pq.write_table(table, path)
    expected = [{"name": "a", "score": 1.0}, {"name": "b", "score": 2.0}]
    found = read_table(path, SMALL)
    assert found.schema == SMALL
    assert found.to_pylist() == expected
    for read in (scanned(path, SMALL), *batched(path, SMALL)):
        assert read.equals(small(expected)) and read.schema == small([]).schema


def test_messages_with_more_fields_are_taken_without_them(tmp_path):
    strict = pa.schema([CHATS.field("messages")])
    rows = [{"messages": [{"weight": 1, "role": "user", "content": "x"}]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    expected = frame([{"messages": [{"role": "user", "content": "x"}]}], strict)
    for read in (scanned(tmp_path / "t.parquet", strict), *batched(tmp_path / "t.parquet", strict)):
        assert read.equals(expected) and read.schema == expected.schema


def test_an_empty_table_is_taken_where_it_may_be_empty(tmp_path):
    path = tmp_path / "t.parquet"
    assert write([], path, RECORDS) == 0
    assert small_rows(path, RECORDS, allow_empty=True) == []
    assert scan(path, RECORDS, allow_empty=True).collect().equals(frame([], RECORDS))
    assert list(batches(path, RECORDS, allow_empty=True)) == []


def test_a_large_file_becomes_no_list_of_dictionaries(tmp_path, monkeypatch):
    monkeypatch.setattr(lake_table, "SMALL", 49)
    write(small(ROWS), tmp_path / "t.parquet", SMALL)
    with pytest.raises(UserError, match=r"t.parquet: holds 50 rows") as caught:
        small_rows(tmp_path / "t.parquet", SMALL)
    assert "at most 49" in str(caught.value) and "batches" in str(caught.value)


def test_what_is_scanned_is_read_only_where_it_is_asked_for(tmp_path):
    write(small(ROWS), tmp_path / "t.parquet", SMALL)
    found = scan(tmp_path / "t.parquet", SMALL).filter(pl.col("score") > 6.9).select("name").collect()
    assert found["name"].to_list() == ["n49"]
