"""What test_distributed.py trains in several processes: `together.py FOLDER SCENARIO…` runs each, one after the other.

Every process leaves `FOLDER/<scenario>.<rank>.npz` with its weights and `.json` with what else it saw. Its scratch is
its own, as on machines that share no disk.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from realign.models import backend

backend.start()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
from mlx.utils import tree_flatten, tree_map  # noqa: E402

from realign.errors import UserError  # noqa: E402
from realign.models import build  # noqa: E402
from realign.models.batches import batch_of  # noqa: E402
from realign.models.chat import Encoded  # noqa: E402
from realign.models.generate import Sampling  # noqa: E402
from realign.models.heads import ScalarModel  # noqa: E402
from realign.objectives import group, policy, preference, reward, sft  # noqa: E402
from realign.objectives.losses.policy import Grpo  # noqa: E402
from realign.objectives.losses.preference import Preference  # noqa: E402
from realign.train import distributed, loop, rollouts  # noqa: E402
from realign.train.batches import RowBatches  # noqa: E402
from realign.train.settings import Policy  # noqa: E402

CONFIG = {
    "model_type": "qwen3", "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "head_dim": 8,
    "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "vocab_size": 48, "rope_theta": 1e4,
    "max_position_embeddings": 64, "tie_word_embeddings": True,
}
SETTINGS = loop.Settings(1e-3, warmup=0.0, log_every=1, checkpoint_every=2)
ADAMW = loop.adamw


def adamw(model, settings):
    """The loop's optimiser with a larger epsilon. With its own, a gradient that is 0 but for rounding, as that of a
    reward head's bias, becomes a whole step: another micro-batch size in one process then moves weights by 1e-4."""
    optimizer = ADAMW(model, settings)
    optimizer.eps = 1e-3
    return optimizer


class Killed(Exception):
    """In place of a death that takes the process."""


def rows(n: int, seed: int) -> list[Encoded]:
    """Rows with few or many targets, so that means over rows, ranks and tokens all differ."""
    rng = np.random.default_rng(seed)
    return [Encoded(rng.integers(1, 48, k).tolist(), [0, 1, *rng.integers(0, 2, k - 2).tolist()])
            for k in rng.integers(3, 24, n)]


def supervised(steps: int = 5, batch: int = 8):
    batches = RowBatches.of(rows(steps * batch, 0), batch_of, sft.weigh, batch, 1, 0, micro=3)
    return build.create(CONFIG, 0), sft.loss, batches, SETTINGS, {}


def own_optimizer():
    """Trained by the loop's own optimiser, slowly."""
    loop.adamw = ADAMW
    return *supervised()[:3], replace(SETTINGS, learning_rate=1e-5), {}


def one_row():
    return supervised(batch=1)


def rewards():
    model = ScalarModel(build.create(CONFIG, 0))
    model.head.weight = mx.random.normal((1, 16), key=mx.random.key(0)) * 0.1
    pairs = [(chosen, rejected, 0.0) for chosen, rejected in zip(rows(11, 2), rows(11, 3), strict=True)]
    return model, reward.loss, RowBatches.of(pairs, reward.collate, reward.weigh, 5, 1, 0), SETTINGS, {}


def direct():
    pairs = list(zip(rows(11, 2), rows(11, 3), strict=True))
    reference = preference.reference_logprobs(build.create(CONFIG, 1), pairs)
    dpo = preference.objective(Preference())
    batches = RowBatches.of(preference.with_reference(pairs, reference), dpo.collate, dpo.weigh, 5, 1, 0, micro=2)
    return build.create(CONFIG, 0), dpo.loss, batches, SETTINGS, {}


def earned(found: list[Encoded]) -> np.ndarray:
    return np.array([sum(t < 20 for t in row.tokens) / len(row.tokens) for row in found], np.float32)


def rolled_out(model, how, objective):
    """Three rollouts of five prompts, two passes each, that stop at one of several tokens."""
    rng = np.random.default_rng(4)
    prompts = [rng.integers(1, 48, k).tolist() for k in rng.integers(1, 9, 12)]
    made = rollouts.Rollouts(model, build.create(CONFIG, 1), prompts, earned, Sampling(6, stop_tokens=(3, 4, 5, 6)),
                             how, 0, objective.estimate)
    return model, objective.loss(how), made, replace(SETTINGS, checkpoint_every=made.steps_per_rollout), {}


def criticised():
    model = ScalarModel(build.create(CONFIG, 0))
    model.head.weight = mx.random.normal((1, 16), key=mx.random.key(0)) * 0.1
    how = Policy(seed=0, algorithm="ppo", rollouts=3, prompts_per_rollout=5, minibatch=2, epochs=2, learning_rate=1e-3,
                 warmup=0.0, kl_penalty=0.1, entropy_bonus=0.01, reward_scale=1.0, value_weight=0.5, clip=0.2,
                 improbable_penalty=0.0, discount=1.0, gae_lambda=0.95, max_tokens=6)
    return rolled_out(model, how, policy.WITH_CRITIC)


def grouped():
    return rolled_out(build.create(CONFIG, 0), group.GroupSettings(3, 5, 3, 6, 2, "std", "sampled", Grpo()),
                      group.BY_GROUP)


def forgotten_place():
    """The planted fault: each process samples as if its prompts were the first."""
    generate = rollouts.generate
    rollouts.generate = lambda *args, first, **more: generate(*args, first=0, **more)
    return grouped()


def mean_of_means():
    """The planted fault: each process divides by its own weight, and the means are averaged."""
    def total(self, model, grads, weight, sums):
        grads = tree_map(lambda g: g / weight, grads)
        sums = {name: s / weight for name, s in sums.items()}
        grads = tree_map(lambda g: mx.distributed.all_sum(g) / self.size, grads)
        return grads, mx.array(1.0), sums

    distributed.Group.total = total
    return supervised()


def other_start():
    """Every process begins with other weights."""
    return build.create(CONFIG, 10 * distributed.current().rank), *supervised()[1:]


def broken_row():
    """A loss that is infinite in one process alone, the second, at the third step."""
    model, loss, batches, settings, rest = supervised()
    last = int(batches.steps[2][-1])
    marked = [replace_first(r, 47 if i == last else 1) for i, r in enumerate(batches.rows)]

    def breaking(model, batch):
        total, count, stats = loss(model, batch)
        return mx.where((batch["tokens"][:, 0] == 47).any(), mx.array(float("inf")), total), count, stats

    return model, breaking, replace(batches, rows=marked), settings, rest


def replace_first(row: Encoded, token: int) -> Encoded:
    return Encoded([token, *row.tokens[1:]], row.mask)


def own_condition():
    """A stop condition that looks at the whole batch's figures."""
    return *supervised()[:4], {"stop_when": lambda history: "enough" if len(history) == 4 else None}


def validated():
    """Better until step 2 as the first process sees it; what the second sees is not asked."""
    seen = iter([3.0, 2.0, 2.5, 2.6, 2.7] if distributed.current().rank == 0 else [])
    settings = replace(SETTINGS, evaluate_every=1, patience=2)
    return *supervised()[:3], settings, {"validate": lambda model: {"objective": next(seen)}}


def other_data():
    rest = supervised()
    return *rest[:4], {"run_id": f"data {distributed.current().rank}"}


def undivided():
    class Rollouts:
        def __len__(self):
            return 3

    return *supervised()[:2], Rollouts(), SETTINGS, {}


def interrupted():
    """Dies after step 5; `main` calls again."""
    return *supervised(steps=6)[:4], {"dies": 5}


SCENARIOS = {
    "sft": (supervised, "65.5,34.5"), "one_row": (one_row, "65.5,34.5"), "reward": (rewards, "65.5,34.5"),
    "dpo": (direct, "34.5,65.5"), "ppo": (criticised, "65.5,34.5"), "grpo": (grouped, "34.5,65.5"),
    "grpo_of_one": (grouped, "0,1"), "ppo_measured": (criticised, ""),
    "none_for_one": (supervised, "0,1"), "measured": (supervised, ""),
    "own_optimizer": (own_optimizer, "65.5,34.5"),
    "other_start": (other_start, "65.5,34.5"), "broken_row": (broken_row, "65.5,34.5"),
    "own_condition": (own_condition, "65.5,34.5"), "validated": (validated, "65.5,34.5"),
    "other_data": (other_data, "65.5,34.5"), "rollouts": (undivided, "65.5,34.5"),
    "unbroken": (lambda: supervised(steps=6), "60,40"), "interrupted": (interrupted, "60,40"),
    "wrong_shares": (supervised, "65.5,34.5,1"),
    "forgotten_place": (forgotten_place, "34.5,65.5"),  # the last two: they stay broken
    "mean_of_means": (mean_of_means, "65.5,34.5"),
}


def run(name: str, scratch: Path) -> tuple[dict, dict]:
    """`(weights, what else was seen)` of one scenario."""
    make, shares = SCENARIOS[name]
    loop.adamw = adamw
    os.environ["REALIGN_SHARES"] = shares
    model, loss, batches, settings, rest = make()
    dies, called = rest.pop("dies", None), []

    def bar(step, *_):
        called.append(step)
        if step == dies and len(called) == dies:
            raise Killed

    def attempt() -> dict:
        found = loop.train(model, loss, batches, settings, scratch=scratch, progress_bar=bar, **{"run_id": name} | rest)
        return {"history": found.history, "best_step": found.best_step, "shares": found.extra.get("shares")}

    try:
        saw = attempt()
    except (loop.Stopped, UserError) as error:
        saw = {"error": type(error).__name__, "says": str(error)}
    except Killed:
        os.environ["REALIGN_SHARES"] = "30,70"  # the run keeps those it began with
        model = make()[0]
        saw = attempt()
    saw |= {"steps": called, "checkpoint": (scratch / "progress.json").exists(), "backend": str(backend.start())}
    return dict(tree_flatten(model.trainable_parameters())), saw


def main(folder: str, *names: str) -> None:
    rank = distributed.current().rank
    for name in names:
        weights, saw = run(name, Path(folder) / f"machine{rank}" / name / "checkpoint")
        np.savez(f"{folder}/{name}.{rank}.npz", **{key: np.array(value) for key, value in weights.items()})
        Path(f"{folder}/{name}.{rank}.json").write_text(json.dumps(saw))


if __name__ == "__main__":
    main(*sys.argv[1:])
