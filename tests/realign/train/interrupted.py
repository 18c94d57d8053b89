"""Trains one tiny model for an objective, for test_resume.py: `interrupted.py OBJECTIVE FOLDER [step N | save N]`.

With `step N` it kills itself after step N, before that step's checkpoint; with `save N`, in the middle of writing the
Nth checkpoint of this process. Otherwise it trains to the end and prints the hash of the weights and the history.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from realign.models import backend

backend.start()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402

from realign.evaluate.generate import Sampling  # noqa: E402
from realign.models import build  # noqa: E402
from realign.models.chat import Encoded  # noqa: E402
from realign.models.heads import ScalarModel  # noqa: E402
from realign.train import checkpoint, group, loop, policy, preference, reward, sft  # noqa: E402
from realign.train.losses.policy import Grpo  # noqa: E402
from realign.train.losses.preference import Preference  # noqa: E402

CONFIG = {
    "model_type": "qwen3", "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "head_dim": 8,
    "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "vocab_size": 48, "rope_theta": 1e4,
    "max_position_embeddings": 64, "tie_word_embeddings": True,
}


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

    held_out = sft.batch_of(rows(8, 1), 0)
    settings = loop.Settings(1e-2, evaluate_every=5, checkpoint_every=3, log_every=2, patience=9)
    return (build.create(CONFIG, 0), noisy, sft.SftBatches.of(rows(40, 0), 8, 4, 0, 0, micro=3), settings,
            lambda model: {"objective": sft.loss(model, held_out)[0].item()})


def rewards():
    pairs = list(zip(rows(40, 2), rows(40, 3), strict=True))
    settings = loop.Settings(1e-2, checkpoint_every=4)
    return scalar(0), reward.loss, reward.PairBatches.of(pairs, 8, 4, 0, 0), settings, None


def on_policy(algorithm: str):
    settings = policy.PolicySettings(algorithm, 6, 8, 4, 2 if algorithm == "ppo" else 1, 0.1, 0.01, 1.0, 0.5, 0.2, 0.99, 0.95)
    rng = np.random.default_rng(4)
    prompts = [rng.integers(1, 48, k).tolist() for k in rng.integers(1, 9, 12)]
    batches = policy.Rollouts(
        policy.ActorCritic(build.create(CONFIG, 0), scalar(1)), build.create(CONFIG, 0), prompts,
        lambda found: np.array([sum(t < 20 for t in r.tokens) / len(r.tokens) for r in found], np.float32),
        Sampling(6, stop_tokens=(3,)), settings, 0, 0)
    every = 2 * batches.steps_per_rollout if algorithm == "ppo" else batches.steps_per_rollout
    return batches.model, policy.objective(settings), batches, loop.Settings(1e-2, checkpoint_every=every, log_every=1), None


def direct():
    pairs = list(zip(rows(40, 2), rows(40, 3), strict=True))
    reference = preference.reference_logprobs(build.create(CONFIG, 1), pairs, 0)
    batches = preference.PreferenceBatches.of(pairs, reference, 8, 4, 0, 0, micro=3)
    return (build.create(CONFIG, 0), preference.objective(Preference()), batches,
            loop.Settings(1e-2, checkpoint_every=3, log_every=1), None)


def grouped():
    settings = group.GroupSettings(6, 3, 4, 6, 2, "std", "sampled", Grpo())
    rng = np.random.default_rng(4)
    prompts = [rng.integers(1, 48, k).tolist() for k in rng.integers(1, 9, 12)]
    batches = policy.Rollouts(
        build.create(CONFIG, 0), build.create(CONFIG, 1), prompts,
        lambda found: np.array([sum(t < 20 for t in r.tokens) / len(r.tokens) for r in found], np.float32),
        Sampling(6, stop_tokens=(3,)), settings, 0, 0, group.estimate)
    how = loop.Settings(1e-2, checkpoint_every=4, log_every=1)
    return batches.model, group.objective(settings), batches, how, None


OBJECTIVES = {"sft": supervised, "reward": rewards, "dpo": direct, "grpo": grouped,
              "ppo": lambda: on_policy("ppo"), "a2c": lambda: on_policy("a2c")}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(objective: str, folder: str, how: str = "", at: str = "0") -> None:
    model, loss, batches, settings, validate = OBJECTIVES[objective]()
    write, written = checkpoint.write_bytes, []

    def interrupted(path: Path, content: memoryview) -> None:
        write(path, content)
        written.append(path)
        if len(written) == int(at):
            path.write_bytes(path.read_bytes()[:1000])
            die()

    if how == "save":
        checkpoint.write_bytes = interrupted
    state = loop.train(model, loss, batches, settings, scratch=Path(folder), mark=objective, validate=validate,
                       progress_bar=lambda step, *_: die() if how == "step" and step == int(at) else None)
    weights = sorted(tree_flatten(model.parameters()))
    digest = hashlib.sha256(b"".join(np.array(value).tobytes() for _, value in weights)).hexdigest()
    print(json.dumps({"weights": digest, "history": state.history, "best_step": state.best_step}))


if __name__ == "__main__":
    main(*sys.argv[1:])
