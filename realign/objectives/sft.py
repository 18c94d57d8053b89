"""Supervised fine-tuning: cross-entropy on the target tokens alone."""

import mlx.core as mx
import mlx.nn as nn

from realign.models import prefix
from realign.models.batches import Batch, batch_of, targets
from realign.models.chat import Encoded
from realign.models.hidden import project
from realign.models.tokens import token_logprobs
from realign.train.fit import Objective


def loss(model: nn.Module, batch: Batch) -> tuple[mx.array, mx.array, dict[str, mx.array]]:
    """Cross-entropy in nats summed over the target tokens, their number, and how many are predicted right.

    Only target positions go through the output matrix and the softmax.
    """
    positions = batch["positions"]
    if positions.size == 0:  # MLX finds no argmax of nothing
        nothing = mx.array(0.0)
        return nothing, nothing, {"accuracy": nothing}
    logits = project(model, prefix.at_targets(model, batch))
    wanted = targets(batch)
    total = -token_logprobs(logits, wanted).sum()
    right = (logits.argmax(-1) == wanted).sum().astype(mx.float32)
    return total, mx.array(float(positions.size)), {"accuracy": right}


def weigh(row: Encoded) -> tuple[int, int]:
    """Tokens and targets of a row."""
    return len(row.tokens), sum(row.mask[1:])


# Rows are encoded conversations, each with its mask of targets.
SFT = Objective("sft", loss, batch_of, weigh)
