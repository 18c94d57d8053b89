"""A progress line for work of more than a few seconds: rate and time left, on standard error."""

import sys
import time
from collections.abc import Callable

SHOWN = ("loss", "accuracy", "reward", "kl")  # of the figures of a step


def bar(name: str, every: float = 2.0, unit: str = "steps", least: float = 0.0) -> Callable[[int, int, dict], None]:
    """A function of (step, steps, figures) that keeps one line up to date on a terminal, and in a log writes a line
    every 30 seconds; `every` and `least`, the time before which nothing is shown, in seconds."""
    interval = every if sys.stderr.isatty() else 30.0
    began = shown = time.monotonic()
    first: int | None = None

    def show(step: int, steps: int, figures: dict) -> None:
        nonlocal shown, first
        first = step - 1 if first is None else first
        now = time.monotonic()
        if now - shown < interval and step < steps or now - began < least:
            return
        shown = now
        rate = (step - first) / max(now - began, 1e-9)
        left = (steps - step) / rate if rate else 0.0
        text = "  ".join(f"{k} {v:.4g}" for k, v in figures.items() if k in SHOWN)
        end = "\r" if sys.stderr.isatty() and step < steps else "\n"
        print(f"{name}: {step}/{steps}  {rate:.2f} {unit}/s  {left:.0f} s left  {text}   ", end=end,
              file=sys.stderr, flush=True)

    return show
