"""Direct preference optimisation: pairs to batches, the reference's log-probabilities, and the loss.

Both sides of a pair go through the model in one pass; only target positions through the output projection.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from realign.errors import UserError
from realign.evaluate.drift import response_logits
from realign.models.chat import Encoded
from realign.train import sft
from realign.train.batches import by_part, cut, heaviest, plan
from realign.train.loop import Batch, Loss
from realign.train.losses.preference import PairLogprobs, Preference, dpo_loss
from realign.train.losses.tokens import place, token_logprobs

SCORE_BATCH = 32  # rows

Pair = tuple[Encoded, Encoded]  # chosen, rejected


def row_logprobs(model: nn.Module, batch: Batch) -> tuple[mx.array, mx.array]:
    """Per row (B,) of an SFT batch: log-probability summed over its target tokens, nats, and their number."""
    rows, width = batch["tokens"].shape
    logprobs = token_logprobs(response_logits(model, batch)[None], sft.targets(batch)[None])[0]
    sums, counts = (place(x, batch["positions"], (rows, width - 1)).sum(axis=1)
                    for x in (logprobs, mx.ones(logprobs.shape)))
    return sums, counts


def reference_logprobs(model: nn.Module, pairs: Sequence[Pair], pad_token: int) -> np.ndarray:
    """Log-probability of both sides of every pair, summed over target tokens, nats: (pairs, 2), chosen first,
    float32. Made once, by the frozen reference, in evaluation mode."""
    sides = [side for pair in pairs for side in pair]
    sums = np.zeros(len(sides), np.float32)
    order = np.argsort([len(s.tokens) for s in sides], kind="stable")
    training = model.training
    model.eval()

    def scored(part: np.ndarray) -> mx.array:
        return row_logprobs(model, sft.batch_of([sides[i] for i in part], pad_token))[0]

    for part, found in by_part(scored, order, SCORE_BATCH, model):
        sums[part] = np.array(found)
    model.train(training)
    return sums.reshape(-1, 2)


def objective(settings: Preference) -> Loss:
    """The variant's loss, summed over pairs. Statistics, sums over pairs: `accuracy`, `margin`,
    `chosen_reward` and `rejected_reward` of the implicit rewards."""
    def loss(model: nn.Module, batch: Batch):
        if settings.needs_reference and "reference" not in batch:
            raise UserError(f"{settings.variant} without the reference's log-probabilities",
                            where="dpo.variant", expected="a number for both sides of every pair",
                            fix="give them, or take simpo or orpo")
        sums, counts = row_logprobs(model, batch)
        half = len(sums) // 2
        reference = batch.get("reference", mx.zeros((half, 2)))
        pairs = PairLogprobs(sums[:half], sums[half:], reference[:, 0], reference[:, 1],
                             counts[:half], counts[half:])
        return dpo_loss(pairs, settings)

    return loss


@dataclass(frozen=True)
class PreferenceBatches:
    """Pairs in the order of `plan`, a step cut into micro-batches of at most `micro` pairs: the chosen sides,
    then the rejected; `reference` is what `reference_logprobs` gives, None for variants that need none."""

    pairs: Sequence[Pair]
    reference: np.ndarray | None
    steps: list[np.ndarray]
    pad_token: int
    micro: int

    @classmethod
    def of(cls, pairs: Sequence[Pair], reference: np.ndarray | None, batch_size: int, epochs: int, seed: int,
           pad_token: int, micro: int | None = None) -> "PreferenceBatches":
        if reference is not None and (reference.shape != (len(pairs), 2) or not np.isfinite(reference).all()):
            raise UserError(f"reference log-probabilities {reference.shape} for {len(pairs)} pairs",
                            where="dpo", expected="a finite number for both sides of every pair",
                            fix="compute them anew")
        lengths = [max(len(c.tokens), len(r.tokens)) for c, r in pairs]
        return cls(pairs, reference, plan(lengths, batch_size, epochs, seed), pad_token, micro or batch_size)

    def __len__(self) -> int:
        return len(self.steps)

    def figures(self) -> dict[str, float]:
        return {}

    def micro_batches(self, step: int) -> list[Batch]:
        return [self._batch(part) for part in cut(self.steps[step], self.micro)]

    def heaviest(self, count: int) -> list[Batch]:
        """For `memory.fit`: the heaviest micro-batches of at most `count` pairs."""
        widths = [max(len(c.tokens), len(r.tokens)) for c, r in self.pairs]
        targets = [sum(c.mask[1:]) + sum(r.mask[1:]) for c, r in self.pairs]
        return [self._batch(part) for part in heaviest(self.steps, count, widths, targets)]

    def _batch(self, picks: np.ndarray) -> Batch:
        pairs = [self.pairs[i] for i in picks]
        batch = sft.batch_of([c for c, _ in pairs] + [r for _, r in pairs], self.pad_token)
        return batch if self.reference is None else batch | {"reference": mx.array(self.reference[picks])}
