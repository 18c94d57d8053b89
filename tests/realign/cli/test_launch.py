"""Two processes that meet, and what becomes of them when one ends or their launcher does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from realign.cli import launch
from realign.errors import UserError
from realign.stage import Stage
from tests.realign.cli import staged

pytestmark = pytest.mark.xdist_group("ports")  # which are free only until another test takes them

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("waiting.py")
ENV = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
PATIENCE = 120  # seconds for what must happen at some time


def command(folder, *how):
    return ["python", str(PROGRAM), str(folder), *how]


def realign_launch(*args, **rest):
    return subprocess.Popen([sys.executable, "-m", "realign.cli", "launch", *args], cwd=ROOT, env=os.environ | ENV,
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **rest)


def alive(folder) -> list[int]:
    """Ranks whose process still runs."""
    def runs(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"

    return [rank for rank in (0, 1) if (folder / str(rank)).exists() and runs(int((folder / str(rank)).read_text()))]


def until(condition):
    for _ in range(PATIENCE * 10):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it never came")


def test_two_processes_meet(tmp_path):
    launched = realign_launch("--shares", "65.5,34.5", "--", *command(tmp_path))
    out, err = launched.communicate(timeout=PATIENCE)
    assert launched.returncode == 0, err
    assert out == "met 2 65.5,34.5 1\n" and "[1] met 2 65.5,34.5 1\n" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1"]


def test_one_process_is_run_as_it_is(tmp_path):
    code = "import os, sys; sys.exit(3 if 'MLX_RANK' not in os.environ else 4)"
    assert launch.local(["python", "-c", code], 1, {}) == 3


@pytest.mark.parametrize("how, code", [("killed", 128 + signal.SIGKILL), ("fails", 7)])
@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_ends_takes_the_others_along(how, code, rank, tmp_path, capfd):
    assert launch.local(command(tmp_path, how, str(rank)), 2, ENV) == code
    assert alive(tmp_path) == [] and f"process {rank} " in capfd.readouterr().err


def test_the_others_learn_that_one_was_lost_without_a_launcher(tmp_path):
    """Started by hand, as mlx.launch does on other machines."""
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([[f"127.0.0.1:{port}"] for port in launch.free_ports(2)]))
    both = [subprocess.Popen([sys.executable, *command(tmp_path, "killed", "1")[1:]], stdout=subprocess.DEVNULL,
                             env=os.environ | ENV | {"MLX_RANK": str(rank), "MLX_HOSTFILE": str(hosts)})
            for rank in (0, 1)]
    try:
        until((tmp_path / "0.said").exists)
        until((tmp_path / "0.said").read_text)
        assert (tmp_path / "0.said").read_text().startswith("another process of this run has ended")
    finally:
        for process in both:
            process.kill()
            process.wait()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_launcher_dies_so_do_its_processes(how, tmp_path):
    launched = realign_launch("--", *command(tmp_path, "waits", "0"))
    until(lambda: alive(tmp_path) == [0, 1])
    launched.send_signal(how)
    until(lambda: alive(tmp_path) == [])
    launched.communicate(timeout=PATIENCE)
    assert launched.returncode == (-9 if how == signal.SIGKILL else 143)


def consecutive_ports() -> int:
    """The first of two free ports side by side, which is how mlx.launch counts."""
    import socket

    for port in launch.free_ports(50):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port + 1)) and port < 65000:
                return port
    pytest.skip("no two free ports")


@pytest.mark.parametrize("how, code", [((), 0), *(
    pytest.param(*ends, marks=pytest.mark.slow) for ends in ((("fails", "1"), 7), (("killed", "1"), 137)))])
def test_a_hostfile_goes_through_mlx_launch(how, code, tmp_path):
    """This machine twice: mlx.launch takes 127.0.0.1 without ssh."""
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}] * 2))
    launched = realign_launch("--hostfile", str(hosts), "--port", str(consecutive_ports()), "--shares", "2,1", "--",
                              *command(tmp_path, *how))
    out, err = launched.communicate(timeout=PATIENCE)
    assert out.count("met 2 2,1") == 2, err
    assert launched.returncode == code, err
    until(lambda: alive(tmp_path) == [])


def test_a_hostfile_that_is_not_there_is_one_message(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        launch.across(["python"], tmp_path / "hosts.json", {})
    with pytest.raises(UserError, match="0 processes"):
        launch.local(["python"], 0, {})


def test_a_stage_in_two_processes_leaves_what_it_leaves_in_one(tmp_path, monkeypatch, capfd):
    def left(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "one":
            Stage("w", "s").run(staged.run)
        else:
            assert launch.local(["python", staged.__file__], 2, ENV) == 0
    one, two = left("one"), left("two")
    assert two.keys() == one.keys() | {"runs/w/s/shares.jsonl"}
    assert two["runs/w/s/log.jsonl"].count(b"\n") == 1
    ends = capfd.readouterr().err.splitlines()
    assert len([line for line in ends if line.startswith("w s: trained")]) == 2  # one of each run
