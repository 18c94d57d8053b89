"""A child process trains one window of steps whenever its parent says so, and sleeps in between.

One process an arm, since a BLAS is chosen once in a process and peers live in environments of their own. What passes
between parent and child is a line of JSON: first what holds before training, then one for each window, then the end.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class Arm:
    """The parent's side: a child, and the rate of every window that it has trained."""

    def __init__(self, name: str, python: str, arguments: list[str], folder: Path):
        self.name, self.rates, self.lengths = name, [], []
        self.log = folder / f"{name.replace(' ', '-')}.log"  # trainers show their progress there
        self.started = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [python, "-m", "benchmarks.child", *arguments], text=True, cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def ready(self) -> None:
        self.before = self.answer()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            said = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the arm {self.name} ended with status {self.process.wait()}:\n{said}")
        return json.loads(line)

    def window(self) -> None:
        print(file=self.process.stdin, flush=True)
        found = self.answer()
        self.rates.append(found["amount"] / found["seconds"])
        self.lengths.append(found["tokens"] / found["amount"])

    def end(self) -> None:
        self.after = self.answer()
        self.process.communicate()


class Windows:
    """The child's side: the clock, which waits for the child's turn before every window, and what a window was.

    `plan` is windows of steps of row numbers; `amount` says how much a row counts for. Samplers add to `tokens`.
    """

    def __init__(self, plan: list[list[list[int]]], amount: Callable[[int], int], cpu_time: bool, stdout):
        self.clock = time.process_time if cpu_time else time.perf_counter
        self.plan, self.amount, self.stdout = plan, amount, stdout
        self.steps, self.tokens = len(plan[0]), 0

    @property
    def all_steps(self) -> list[list[int]]:
        return [step for window in self.plan for step in window]

    def begin(self, step: int) -> None:
        """Before the step of that number; waits where it is the first of a window."""
        if step % self.steps == 0:
            if not sys.stdin.readline():
                sys.exit("the parent has gone")
            self.started, self.tokens = self.clock(), 0

    def end(self, done: int) -> None:
        """After so many steps; tells the parent where they complete a window."""
        if done % self.steps == 0:
            seconds = self.clock() - self.started
            rows = [row for step in self.plan[done // self.steps - 1] for row in step]
            self.say(seconds=seconds, amount=sum(map(self.amount, rows)), tokens=self.tokens)

    def say(self, **figures: float | str | None) -> None:
        print(json.dumps(figures), file=self.stdout, flush=True)
