import pytest

from realign.errors import UserError
from realign.files import read_json, read_yaml


def test_json_and_yaml_are_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, "é"]}', encoding="utf-8")
    (tmp_path / "b.json").write_text("[1]")
    (tmp_path / "p.yaml").write_text("a:\n  rate: 1e-5\n  word: no\n")
    assert read_json(tmp_path / "a.json") == {"a": [1, "é"]}
    assert read_json(tmp_path / "b.json", list) == [1]
    assert read_yaml(tmp_path / "p.yaml") == {"a": {"rate": 1e-5, "word": "no"}}


@pytest.mark.parametrize(("content", "says"), [
    (b'{"a": 1,\n "b"}', "line 2, column 5"), (b'"\xff"', "not UTF-8 at byte 1"), (b"[]", "expected: a JSON object"),
    (b"", "broken JSON"),
])
def test_a_broken_json_file_is_located(content, says, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert says in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(("content", "says"), [
    ("null", "null"), ("true", "true"), ("1", "a number"), ("1.5", "a number"), ('"x"', "a text"), ("[]", "a list")])
def test_what_a_file_holds_instead_is_said_in_words(content, says, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=f"a.json: holds {says}\n  expected: a JSON object"):
        read_json(tmp_path / "a.json")


def test_a_name_that_stands_twice_in_one_object_is_no_value(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": {"n": 1}, "b": {"n": 2, "n": 2}}')
    with pytest.raises(UserError, match="'n' stands twice"):
        read_json(path)
    path.write_text('{"a": {"n": 1}, "b": {"n": 1}}')
    assert read_json(path) == {"a": {"n": 1}, "b": {"n": 1}}


@pytest.mark.parametrize(("content", "says"), [
    (b"a: 1\nb: [1\nc: 2\n", "line 3, column 2"), (b"a: \xff", "not UTF-8 at byte 3"), (b"- 1\n", "found '[1]' (list)"),
    (b"", "found nothing (null)"),
])
def test_a_broken_yaml_file_is_located(content, says, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    assert says in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_a_missing_file_is_named(read, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "nowhere")
