"""What training costs beside its steps: memory, starting, checkpoints; and where the time of a step goes."""

import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks import ours
from benchmarks.windows import Windows
from benchmarks.workload import BATCH, BETA, Workload

PARTS = {"data": "batch: padding", "layers": "forward: layers", "whole": "forward: whole",
         "both": "forward and backward", "rest": "clipping and AdamW"}


def run(tool: str, what: str, folder: Path, data: Workload, windows: Windows) -> None:
    """Say the figures of one cost."""
    if what == "start":
        return start_up(data, windows)
    COSTS[what](ours.load(folder, data, windows))


def memory_sft(start: ours.Start) -> None:
    """Both sides of the pairs of every step as rows."""
    from realign.objectives import sft

    pairs = ours.encoded_pairs(start.data)
    rows = [chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs]
    steps = [np.concatenate([step, step + len(pairs)]) for step in pair_steps(start)]
    peak(start, lambda: (sft.loss, ours.batches_of(sft.SFT, rows, steps, 2 * BATCH)))


def memory_dpo(start: ours.Start) -> None:
    """The pairs of every step, the reference's log-probabilities made first."""
    from realign.objectives import preference
    from realign.objectives.losses.preference import Preference

    objective = preference.objective(Preference(beta=BETA))

    def made():
        pairs = ours.encoded_pairs(start.data)
        reference = preference.reference_logprobs(start.model, pairs)
        rows = preference.with_reference(pairs, reference)
        return objective.loss, ours.batches_of(objective, rows, pair_steps(start))

    peak(start, made)


def pair_steps(start: ours.Start) -> list[np.ndarray]:
    return [np.array(step) for step in start.data.plan["pairs"][0][:3]]


def peak(start: ours.Start, made) -> None:
    """Peak memory in bytes of three steps and of what comes before them."""
    import mlx.core as mx

    from realign.train import loop

    mx.clear_cache()
    mx.reset_peak_memory()
    loss, batches = made()
    loop.train(start.model, loss, batches, ours.settings("dpo"), scratch=Path("unused"), run_id="")
    start.windows.say(bytes=mx.get_peak_memory())


def start_up(data: Workload, windows: Windows) -> None:
    """The demo's base model: loaded, 512 chats encoded and planned, one step taken; a line after each."""
    from realign.models import backend

    backend.start()
    from realign.models import build, chat
    from realign.objectives import sft
    from realign.train import loop
    from realign.train.batches import RowBatches

    windows.say(done="imports")
    model, tokenizer, _ = build.load(str(Path(__file__).parents[1] / "data" / "base"))
    windows.say(done="model")
    rows = [row for row in chat.encode(tokenizer, data.chats) if len(row.tokens) <= 512]
    batches = RowBatches.of(rows, sft.SFT.collate, sft.weigh, BATCH, 1, 0)
    windows.say(done=f"{len(rows)} chats")

    class First(Exception):
        pass

    def first(*_) -> None:
        raise First

    try:
        loop.train(model, sft.loss, batches, ours.settings("sft"), scratch=Path("unused"), run_id="",
                   progress_bar=first)
    except First:
        windows.say(done="first step")


def checkpoints(start: ours.Start) -> None:
    """Seconds that checkpoints hold training up, seconds of a processor that writing them takes behind it, and of the
    whole; a checkpoint every 10 steps, the best weights in it as where validation runs."""
    from realign.objectives import sft
    from realign.train import checkpoint, loop

    spent = {"held": 0.0, "written": 0.0, "saves": 0}

    class Timed(checkpoint.Writer):
        def save(self, *arguments) -> None:
            started = time.perf_counter()
            super().save(*arguments)
            spent["held"] += time.perf_counter() - started
            spent["saves"] += 1

        def __exit__(self, *arguments) -> None:
            started = time.perf_counter()
            super().__exit__(*arguments)
            spent["held"] += time.perf_counter() - started

    def write(*arguments, own=checkpoint.write) -> None:
        started = time.thread_time()
        own(*arguments)
        spent["written"] += time.thread_time() - started

    lower = iter(range(0, -10**6, -1))
    batches = ours.batches_of(sft.SFT, ours.encoded_rows(start.data), ours.all_steps(start.windows))
    with (tempfile.TemporaryDirectory() as folder, mock.patch.object(checkpoint, "Writer", Timed),
          mock.patch.object(checkpoint, "write", write)):
        made = ours.settings("sft", checkpoint_every=10, evaluate_every=10)
        started = time.perf_counter()
        loop.train(start.model, sft.loss, batches, made, scratch=Path(folder) / "run", run_id="",
                   validate=lambda model: {"objective": float(next(lower))})
        whole = time.perf_counter() - started
    start.windows.say(**spent, whole=whole, steps=len(batches), usual=loop.Settings(0.0).checkpoint_every)


def profile(start: ours.Start) -> None:
    """Median milliseconds of each part of an SFT step, evaluated one after the other."""
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim
    from mlx.utils import tree_map

    from realign.models.hidden import hidden_states
    from realign.objectives import sft
    from realign.train import loop

    batches = ours.batches_of(sft.SFT, ours.encoded_rows(start.data), ours.all_steps(start.windows))
    model, made, times = start.model, ours.settings("sft"), {}
    optimizer = loop.adamw(model, made)
    value_and_grad = nn.value_and_grad(model, sft.loss)

    def timed(name: str, work):
        started = start.windows.clock()
        result = work()
        mx.eval(result)
        times.setdefault(name, []).append(start.windows.clock() - started)
        return result

    def update(grads, count):
        grads, norm = optim.clip_grad_norm(tree_map(lambda g: g * (1.0 / count), grads), made.clip)
        optimizer.update(model, grads)
        return model.parameters(), optimizer.state, norm

    for step in range(len(batches)):
        batch = timed("data", lambda step=step: batches.micro_batches(step)[0])
        timed("layers", lambda batch=batch: hidden_states(model, batch["tokens"][:, :-1]))
        timed("whole", lambda batch=batch: sft.loss(model, batch))
        (_, count, _), grads = timed("both", lambda batch=batch: value_and_grad(model, batch))
        timed("rest", lambda grads=grads, count=count: update(grads, count))
    warm = len(batches) // 4
    start.windows.say(**{PARTS[name]: 1000 * statistics.median(found[warm:]) for name, found in times.items()})


def profile_grpo(start: ours.Start) -> None:
    """Milliseconds of each part of a GRPO step: what is not sampling, scoring or the reference is the update."""
    from realign.train import rollouts
    from realign.train.rollouts import Rollouts

    times: dict[str, float] = {}

    def timed(name: str, own):
        def call(*arguments, **more):
            started = start.windows.clock()
            result = own(*arguments, **more)
            times[name] = times.get(name, 0.0) + start.windows.clock() - started
            return result

        return call

    with (mock.patch.object(rollouts, "generate", timed("sampling", rollouts.generate)),
          mock.patch.object(Rollouts, "_rewards", timed("rewards", Rollouts._rewards)),
          mock.patch.object(Rollouts, "_reference", timed("reference", Rollouts._reference)),
          mock.patch.object(start.windows, "begin", lambda step: None),
          mock.patch.object(start.windows, "end", lambda done: None),
          mock.patch.object(start.windows, "say", lambda **_: None)):
        started = start.windows.clock()
        ours.grpo(start, {})
        whole = start.windows.clock() - started
    steps = len(start.windows.all_steps)
    times["update and the rest"] = whole - sum(times.values())
    start.windows.say(**{name: 1000 * seconds / steps for name, seconds in times.items()})


COSTS = {"memory-sft": memory_sft, "memory-dpo": memory_dpo, "checkpoints": checkpoints, "profile": profile,
         "profile-grpo": profile_grpo}
