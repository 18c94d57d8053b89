"""Python programs run in forks of one process that has imported what they need: importing takes longer than they do.

As a script it is that process: it imports the modules named as arguments, starts no thread, and runs one program for
each line of standard input. Where a fork is not to be trusted, every program is a fresh process.
"""

import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

FORKS = sys.platform == "linux"


class Forks:
    """Runs programs one after the other."""

    def __init__(self, parent: subprocess.Popen | None):
        self.parent = parent

    def run(self, program: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """What `python PROGRAM…` (`-m module …` or `-c code …`) says and ends with, in a process group of its own."""
        if self.parent is None:
            return subprocess.run([sys.executable, *program], cwd=cwd, env=dict(env), text=True, capture_output=True,
                                  start_new_session=True, check=False)
        with tempfile.TemporaryDirectory() as folder:
            said = [Path(folder) / name for name in ("stdout", "stderr")]
            print(json.dumps([list(program), str(cwd), dict(env), *map(str, said)]), file=self.parent.stdin, flush=True)
            return subprocess.CompletedProcess(program, int(self.parent.stdout.readline()),
                                               *(path.read_text() for path in said))


@contextmanager
def forks(*modules: str) -> Iterator[Forks]:
    """Forks of a process that has imported these modules."""
    if not FORKS:
        yield Forks(None)
        return
    with subprocess.Popen([sys.executable, __file__, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as parent:
        yield Forks(parent)
        parent.stdin.close()


def _serve(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _be(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _be(program: Sequence[str], cwd: str, env: Mapping[str, str], *said: str) -> None:
    """This process becomes `python PROGRAM…`."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    how, what, *arguments = program
    sys.path[0] = "" if how == "-c" else cwd
    sys.argv = ["-c" if how == "-c" else what, *arguments]
    status = 0
    try:
        if how == "-c":
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module(what, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1:])
