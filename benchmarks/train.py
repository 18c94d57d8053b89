"""Training against its peers, in one run: SFT, LoRA, DPO, GRPO and PPO; and what training costs beside its steps.

Same Llama (1 million parameters, random), same tokens in every step, same optimiser; the tools take turns, window by
window, each in a process of its own. A peer that is not installed is left out, and a line says so.

Run: python -m benchmarks.train [--only sft dpo] [--windows 5] [--peers .realign/peers]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import workload
from benchmarks.windows import Arm

UNITS = {"sft": "target tokens", "lora": "target tokens", "dpo": "pairs", "grpo": "prompts"}
# Steps a window: about as long for the slowest peer of each. The stock wheel takes one of SFT's.
STEPS = {"sft": 6, "lora": 4, "dpo": 3, "grpo": 1}
STOCK_STEPS = 1
# By contest: objective and tool of each arm; this project's come first.
ARMS = {
    "sft": [("sft", "realign"), ("sft", "mlx-lm"), ("sft", "mlx-lm-stock"), ("sft", "trl")],
    "lora": [("lora", "realign"), ("lora", "mlx-lm"), ("lora", "trl")],
    "dpo": [("dpo", "realign"), ("dpo", "mlx-lm-lora"), ("dpo", "trl")],
    "grpo": [("grpo", "realign"), ("ppo", "realign"), ("grpo", "mlx-lm-lora"), ("grpo", "trl")],
}
# Packages that a peer's environment must have, beside the project's own for mlx-lm.
PEERS = {"mlx-lm-lora": ("mlx_lm_lora", "faiss"), "trl": ("trl", "peft")}
STARTS = 4


def main() -> None:
    options = arguments()
    from realign.models import backend

    backend.start()  # the children inherit its environment variables: threads that wait do not spin
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    clock = "processor time" if options.cpu_time else "wall-clock"
    print(f"{os.cpu_count()} cores, {clock}, medians of {options.windows - 1} windows after the first")
    with tempfile.TemporaryDirectory() as folder:
        steps = {"rows": max(STEPS["sft"], STEPS["lora"]), "pairs": max(STEPS["dpo"], 3)}
        workload.make(Path(folder), steps, max(options.windows, 7))
        options.folder = folder
        for name in options.only:
            (compare if name in ARMS else COSTS[name])(options, name)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*ARMS, *COSTS], default=[*ARMS, *COSTS])
    parser.add_argument("--windows", type=int, default=5, help="of each arm, 2 or more; the first is not counted")
    parser.add_argument("--peers", type=Path, default=Path(".realign/peers"), help="folder of their environments")
    parser.add_argument("--no-stock", action="store_true", help="without the stock BLAS, which is slow")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for a machine that is busy")
    return parser.parse_args()


def python_of(tool: str, peers: Path) -> str | None:
    """The interpreter of a tool's environment; None, and a line printed, where it is not installed."""
    if tool not in PEERS:
        return sys.executable
    home = peers / tool
    missing = [name for name in PEERS[tool] if not list(home.glob(f"lib/python*/site-packages/{name}"))]
    if missing:
        print(f"  {tool} left out: no {' and '.join(missing)} in {home} (benchmarks/README.md says how to install it)")
        return None
    return str((home / "bin" / "python").absolute())


def arm(options: argparse.Namespace, tool: str, objective: str, steps: int) -> Arm | None:
    """A child of that tool, unless it is not installed."""
    python = python_of(tool, options.peers)
    if python is None:
        return None
    more = ["--windows", str(options.windows), "--steps", str(steps)] + ["--cpu-time"] * options.cpu_time
    return Arm(f"{tool} {objective}", python, [tool, objective, options.folder, *more],
               Path(options.folder))


def compare(options: argparse.Namespace, name: str) -> None:
    """Let the arms of a contest take turns, then print rates and ratios."""
    print(f"\n{name}: {UNITS[name]} a second", flush=True)
    arms = []
    for objective, tool in ARMS[name]:
        if tool == "mlx-lm-stock" and options.no_stock:
            continue
        made = arm(options, tool, objective, STOCK_STEPS if tool == "mlx-lm-stock" else STEPS[name])
        if made is not None:
            made.ready()  # one after the other, so that none starts while another measures its BLAS
            arms.append(made)
    for _ in range(options.windows):
        for child in arms:
            child.window()
    for child in arms:
        child.end()
    print("\n".join(table(arms) + ratios(arms)), flush=True)


def table(arms: list) -> list[str]:
    """Rate, spread and checks of each arm."""
    lines = [f"  {'arm':<18}{'rate':>8}  lowest–highest   GFLOP/s   loss a held-out token   tokens sampled a prompt"]
    for arm in arms:
        rates = arm.rates[1:]  # the first window warms up
        spread = f"{number(min(rates))}–{number(max(rates))}"
        lengths = statistics.mean(arm.lengths[1:])
        lines.append(f"  {arm.name:<18}{number(statistics.median(rates)):>8}  {spread:<15}{arm.before['gflops']:>9.0f}"
                     f"   {arm.before['loss']:>8.3f} → {arm.after['loss']:.3f}" + f"{lengths:>20.0f}" * (lengths > 1))
        if "once" in arm.before:
            share = arm.before["once"] / arm.before["once_for"] * statistics.median(rates)
            lines.append(f"    the reference's log-probabilities, once before training: {share:.0%} of one epoch")
    return lines


def ratios(arms: list) -> list[str]:
    """Of medians, and window by window the lowest and highest: each arm of this project to each of the others."""
    lines = []
    for mine in (a for a in arms if a.name.startswith("realign")):
        for other in (a for a in arms if not a.name.startswith("realign")):
            each = [a / b for a, b in zip(mine.rates[1:], other.rates[1:], strict=True)]
            ratio = statistics.median(mine.rates[1:]) / statistics.median(other.rates[1:])
            lines.append(f"  {mine.name} / {other.name}: {ratio:.2f} "
                         f"(window by window {min(each):.2f}–{max(each):.2f})")
    return lines


def number(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.2f}"


# One child each, alone.


def memory(options: argparse.Namespace, name: str) -> None:
    """Peak of three DPO steps against that of three SFT steps on the same tokens."""
    peaks = {what: ask(options, f"memory-{what}")["bytes"] / 2**20 for what in ("sft", "dpo")}
    print(f"\nmemory, {2 * workload.BATCH} rows a batch: SFT {peaks['sft']:.0f} MiB, DPO {peaks['dpo']:.0f} MiB, "
          f"DPO / SFT {peaks['dpo'] / peaks['sft']:.2f}", flush=True)


def start(options: argparse.Namespace, name: str) -> None:
    """Seconds from starting Python to the first step done, of the demo's model; the first start is not counted."""
    found = []
    for _ in range(STARTS):
        child = arm(options, "costs", "start", 1)
        done = {}
        while "first step" not in done:
            part = child.answer()["done"]
            done[part] = time.perf_counter() - child.started
        child.process.communicate()
        found.append(done)
    seconds = sorted(done["first step"] for done in found[1:])
    print(f"\nstart to first step: {statistics.median(seconds):.2f} s ({seconds[0]:.2f}–{seconds[-1]:.2f}), after: "
          + ", ".join(f"{part} {statistics.median(d[part] for d in found[1:]):.2f} s" for part in found[0]), flush=True)


def checkpoints(options: argparse.Namespace, name: str) -> None:
    """Share of training time, at the loop's own number of steps between checkpoints."""
    told = ask(options, "checkpoints", windows=7)
    step = (told["whole"] - told["held"]) / told["steps"]
    held, written = (told[key] / told["saves"] / (told["usual"] * step) for key in ("held", "written"))
    print(f"\ncheckpoints every {told['usual']} steps: training waits {held:.2%} of its time; writing behind it takes "
          f"a processor for {written:.2%} (steps of {1000 * step:.0f} ms, {told['saves']} checkpoints)", flush=True)


def profile(options: argparse.Namespace, name: str) -> None:
    """Where the time of a step goes."""
    for what, label in (("profile", "SFT"), ("profile-grpo", "GRPO")):
        parts = ask(options, what, windows=4)
        print(f"\nprofile of a step of {label}:")
        print("\n".join(f"  {part:<22}{milliseconds:8.1f} ms" for part, milliseconds in parts.items()), flush=True)


def ask(options: argparse.Namespace, what: str, windows: int = 1) -> dict:
    """What a child alone says of a cost."""
    steps = 1 if what == "profile-grpo" else STEPS["sft"]
    child = arm(argparse.Namespace(**vars(options) | {"windows": windows}), "costs", what, steps)
    told = child.answer()
    child.process.communicate()
    return told


COSTS = {"memory": memory, "start": start, "checkpoints": checkpoints, "profile": profile}

if __name__ == "__main__":
    main()
