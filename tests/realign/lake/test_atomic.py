import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from realign.errors import UserError
from realign.lake import atomic
from realign.lake.atomic import atomic_directory, atomic_file, write_json

FULL = Path("/dev/full")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_written_with_its_folders(tmp_path):
    with atomic_file(tmp_path / "a/b.txt") as part:
        part.write_text("new")
    assert (tmp_path / "a/b.txt").read_text() == "new"
    assert names(tmp_path / "a") == ["b.txt"]


def test_the_old_file_stands_until_the_end(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old")
    with atomic_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_midway_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "b.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_file(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["b.txt"]


def test_a_link_into_a_cache_is_replaced_and_not_written_through(tmp_path):
    cached = tmp_path / "cached"
    cached.write_text("old")
    (tmp_path / "out").symlink_to(cached)
    with atomic_file(tmp_path / "out") as part:
        part.write_text("new")
    assert (cached.read_text(), (tmp_path / "out").read_text()) == ("old", "new")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_plainly_and_changes_nothing(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old")
    with pytest.raises(UserError, match="disk is full") as caught, atomic_file(path) as part:
        part.write_text("half")
        FULL.write_text("x")
    assert str(path) in str(caught.value) and "free space" in str(caught.value)
    assert path.read_text() == "old" and names(tmp_path) == ["b.txt"]


def test_another_error_of_the_system_stays_what_it_is(tmp_path):
    with pytest.raises(PermissionError), atomic_file(tmp_path / "b.txt"):
        raise PermissionError


def fill(path: Path, text: str) -> None:
    with atomic_directory(path) as part:
        (part / "deep").mkdir()
        (part / "deep/file").write_text(text)


def no_exchange(a, b) -> bool:
    return False


@pytest.mark.parametrize("exchange", [atomic._exchange, no_exchange])
def test_a_directory_is_replaced_whole(tmp_path, monkeypatch, exchange):
    monkeypatch.setattr(atomic, "_exchange", exchange)
    out = tmp_path / "out"
    fill(out, "old")
    (out / "stale").write_text("x")
    fill(out, "new")
    assert (out / "deep/file").read_text() == "new"
    assert names(out) == ["deep"] and names(tmp_path) == ["out"]


def test_an_error_midway_leaves_the_old_directory(tmp_path):
    out = tmp_path / "out"
    fill(out, "old")
    with pytest.raises(RuntimeError), atomic_directory(out) as part:
        (part / "half").write_text("x")
        raise RuntimeError
    assert (out / "deep/file").read_text() == "old"
    assert names(out) == ["deep"] and names(tmp_path) == ["out"]


def test_a_directory_set_aside_by_a_killed_run_comes_back(tmp_path):
    fill(tmp_path / ".out.old", "old")
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "out"):
        raise RuntimeError
    assert (tmp_path / "out/deep/file").read_text() == "old"


def test_a_link_to_a_directory_is_replaced_and_not_written_through(tmp_path):
    fill(tmp_path / "cached", "old")
    (tmp_path / "out").symlink_to(tmp_path / "cached")
    fill(tmp_path / "out", "new")
    assert (tmp_path / "cached/deep/file").read_text() == "old"
    assert (tmp_path / "out/deep/file").read_text() == "new"
    assert names(tmp_path) == ["cached", "out"]


KILLED = """
import os, signal, sys
from realign.lake.atomic import atomic_directory, atomic_file
with {kind}(sys.argv[1]) as part:
    (part if {file} else part / "x").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("kind", ["atomic_file", "atomic_directory"])
def test_a_killed_run_leaves_the_old_output_and_the_next_run_cleans_up(tmp_path, kind):
    out, file = tmp_path / "out", kind == "atomic_file"
    out.write_text("old") if file else fill(out, "old")
    code = KILLED.format(kind=kind, file=file)
    ended = subprocess.run([sys.executable, "-c", code, str(out)], cwd=Path(atomic.__file__).parents[2])
    assert ended.returncode == -signal.SIGKILL
    assert (out if file else out / "deep/file").read_text() == "old"
    if file:
        with atomic_file(out) as part:
            assert not part.exists()
            part.write_text("new")
    else:
        fill(out, "new")
    assert (out if file else out / "deep/file").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_json_is_sorted_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "m.json", {"b": 1, "a": {"d": "é", "c": None}})
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert text == '{\n "a": {\n  "c": null,\n  "d": "é"\n },\n "b": 1\n}\n'


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "m.json", {"a": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "m.json", {"a": float("nan")})
    assert json.loads((tmp_path / "m.json").read_text()) == {"a": 1}
    assert names(tmp_path) == ["m.json"]
