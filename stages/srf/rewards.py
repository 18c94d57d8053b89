"""Fitting and measuring reward models on pairs: used by `reward_model`, `reward_validation` and `iterate`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from realign.evaluate.preferences import ranking_accuracy
from realign.metrics import Metric, mean
from realign.models import chat
from realign.models.build import pad_token
from realign.models.chat import Encoded
from realign.train import checkpoint, loop, reward
from realign.train.checkpoint import Progress
from realign.train.progress import bar

Pairs = list[tuple[Encoded, Encoded]]


def encode(tokenizer, rows: Sequence[dict]) -> dict[str, Pairs]:
    """`(chosen, rejected)` by split."""
    sides = [chat.encode(tokenizer, [[*row["messages"], {"role": "assistant", "content": row[side]}] for row in rows])
             for side in ("chosen", "rejected")]
    splits: dict[str, Pairs] = {"train": [], "validation": []}
    for row, chosen, rejected in zip(rows, *sides, strict=True):
        splits[row["split"]].append((chosen, rejected))
    return splits


def values(model, pairs: Pairs, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Rewards of the chosen and of the rejected sides."""
    both = reward.score(model, [c for c, _ in pairs] + [r for _, r in pairs], pad)
    return both[:len(pairs)], both[len(pairs):]


def accuracy(model, pairs: Pairs, pad: int) -> Metric:
    """Share of pairs ranked right."""
    return ranking_accuracy(*values(model, pairs, pad))


def loss_of(model, pairs: Pairs, pad: int) -> Metric:
    """Pairwise binary cross-entropy, nats a pair."""
    chosen, rejected = values(model, pairs, pad)
    return mean(np.logaddexp(0.0, rejected.astype(np.float64) - chosen))


def fit(model, tokenizer, rows: Sequence[dict], p, origin: str, scratch: Path) -> Progress:
    """Train in place and leave the model at its best validation accuracy, ties by the lower loss.

    The chosen side must lead by `p.margin` × the pair's gap, so that being wrong weighs more than being plain.
    """
    pairs, pad = encode(tokenizer, rows), pad_token(tokenizer)

    def validate(tuned) -> dict[str, float]:
        right, loss = accuracy(tuned, pairs["validation"], pad).value, loss_of(tuned, pairs["validation"], pad).value
        return {"objective": (1 - right) + 1e-3 * loss, "accuracy": right, "loss": loss}

    margins = [p.margin * (row["chosen_score"] - row["rejected_score"]) for row in rows if row["split"] == "train"]
    batches = reward.PairBatches.of(pairs["train"], p.batch_size, p.epochs, p.seed, pad, margins)
    settings = loop.Settings(p.learning_rate, p.warmup, weight_decay=p.weight_decay, patience=p.patience,
                             evaluate_every=p.evaluate_every, checkpoint_every=p.checkpoint_every)
    mark = checkpoint.fingerprint(vars(p), origin, margins, [[c.tokens, r.tokens] for c, r in pairs["train"]])
    return loop.train(model, reward.loss, batches, settings, scratch=scratch, mark=mark, validate=validate,
                      progress_bar=bar("reward model"))
