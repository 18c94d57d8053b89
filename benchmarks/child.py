"""One arm: a tool that trains for an objective on the workload in a folder. Started by `benchmarks.train`.

It runs in the peer's own environment, so nothing is imported before it is known which tool this is.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

from benchmarks import workload
from benchmarks.windows import Windows

MODULES = {"realign": "ours", "mlx-lm": "peers_mlx", "mlx-lm-stock": "peers_mlx", "mlx-lm-lora": "peers_mlx",
           "trl": "peers_torch", "costs": "costs"}


def main() -> None:
    options = arguments()
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # trainers show their progress there
    data = workload.read(options.folder)
    plan, amount = planned(options, data)
    windows = Windows(plan, amount, options.cpu_time, stdout)
    module = importlib.import_module(f"benchmarks.{MODULES[options.tool]}")
    module.run(options.tool, options.objective, options.folder, data, windows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", choices=MODULES)
    parser.add_argument("objective")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--cpu-time", action="store_true")
    return parser.parse_args()


def planned(options: argparse.Namespace, data: workload.Workload):
    """The windows of this arm, and how much a row of them counts: target tokens, pairs or prompts."""
    if options.objective in ("sft", "lora", "checkpoints", "profile"):
        windows, amount = data.plan["rows"], lambda row: len(data.rows[row]) - 1
    elif options.objective == "dpo":
        windows, amount = data.plan["pairs"], lambda row: 1
    else:
        every = [list(range(len(data.prompts)))] * options.steps
        windows, amount = [every] * options.windows, lambda row: 1
    return [window[:options.steps] for window in windows[:options.windows]], amount


if __name__ == "__main__":
    sys.exit(main())
