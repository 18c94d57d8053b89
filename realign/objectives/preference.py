"""Direct preference optimisation: the loss on pairs, and the reference's log-probabilities.

Both sides of a pair go through the model in one pass; only target positions through the output projection.
"""

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from realign.errors import UserError
from realign.models.batches import Batch, batch_of, by_part, targets
from realign.models.chat import Encoded
from realign.models.prefix import response_logits
from realign.models.tokens import place, token_logprobs
from realign.objectives.losses.preference import PairLogprobs, Preference, dpo_loss
from realign.train.fit import Objective
from realign.train.loop import Loss

SCORE_BATCH = 32  # rows

Pair = tuple[Encoded, Encoded]  # chosen, rejected
Referred = tuple[Encoded, Encoded, list[float]]  # and the reference's log-probabilities of both; or an empty list


def objective(settings: Preference) -> Objective:
    """Rows are pairs with the reference's log-probabilities: see `with_reference`. A batch's first half is chosen, the
    second rejected."""
    def collate(rows: Sequence[Referred]) -> Batch:
        batch = batch_of([chosen for chosen, *_ in rows] + [rejected for _, rejected, _ in rows])
        return batch | ({"reference": mx.array([told for *_, told in rows])} if rows[0][2] else {})

    return Objective(settings.variant, loss_of(settings), collate, _weigh)


def _weigh(row: Referred) -> tuple[int, int]:
    chosen, rejected, _ = row
    return max(len(chosen.tokens), len(rejected.tokens)), sum(chosen.mask[1:]) + sum(rejected.mask[1:])


def with_reference(pairs: Sequence[Pair], reference: np.ndarray | None) -> list[Referred]:
    """The rows of `objective`: pairs with what `reference_logprobs` gives, None for variants that need none.

    Raises UserError where that is not a finite number for both sides of every pair.
    """
    if reference is None:
        return [(chosen, rejected, []) for chosen, rejected in pairs]
    if reference.shape != (len(pairs), 2) or not np.isfinite(reference).all():
        raise UserError(f"reference log-probabilities {reference.shape} for {len(pairs)} pairs",
                        where="reference", expected="a finite number for both sides of every pair",
                        fix="compute them anew")
    return [(*pair, told) for pair, told in zip(pairs, reference.tolist(), strict=True)]


def row_logprobs(model: nn.Module, batch: Batch) -> tuple[mx.array, mx.array]:
    """Per row (B,) of an SFT batch: log-probability summed over its target tokens, nats, and their number."""
    rows, width = batch["tokens"].shape
    logprobs = token_logprobs(response_logits(model, batch)[None], targets(batch)[None])[0]
    sums, counts = (place(x, batch["positions"], (rows, width - 1)).sum(axis=1)
                    for x in (logprobs, mx.ones(logprobs.shape)))
    return sums, counts


def reference_logprobs(model: nn.Module, pairs: Sequence[Pair]) -> np.ndarray:
    """Log-probability of both sides of every pair, summed over target tokens, nats: (pairs, 2), chosen first,
    float32. Made once, by the frozen reference, in evaluation mode."""
    sides = [side for pair in pairs for side in pair]
    sums = np.zeros(len(sides), np.float32)
    order = np.argsort([len(s.tokens) for s in sides], kind="stable")
    training = model.training
    model.eval()

    def scored(part: np.ndarray) -> mx.array:
        return row_logprobs(model, batch_of([sides[i] for i in part]))[0]

    for part, found in by_part(scored, order, SCORE_BATCH, model):
        sums[part] = np.array(found)
    model.train(training)
    return sums.reshape(-1, 2)


def loss_of(settings: Preference) -> Loss:
    """The variant's loss, summed over pairs. Statistics, sums over pairs: `accuracy`, `margin`,
    `chosen_reward` and `rejected_reward` of the implicit rewards."""
    def loss(model: nn.Module, batch: Batch):
        if settings.needs_reference and "reference" not in batch:
            raise UserError(f"{settings.variant} without the reference's log-probabilities",
                            where="variant", expected="a number for both sides of every pair",
                            fix="give them, or take simpo or orpo")
        sums, counts = row_logprobs(model, batch)
        half = len(sums) // 2
        reference = batch.get("reference", mx.zeros((half, 2)))
        pairs = PairLogprobs(sums[:half], sums[half:], reference[:, 0], reference[:, 1],
                             counts[:half], counts[half:])
        return dpo_loss(pairs, settings)

    return loss
