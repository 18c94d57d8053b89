"""`realign launch`: one command in several processes that train together.

On this machine the processes are started here, since `mlx.launch` exits with 0 whatever becomes of them; on
others `mlx.launch` starts them over ssh, and what it reports of them becomes the exit code.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from realign.errors import UserError
from realign.lake.atomic import RANK
from realign.models.backend import cores

PORT = 32323  # mlx.launch's own
GRACE = 10.0  # seconds from asking a process to end to killing it
ENDED = re.compile(r"Node with rank (\d+) (?:exited with code (-?\d+)|was killed)")


def local(command: Sequence[str], processes: int, env: Mapping[str, str]) -> int:
    """Run `command` so many times on this machine, over MLX's ring; the exit code of the first to fail, or 0.

    One that fails ends the others. The first has the terminal; what the others say is shown after their rank.
    """
    if processes < 1:
        raise UserError(f"{processes} processes", expected="at least 1")
    if processes == 1:
        return subprocess.run(_own_python(command), env=os.environ | env).returncode
    with tempfile.TemporaryDirectory() as folder:
        hostfile = Path(folder) / "hosts.json"
        hostfile.write_text(json.dumps([[f"127.0.0.1:{port}"] for port in free_ports(processes)]))
        shared = {"OMP_NUM_THREADS": str(max(1, cores() // processes)), **os.environ, **env,
                  "MLX_HOSTFILE": str(hostfile)}
        running: list[subprocess.Popen] = []
        try:
            for rank in range(processes):
                running.append(_start(_own_python(command), shared | {RANK: str(rank)}, rank))
            return _wait(running)
        finally:
            _end(running)


def across(command: Sequence[str], hostfile: Path, env: Mapping[str, str], port: int = PORT) -> int:
    """Run `command` on every host of a hostfile by `mlx.launch`; the exit code of the first to fail, or 0.

    Every machine needs the project and its environment under the same path, the same inputs, and the ports
    from `port` on, one a machine.
    """
    if not hostfile.is_file():
        raise UserError("no such file", where=str(hostfile), fix="mlx.distributed_config makes one",
                        expected='[{"ssh": "name", "ips": ["10.0.0.1"]}, …], the first the one that writes')
    variables = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
    # Its standard input must not be at its end: mlx.launch would ask for more without a pause.
    launcher = subprocess.Popen(
        [str(Path(sysconfig.get_path("scripts")) / "mlx.launch"), "--hostfile", str(hostfile),
         "--starting-port", str(port), *variables, "--", *_own_python(command)],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    failed = []
    try:
        for line in launcher.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            if said := ENDED.search(line):
                failed.append(_as_shell(int(said[2] or 1)))
        return launcher.wait() or next(iter(failed), 0)
    finally:
        _end([launcher])


def free_ports(number: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _own_python(command: Sequence[str]) -> list[str]:
    """`python` is the one that runs this: another may lie first in a remote shell's path."""
    name, *rest = command
    return [sys.executable if name in ("python", "python3") else name, *rest]


def _start(command: list[str], env: Mapping[str, str], rank: int) -> subprocess.Popen:
    if rank == 0:
        return subprocess.Popen(command, env=env)
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    threading.Thread(target=_relay, args=(process, rank), daemon=True).start()
    return process


def _relay(process: subprocess.Popen, rank: int) -> None:
    for line in process.stdout:
        print(f"[{rank}] {line}", end="", file=sys.stderr, flush=True)


def _wait(running: Sequence[subprocess.Popen]) -> int:
    """Until all have ended well, or one has not."""
    while True:
        codes = [process.poll() for process in running]
        failed = [(rank, code) for rank, code in enumerate(codes) if code]
        if failed:
            # One that was killed takes the others along: it is the cause.
            rank, code = min(failed, key=lambda pair: (pair[1] > 0, pair[0]))
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
            print(f"realign launch: process {rank} {how}; the run stops", file=sys.stderr)
            return _as_shell(code)
        if None not in codes:
            return 0
        time.sleep(0.05)


def _as_shell(code: int) -> int:
    """A process's exit code; as a shell has it, where a signal ended the process."""
    return code if code >= 0 else 128 - code


def _end(running: Sequence[subprocess.Popen]) -> None:
    """Ask those that still run to end, then make them."""
    for process in running:
        if process.poll() is None:
            process.terminate()
    until = time.monotonic() + GRACE
    for process in running:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
