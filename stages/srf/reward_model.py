"""Stage 3 of SRF: a reward model on the pairs, its best checkpoint by validation accuracy."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from realign import params, paths, stage
from stages import watched


@dataclass(frozen=True)
class RewardModel:
    """`srf.reward_model` in params.yaml."""

    seed: int
    trunk: str
    files: str
    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    weight_decay: float
    certainty: float
    evaluate_every: int
    checkpoint_every: int
    patience: int

    def __post_init__(self):
        watched.require(self.trunk, self.files, ("srf.reward_model.trunk", self.trunk), "srf.reward_model.files")


def run() -> str:
    from realign.lake.atomic import atomic_directory
    from realign.lake.schemas import PAIRS
    from realign.lake.table import read_rows
    from realign.metrics import exact
    from realign.models import build, heads
    from stages.srf import rewards

    p = params.load("srf.reward_model", RewardModel)
    trunk, tokenizer, config = build.load(p.trunk)
    rows = read_rows(paths.dataset("srf", "preference_data", "pairs"), PAIRS)
    model = heads.ScalarModel(trunk)
    state = fit(model, tokenizer, rows, p, build.fingerprint(p.trunk),
                paths.run_log("srf", "reward_model") / "checkpoint")
    with atomic_directory(paths.checkpoint("srf", "reward_model")) as folder:
        heads.save_scalar(model, config, build.folder(p.trunk), folder)
    pairs, pad = rewards.encode(tokenizer, rows), build.pad_token(tokenizer)
    accuracy = {split: rewards.accuracy(model, pairs[split], pad) for split in ("train", "validation")}
    metrics = {"train_accuracy": accuracy["train"], "validation_accuracy": accuracy["validation"],
               "validation_loss": rewards.loss_of(model, pairs["validation"], pad),
               "best_step": exact(state.best_step), "pairs": {s: exact(len(pairs[s])) for s in pairs}}
    stage.write_metrics("srf", "reward_model", metrics, state.history)
    return f"validation accuracy {accuracy['validation'].value:.3f}, train {accuracy['train'].value:.3f}"


def fit(model, tokenizer, rows: Sequence[dict], p: RewardModel, origin: str, scratch: Path):
    """Train in place and leave the model at its best validation accuracy, ties by the lower loss; the run's progress.

    A pair counts as `σ(p.certainty × its gap)` sure, so that the reward learns by how much, and being wrong weighs
    more than being plain.
    """
    from realign.models.build import pad_token
    from realign.train import checkpoint, loop, memory, reward
    from realign.train.progress import bar
    from stages.srf import rewards

    pairs, pad = rewards.encode(tokenizer, rows), pad_token(tokenizer)

    def validate(tuned) -> dict[str, float]:
        right = rewards.accuracy(tuned, pairs["validation"], pad).value
        loss = rewards.loss_of(tuned, pairs["validation"], pad).value
        return {"objective": (1 - right) + 1e-3 * loss, "accuracy": right, "loss": loss}

    doubts = [1 / (1 + math.exp(p.certainty * (row["chosen_score"] - row["rejected_score"])))
              for row in rows if row["split"] == "train"]
    batches = reward.PairBatches.of(pairs["train"], p.batch_size, p.epochs, p.seed, pad, doubts)
    found = memory.fit(model, reward.loss, batches.heaviest, p.batch_size)
    print(found, file=sys.stderr)
    batches = replace(batches, micro=found.micro)
    settings = loop.Settings(p.learning_rate, p.warmup, weight_decay=p.weight_decay, patience=p.patience,
                             evaluate_every=p.evaluate_every, checkpoint_every=p.checkpoint_every)
    mark = checkpoint.fingerprint(vars(p), origin, doubts, [[c.tokens, r.tokens] for c, r in pairs["train"]])
    return loop.train(model, reward.loss, batches, settings, scratch=scratch, mark=mark, validate=validate,
                      progress_bar=bar("reward model"))


if __name__ == "__main__":
    stage.main("srf", "reward_model", run)
