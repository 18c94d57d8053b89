"""Training throughput: this project's loop against mlx-lm's trainer, full fine-tuning, in one run.

Same Llama (1 million parameters, random), same rows in every step (16 of at most 256 tokens), same AdamW;
every weight is trained and every token but a row's first is a target on both sides (mlx-lm's default, without
--mask-prompt). Each side cuts and pads its batches its own way, and keeps what it does by itself: gradient
clipping here, compiled steps there. A third arm is mlx-lm's trainer with the BLAS of the stock MLX wheel.

Run: python -m benchmarks.train [--windows 6] [--steps 25] [--profile]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from realign.models import backend

BATCH, LONGEST, RATE = 16, 256, 1e-3
HELD_OUT = 64  # rows
CONFIG = {
    "model_type": "llama", "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 4, "intermediate_size": 384, "vocab_size": 1024, "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0, "max_position_embeddings": 1024, "hidden_act": "silu", "tie_word_embeddings": True,
    "attention_bias": False, "mlp_bias": False,
}


def main() -> None:
    options = arguments()
    if options.arm:
        return run_arm(options)
    backend.start()  # the children inherit its environment variables: threads that wait do not spin
    with tempfile.TemporaryDirectory() as folder:
        options.rows = Path(folder) / "rows.json"
        options.rows.write_text(json.dumps(make_rows(options.steps * BATCH + HELD_OUT, Path(folder))))
        if options.profile:
            options.arm = "profile"
            return run_arm(options)
        compare(options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=6, help="of each arm; the first is not counted")
    parser.add_argument("--steps", type=int, default=25, help="steps a window: one pass over the rows")
    parser.add_argument("--stock-steps", type=int, default=3, help="with the stock BLAS; 0: leave it out")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for a machine that is busy")
    parser.add_argument("--profile", action="store_true", help="where this project's step spends its time")
    parser.add_argument("--arm", choices=[*ARMS], help=argparse.SUPPRESS)  # a child process
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_rows(count: int, folder: Path) -> list[list[int]]:
    """Token ids of chats from the demo's world, through a tokenizer of 1,024 tokens counted on them."""
    from mlx_lm.utils import load_tokenizer

    from realign import paths
    from realign.models import chat, tokenizer
    from stages.demo import corpus

    chats = [corpus.document(0, corpus.FIRST_DOCUMENTS + i, paths.TABLES) for i in range(count)]
    texts = (f" {message['content']}" for messages in chats for message in messages)
    trained = tokenizer.train(texts, CONFIG["vocab_size"], subwords=96)
    tokenizer.save(trained, folder, CONFIG["max_position_embeddings"])
    (folder / "config.json").write_text("{}")
    return [row.tokens[:LONGEST] for row in chat.encode(load_tokenizer(folder), chats)]


# The parent: one child process an arm, since a BLAS is chosen once in a process. They take turns.


class Arm:
    """A child that trains one window of steps whenever it is told to, and sleeps in between."""

    def __init__(self, name: str, steps: int, options: argparse.Namespace):
        self.name, self.steps, self.rates = name, steps, []
        command = [sys.executable, "-m", "benchmarks.train", "--arm", name, "--rows", str(options.rows),
                   "--windows", str(options.windows), "--steps", str(steps)]
        if options.cpu_time:
            command.append("--cpu-time")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.before = self.answer()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the arm {self.name} ended with status {self.process.wait()}")
        return json.loads(line)

    def window(self) -> None:
        print(file=self.process.stdin, flush=True)
        found = self.answer()
        self.rates.append(found["tokens"] / found["seconds"])

    def end(self) -> None:
        self.after = self.answer()
        self.process.communicate()


def compare(options: argparse.Namespace) -> None:
    arms = [Arm("realign", options.steps, options), Arm("mlx-lm", options.steps, options)]
    if options.stock_steps:
        arms.append(Arm("mlx-lm-stock", min(options.stock_steps, options.steps), options))
    for _ in range(options.windows):
        for arm in arms:
            arm.window()
    for arm in arms:
        arm.end()
    print(f"medians of {options.windows - 1} windows, {clock_name(options)}")
    print("arm           target tok/s  lowest–highest  GFLOP/s  loss a token   steps")
    for arm in arms:
        rates = arm.rates[1:]  # the first window warms up
        print(f"{arm.name:<13} {statistics.median(rates):>12.0f} {min(rates):>7.0f}–{max(rates):<7.0f}"
              f"{arm.before['gflops']:>8.0f}  {arm.before['loss']:>5.3f} → {arm.after['loss']:.3f}"
              f" {arm.steps * options.windows:>6}")
    for other in arms[1:]:
        ratios = [a / b for a, b in zip(arms[0].rates[1:], other.rates[1:], strict=True)]
        ratio = statistics.median(arms[0].rates[1:]) / statistics.median(other.rates[1:])
        print(f"realign / {other.name}: {ratio:.2f} (window by window {min(ratios):.2f}–{max(ratios):.2f})")


def clock_name(options: argparse.Namespace) -> str:
    return "processor time" if options.cpu_time else "wall-clock"


# The children.


class Windows:
    """The clock of a child: waits for its turn before every window, and says what the window took."""

    def __init__(self, options: argparse.Namespace, plan: list, rows: list[list[int]], stdout):
        self.clock = time.process_time if options.cpu_time else time.perf_counter
        self.steps, self.plan, self.rows, self.stdout = options.steps, plan, rows, stdout

    def begin(self, step: int) -> None:
        if step % self.steps == 0:
            sys.stdin.readline()
            self.started = self.clock()

    def end(self, done: int) -> None:
        if done % self.steps == 0:
            tokens = sum(len(self.rows[i]) - 1 for step in self.plan[done - self.steps:done] for i in step)
            self.say(seconds=self.clock() - self.started, tokens=tokens)

    def say(self, **figures: float) -> None:
        print(json.dumps(figures), file=self.stdout, flush=True)


def run_arm(options: argparse.Namespace) -> None:
    stdout = os.fdopen(os.dup(1), "w")
    if options.arm != "profile":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # mlx-lm shows its progress there
    if options.arm in ("realign", "profile"):
        backend.start()
    elif options.arm == "mlx-lm" and sys.platform == "linux":
        backend._load_openblas()  # the BLAS alone: none of this project's functions, and compilation stays on
    from realign.models import build
    from realign.train.batches import plan

    rows = json.loads(options.rows.read_text())
    rows, held_out = rows[:-HELD_OUT], rows[-HELD_OUT:]
    # A pass over the rows is a window of the arms that take all its steps, of the same widths every time.
    passes = plan([len(r) for r in rows], BATCH, options.windows, seed=0)
    length = len(passes) // options.windows
    steps = [s for w in range(options.windows) for s in passes[w * length:w * length + options.steps]]
    windows = Windows(options, steps, rows, stdout)
    model = build.create(CONFIG, seed=0)
    if options.arm != "profile":
        windows.say(gflops=gflops(), loss=heldout_loss(model, held_out))
    ARMS[options.arm](model, rows, windows)
    if options.arm != "profile":
        windows.say(loss=heldout_loss(model, held_out))


def train_realign(model, rows: list[list[int]], windows: Windows) -> None:
    from realign.models.chat import Encoded
    from realign.train import loop, sft

    class Batches(sft.SftBatches):
        def micro_batches(self, step: int) -> list:
            windows.begin(step)
            return super().micro_batches(step)

    encoded = [Encoded(r, [1] * len(r)) for r in rows]
    settings = loop.Settings(RATE, warmup=0.0, final=1.0, checkpoint_every=10**9)  # a constant rate
    batches = Batches(encoded, windows.plan, 0, BATCH)
    loop.train(model, sft.loss, batches, settings, scratch=Path("unused"), mark="",
               progress_bar=lambda done, steps, figures: windows.end(done))


def train_mlx_lm(model, rows: list[list[int]], windows: Windows) -> None:
    import mlx.optimizers as optim
    from mlx_lm.tuner import trainer
    from mlx_lm.tuner.callbacks import TrainingCallback

    class Report(TrainingCallback):
        def on_train_loss_report(self, info: dict) -> None:
            windows.end(info["iteration"])

    def batches(dataset, batch_size, max_seq_length, **_):
        for step, chosen in enumerate(windows.plan):
            windows.begin(step)
            # Its own batching, given the rows of this step.
            yield from trainer.iterate_batches([(rows[i], 0) for i in chosen], batch_size, max_seq_length)

    optimizer = optim.AdamW(RATE, betas=[0.9, 0.95], bias_correction=True)  # the loop's own settings
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        settings = trainer.TrainingArgs(
            batch_size=BATCH, iters=len(windows.plan), steps_per_report=windows.steps, steps_per_save=10**9,
            max_seq_length=LONGEST, adapter_file=f"{folder}/adapters.safetensors")
        trainer.train(model, optimizer, rows, args=settings, iterate_batches=batches,
                      training_callback=report)


def heldout_loss(model, rows: list[list[int]]) -> float:
    """Mean nats a token, with MLX's own functions on all arms."""
    import mlx.core as mx
    import mlx.nn as nn

    model.eval()
    total = 0.0
    for row in rows:
        tokens = mx.array([row])
        total += nn.losses.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:], reduction="sum").item()
    return total / sum(len(row) - 1 for row in rows)


def gflops() -> float:
    """Speed of a product of two 1024 × 1024 float32 matrices, best of three: it shows the BLAS."""
    import mlx.core as mx

    a = mx.random.normal((1024, 1024), key=mx.random.key(0))
    mx.eval(a)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        mx.eval(a @ a)
        seconds.append(time.perf_counter() - started)
    return 2 * 1024**3 / min(seconds) / 1e9


def profile(model, rows: list[list[int]], windows: Windows) -> None:
    """Median milliseconds a step of each part of `loop._step`, evaluated one after the other."""
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim
    from mlx.utils import tree_map

    from realign.models.chat import Encoded
    from realign.train import sft

    batches = sft.SftBatches([Encoded(r, [1] * len(r)) for r in rows], windows.plan, 0, BATCH)
    optimizer = optim.AdamW(RATE, betas=[0.9, 0.95], bias_correction=True)
    optimizer.init(model.trainable_parameters())
    value_and_grad = nn.value_and_grad(model, sft.loss)
    times: dict[str, list[float]] = {}

    def timed(name: str, made):
        started = windows.clock()
        result = made()
        mx.eval(result)
        times.setdefault(name, []).append(windows.clock() - started)
        return result

    def update(grads, count):
        grads, norm = optim.clip_grad_norm(tree_map(lambda g: g * (1.0 / count), grads), 1.0)
        optimizer.update(model, grads)
        return model.parameters(), optimizer.state, norm

    for step in range(len(windows.plan)):
        batch = timed("data", lambda step=step: batches.micro_batches(step)[0])
        hidden = timed("forward: layers", lambda batch=batch: model.model(batch["tokens"][:, :-1]))
        timed("forward: whole", lambda batch=batch: sft.loss(model, batch))
        (_, count, _), grads = timed("forward and backward", lambda batch=batch: value_and_grad(model, batch))
        timed("clipping and AdamW", lambda grads=grads, count=count: update(grads, count))
        del hidden
    for name, found in times.items():
        found = found[len(found) // windows.steps and windows.steps:]  # without the first window
        print(f"{name:<22} {1000 * statistics.median(found):8.1f} ms a step")


ARMS = {"realign": train_realign, "mlx-lm": train_mlx_lm, "mlx-lm-stock": train_mlx_lm, "profile": profile}

if __name__ == "__main__":
    main()
