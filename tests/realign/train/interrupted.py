"""What test_resume.py trains, kills and resumes: a tiny model for each objective.

As a script it lives once for each line of standard input, a JSON list of the arguments of `main`, and answers
with that life's exit status. With `step N` it kills itself after step N, before that step's checkpoint; with
`save N`, in the middle of writing the Nth checkpoint of this life. Otherwise it trains to the end and says
what it came to.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import sys
from contextlib import contextmanager, redirect_stdout
from functools import partial
from itertools import count
from pathlib import Path

from realign.models import backend

backend.start()

import mlx.core as mx  # noqa: E402
import mlx_lm.models.llama  # noqa: E402  (once, not in every life)
import mlx_lm.models.qwen3  # noqa: E402, F401
import numpy as np  # noqa: E402
from mlx.utils import tree_flatten, tree_map  # noqa: E402

from realign.models import adapters, build, threads  # noqa: E402
from realign.models.adapters import Method  # noqa: E402
from realign.models.batches import batch_of  # noqa: E402
from realign.models.chat import Encoded  # noqa: E402
from realign.models.generate import Sampling  # noqa: E402
from realign.models.heads import ScalarModel  # noqa: E402
from realign.objectives import group, policy, preference, reward, sft  # noqa: E402
from realign.objectives.losses.policy import Grpo  # noqa: E402
from realign.objectives.losses.preference import Preference  # noqa: E402
from realign.train import checkpoint, loop  # noqa: E402
from realign.train.batches import RowBatches  # noqa: E402
from realign.train.rollouts import Rollouts  # noqa: E402
from realign.train.settings import Policy  # noqa: E402

CONFIG = {
    "model_type": "qwen3", "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32, "head_dim": 8,
    "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "vocab_size": 48,
    "rope_theta": 1e4, "max_position_embeddings": 64, "tie_word_embeddings": True,
}
# It can be packed, and one of its layers stays as it is.
WIDE = CONFIG | {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128,
                 "head_dim": 32}
ADAPTERS = {"lora": Method("lora", rank=4, dropout=0.3, layers=1), "qdora": Method("dora", rank=4, bits=4, group=32)}


def rows(n: int, seed: int) -> list[Encoded]:
    rng = np.random.default_rng(seed)
    return [Encoded(rng.integers(1, 48, k).tolist(), [0] + [1] * (k - 1)) for k in rng.integers(3, 20, n)]


def scalar(seed: int) -> ScalarModel:
    model = ScalarModel(build.create(CONFIG, seed))
    model.head.weight = mx.random.normal((1, 16), key=mx.random.key(seed)) * 0.1
    return model


def supervised():
    """SFT with noise in its loss, as dropout would bring, and validation."""
    def noisy(model, batch):
        total, count, stats = sft.loss(model, batch)
        return total * (0.5 + mx.random.uniform()), count, stats

    held_out = batch_of(rows(8, 1))
    settings = loop.Settings(1e-2, evaluate_every=5, checkpoint_every=3, log_every=2, patience=9)
    batches = RowBatches.of(rows(40, 0), batch_of, sft.weigh, 8, 4, 0, micro=3)
    return (build.create(CONFIG, 0), noisy, batches, settings,
            lambda model: {"objective": sft.loss(model, held_out)[0].item()})


def rewards():
    pairs = [(chosen, rejected, 0.0) for chosen, rejected in zip(rows(40, 2), rows(40, 3), strict=True)]
    settings = loop.Settings(1e-2, checkpoint_every=4)
    return scalar(0), reward.loss, RowBatches.of(pairs, reward.collate, reward.weigh, 8, 4, 0), settings, None


def on_policy(algorithm: str):
    epochs = 2 if algorithm == "ppo" else 1
    settings = Policy(
        seed=0, algorithm=algorithm, rollouts=6, prompts_per_rollout=8, minibatch=4, epochs=epochs, learning_rate=1e-2,
        warmup=0.05, kl_penalty=0.1, entropy_bonus=0.01, reward_scale=1.0, value_weight=0.5, clip=0.2, discount=0.99,
        improbable_penalty=0.0, gae_lambda=0.95, max_tokens=6)
    rng = np.random.default_rng(4)
    prompts = [rng.integers(1, 48, k).tolist() for k in rng.integers(1, 9, 12)]
    batches = Rollouts(
        scalar(0), build.create(CONFIG, 0), prompts,
        lambda found: np.array([sum(t < 20 for t in r.tokens) / len(r.tokens) for r in found], np.float32),
        Sampling(6, stop_tokens=(3,)), settings, 0, policy.critic_estimate)
    how = loop.Settings(1e-2, checkpoint_every=epochs * batches.steps_per_rollout, log_every=1)
    return batches.model, policy.loss_of(settings), batches, how, None


def direct():
    pairs = list(zip(rows(40, 2), rows(40, 3), strict=True))
    reference = preference.reference_logprobs(build.create(CONFIG, 1), pairs)
    dpo = preference.objective(Preference())
    batches = RowBatches.of(preference.with_reference(pairs, reference), dpo.collate, dpo.weigh, 8, 4, 0, micro=3)
    return (build.create(CONFIG, 0), dpo.loss, batches,
            loop.Settings(1e-2, checkpoint_every=3, log_every=1), None)


def grouped():
    settings = group.GroupSettings(6, 3, 4, 6, 2, "std", "sampled", Grpo())
    rng = np.random.default_rng(4)
    prompts = [rng.integers(1, 48, k).tolist() for k in rng.integers(1, 9, 12)]
    batches = Rollouts(
        build.create(CONFIG, 0), build.create(CONFIG, 1), prompts,
        lambda found: np.array([sum(t < 20 for t in r.tokens) / len(r.tokens) for r in found], np.float32),
        Sampling(6, stop_tokens=(3,)), settings, 0, group.estimate)
    how = loop.Settings(1e-2, checkpoint_every=4, log_every=1)
    return batches.model, group.loss_of(settings), batches, how, None


def adapted(method: str):
    model = build.create(WIDE, 0)
    adapters.prepare(model, WIDE, ADAPTERS[method], 7)
    batches = RowBatches.of(rows(24, 0), batch_of, sft.weigh, 8, 3, 0)
    return model, sft.loss, batches, loop.Settings(1e-2, checkpoint_every=3, log_every=1), None


OBJECTIVES = {"sft": supervised, "reward": rewards, "dpo": direct, "grpo": grouped,
              "ppo": lambda: on_policy("ppo"), "a2c": lambda: on_policy("a2c"),
              **{method: partial(adapted, method) for method in ADAPTERS}}


def forgets(change):
    """A fault: what a checkpoint gives back is changed by `change(arrays, progress)`."""
    def plant() -> None:
        restore = checkpoint.restore

        def forgetful(folder: Path, run_id: str):
            found = restore(folder, run_id)
            if found is not None:
                change(*found)
            return found

        checkpoint.restore = forgetful
    return plant


def own_random() -> None:
    """Random numbers go on from one step to the next, and begin anew with the process."""
    mx.random.seed(0)
    mx.random.seed = lambda seed: None


def first_rows_first() -> None:
    """Data is taken in order from where this process began."""
    def from_the_start(ask, places):
        return lambda self, step: ask(self, next(places))

    for kind in (RowBatches, Rollouts):
        kind.micro_batches = from_the_start(kind.micro_batches, count())


def in_place() -> None:
    """A checkpoint is written over the one before."""
    @contextmanager
    def same_folder(path: Path):
        path.mkdir(parents=True, exist_ok=True)
        yield path

    checkpoint.atomic_directory = same_folder


FAULTS = {
    "optimizer": forgets(lambda arrays, _: arrays.update(
        optimizer=tree_map(mx.zeros_like, arrays["optimizer"]))),
    "critic": forgets(lambda arrays, _: arrays["model"].pop("head")),
    "best": forgets(lambda arrays, _: arrays.pop("best")),
    "history": forgets(lambda _, progress: progress.history.clear()),
    "random": own_random, "order": first_rows_first, "in_place": in_place,
}


def digest(tree) -> str:
    """Hash of all arrays of a tree, by name."""
    found = hashlib.sha256()
    for name, value in sorted(tree_flatten(tree)):
        array = np.array(value)
        found.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


class Noted:
    """Batches that leave a line with the step and the hash of what was trained on in a file, each time."""

    def __init__(self, batches, path: str):
        self.batches, self.path, self.figures = batches, path, batches.figures

    def __len__(self) -> int:
        return len(self.batches)

    def micro_batches(self, step: int) -> list[dict]:
        made = self.batches.micro_batches(step)
        with open(self.path, "a") as file:
            file.write(f"{step} {digest(made)}\n")
        return made


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_save(nth: int) -> None:
    """Arrange for death when half of the `nth` checkpoint is on disk."""
    write, written = checkpoint.write_bytes, []

    def interrupted(path: Path, content: memoryview) -> None:
        written.append(path)
        if len(written) == nth:
            write(path, content[:len(content) // 2])
            die()
        write(path, content)

    checkpoint.write_bytes = interrupted


def main(objective: str, folder: str, how: str = "", at: str = "0", fault: str = "") -> None:
    """One life. At the end it prints the hashes of all weights (the critic's too), of the optimiser and of
    the random state, and the history; `FOLDER.batches` has the hash of every batch, those of rollouts too."""
    if backend.start().device == "cpu":
        threads.use(2)  # here, since the threads of a stream do not come along with a fork
    if fault:
        FAULTS[fault]()
    if how == "save":
        die_at_save(int(at))
    optimizers, adamw = [], loop.adamw
    loop.adamw = lambda *given: optimizers.append(adamw(*given)) or optimizers[-1]
    model, loss, batches, settings, validate = OBJECTIVES[objective]()

    def bar(step: int, *_) -> None:
        if how == "step" and step == int(at):
            die()

    state = loop.train(model, loss, Noted(batches, f"{folder}.batches"), settings, scratch=Path(folder),
                       run_id=objective, validate=validate, progress_bar=bar)
    print(json.dumps({"weights": digest(model.parameters()), "optimizer": digest(optimizers[-1].state),
                      "random": digest(mx.random.state), "history": state.history, "best_step": state.best_step,
                      "trained": sorted(name for name, _ in tree_flatten(model.trainable_parameters()))}))


def life(objective: str, folder: str, *rest: str) -> None:
    """`main`; what it prints lands in `FOLDER.said`."""
    with open(f"{folder}.said", "w") as said, redirect_stdout(said):
        main(objective, folder, *rest)


def serve() -> None:
    """A life is a fork of this process, which has imported everything and computed nothing: MLX starts its
    threads with the first computation. A GPU's driver may not outlive a fork: there a life starts anew."""
    forks = sys.platform == "linux" and backend.start().device == "cpu"
    context = multiprocessing.get_context("fork" if forks else "spawn")
    for line in sys.stdin:
        process = context.Process(target=life, args=json.loads(line))
        process.start()
        process.join()
        print(process.exitcode, flush=True)


if __name__ == "__main__":
    serve()
