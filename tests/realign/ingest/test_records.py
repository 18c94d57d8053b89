import gzip
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realign.errors import UserError
from realign.ingest import records
from realign.ingest.records import read_records

same_folder = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path, data: bytes | str):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def seen(path) -> list[tuple[int, str]]:
    return [(raw.position, raw.reason or "ok") for raw in read_records(path)]


def test_bad_lines_are_named_and_the_good_ones_go_on(tmp_path):
    lines = [b'\xef\xbb\xbf{"a": 1}', b"", b'{"a": ', b"[1, 2]", b'{"a": "\xff"}', b'{"a": NaN}',
             b'{"a": 2}\r', b"[" * 100_000]
    path = write(tmp_path / "x.jsonl", b"\n".join(lines))
    assert seen(path) == [(1, "ok"), (3, "broken_json"), (4, "not_an_object"), (5, "invalid_utf8"),
                          (6, "broken_json"), (7, "ok"), (8, "broken_json")]
    raws = list(read_records(path))
    assert (raws[0].row, raws[5].row) == ({"a": 1}, {"a": 2})
    assert "byte 8 (0xff)" in raws[3].detail
    assert "character 6" in raws[1].detail


def test_a_separator_inside_a_string_does_not_end_the_line(tmp_path):
    path = write(tmp_path / "x.jsonl", '{"a": "x\u2028y\u0085z"}\n')
    assert [raw.row for raw in read_records(path)] == [{"a": "x\u2028y\u0085z"}]


@same_folder
@given(st.lists(st.sampled_from([b'{"a": 1}', b"{", b"3", b"\xfe", b" "]), max_size=30))
def test_every_line_that_is_not_blank_is_one_row(tmp_path, lines):
    path = write(tmp_path / "x.jsonl", b"\n".join([*lines, b"{}"]))
    assert [raw.position for raw in read_records(path)] == [
        number for number, line in enumerate([*lines, b"{}"], 1) if line.strip()]


def test_zipped_lines(tmp_path):
    path = write(tmp_path / "x.jsonl.gz", gzip.compress(b'{"a": 1}\n{'))
    assert seen(path) == [(1, "ok"), (2, "broken_json")]
    whole = gzip.compress(b'{"a": 1}\n' * 1000)
    with pytest.raises(UserError, match="cannot be read to its end"):
        list(read_records(write(tmp_path / "cut.jsonl.gz", whole[:len(whole) // 2])))


def test_csv_rows_and_their_lines(tmp_path):
    path = write(tmp_path / "x.csv", b'a,b\n1,"two\nlines"\n\n3\n4,\xff\n5,6\n7,"open\n8,"9"\n')
    raws = list(read_records(path))
    assert [(r.position, r.reason or "ok") for r in raws] == [
        (2, "ok"), (5, "broken_csv"), (6, "invalid_utf8"), (7, "ok"), (8, "broken_csv"), (9, "broken_csv")]
    assert [raw.content for raw in raws[4:]] == ['7,"open', '8,"9"']  # each line that the quote took in
    assert raws[0].row == {"a": "1", "b": "two\nlines"}
    assert raws[2].rejected("x.csv")["content"] == "4,\ufffd"


@pytest.mark.parametrize("end", [b"", b"\n", b"8,9\n" * 50])
def test_a_quote_that_is_never_closed_stops_the_file(tmp_path, end):
    path = write(tmp_path / "x.csv", b'a,b\n1,2\n3,"open\n4,5' + end)
    with pytest.raises(UserError, match=r"x\.csv:3: a quote that this row opens is never closed"):
        list(read_records(path))


@pytest.mark.parametrize("header, said", [
    (b"a;b\n1;2\n", "separated by `;`"), (b"\xef\xbb\xbfa\tb\r\n1\t2\r\n", "separated by a tab"),
    (b"sep=;\na;b\n", "separated by `;`"), (b'"a"|"b"\n', "separated by `|`")])
def test_a_csv_with_another_separator_is_named(tmp_path, header, said):
    with pytest.raises(UserError, match=re.escape(said)):
        list(read_records(write(tmp_path / "x.csv", header)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.jsonl.gz"])
def test_utf16_is_named(tmp_path, name, encoding):
    text = ("a,b\n1,2\n" if name == "x.csv" else '{"a": 1}\n').encode(encoding)
    with pytest.raises(UserError, match="is in UTF-16"):
        list(read_records(write(tmp_path / name, gzip.compress(text) if name.endswith("gz") else text)))


def test_a_key_twice(tmp_path):
    path = write(tmp_path / "x.jsonl", '{"a": 1, "b": {"c": 1, "c": 1}}\n{"a": 1}\n{"a": 1, "a": null}\n')
    assert seen(path) == [(1, "duplicate_key"), (2, "ok"), (3, "duplicate_key")]
    assert next(read_records(path)).detail == "the key `c` stands twice"


def test_a_line_that_is_too_long_is_left_out_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_LONGEST_LINE", 100)
    lines = [b'{"a": 1}', b"x" * 99, b"x" * 100, b"x" * 350, b'{"a": 2}', b"y" * 201]
    path = write(tmp_path / "x.jsonl", b"\n".join(lines))
    assert seen(path) == [(1, "ok"), (2, "broken_json"), (3, "line_too_long"), (4, "line_too_long"), (5, "ok"),
                          (6, "line_too_long")]
    assert list(read_records(path))[3].content == "x" * 100


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_INFLATED", 1000)
    path = write(tmp_path / "x.jsonl.gz", gzip.compress(b'{"a": 1}\n' + b"0" * 2_000_000))
    with pytest.raises(UserError, match="200 times its size"):
        list(read_records(path))


def test_a_path_that_is_too_long_for_a_file():
    with pytest.raises(UserError, match="no such file"):
        list(read_records("x" * 300 + ".jsonl"))


def test_csv_with_a_column_twice(tmp_path):
    with pytest.raises(UserError, match="two columns are called `a`"):
        list(read_records(write(tmp_path / "x.csv", "a,a\n1,2\n")))


def test_csv_with_a_very_long_field(tmp_path):
    path = write(tmp_path / "x.csv", "a\n" + "x" * 200_000 + "\n")
    assert [len(raw.row["a"]) for raw in read_records(path)] == [200_000]


def test_parquet_rows(tmp_path):
    broken = pa.Array.from_buffers(
        pa.string(), 3, [*pa.array(["ab", "cd", "ef"]).buffers()[:2], pa.py_buffer(b"ab\xff\xfeef")])
    pq.write_table(pa.table({"a": broken, "m": [[{"role": "user"}]] * 3}), tmp_path / "x.parquet")
    assert seen(tmp_path / "x.parquet") == [(1, "ok"), (2, "invalid_utf8"), (3, "ok")]
    assert next(read_records(tmp_path / "x.parquet")).row == {"a": "ab", "m": [{"role": "user"}]}


def test_parquet_with_a_column_twice(tmp_path):
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["chosen", "chosen"]), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="two columns are called `chosen`"):
        list(read_records(tmp_path / "x.parquet"))


def test_a_value_that_python_cannot_hold_costs_no_other(tmp_path):
    far = pa.array([0, 2**60], pa.timestamp("ms"))
    pq.write_table(pa.table({"a": ["x", "y"], "made": far}), tmp_path / "x.parquet")
    rows = [raw.row for raw in read_records(tmp_path / "x.parquet")]
    assert [row["a"] for row in rows] == ["x", "y"] and rows[1]["made"] is None


def test_truncated_parquet(tmp_path):
    pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "x.parquet")
    path = write(tmp_path / "x.parquet", (tmp_path / "x.parquet").read_bytes()[:-50])
    with pytest.raises(UserError, match=r"x\.parquet: cannot be read to its end"):
        list(read_records(path))


@pytest.mark.parametrize(("name", "data", "said"), [
    ("x.jsonl", "", "is empty"),
    ("x.jsonl", "\n \n", "is empty"),
    ("x.csv", "", "is empty"),
    ("x.csv", "a,b\n", "is empty"),
    ("x.docx", "{}", "not a kind of file"),
    ("x.json", "[{}]", "not a kind of file"),
    ("x.jsonl", "\n{\n[]\n", r"x.jsonl:2: none of its 2 rows can be read; the first: broken_json"),
    ("x.jsonl", '{"a": 1}'.encode("utf-16").decode("latin-1"), "none of its 1 rows"),
])
def test_a_file_without_a_usable_row_stops(tmp_path, name, data, said):
    with pytest.raises(UserError, match=said) as caught:
        list(read_records(write(tmp_path / name, data)))
    assert "expected:" in str(caught.value) and "to do:" in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        list(read_records(tmp_path / "x.jsonl"))
    (tmp_path / "d.jsonl").mkdir()
    with pytest.raises(UserError, match="not a kind of file"):
        list(read_records(tmp_path / "d.jsonl"))


def test_an_empty_parquet(tmp_path):
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="is empty"):
        list(read_records(tmp_path / "x.parquet"))


def test_a_rejected_row_is_short_and_hides_personal_data(tmp_path):
    path = write(tmp_path / "x.jsonl", '{}\n{"mail": "ann@firm.org", ' + json.dumps("x" * 1000))
    row = list(read_records(path))[1].rejected("x.jsonl")
    assert row["content"].startswith('{"mail": "[email]"') and len(row["content"]) == 500
