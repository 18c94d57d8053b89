"""Rows that begin alike, such as several responses to a prompt: what they share goes through the model once.

The prompts fill the caches of mlx-lm's layers, each row reads those of its prompt and goes on from there. All of it is
differentiable, so a loss has the gradients that it has on whole rows.
"""

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import ArraysCache, BatchKVCache, KVCache, make_prompt_cache

from realign.models.caches import pads
from realign.models.hidden import hidden_states, project


class _Beginnings(BatchKVCache):
    """Keys and values of a batch of prompts, as computed: no buffers to grow into, so that gradients flow."""

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.offset = self.offset + keys.shape[2]
        self._idx += keys.shape[2]
        if self.keys is not None:
            keys = mx.concatenate([self.keys, keys], axis=2)
            values = mx.concatenate([self.values, values], axis=2)
        self.keys, self.values = keys, values
        return keys, values


def goes_on(model: nn.Module) -> bool:
    """Whether every layer of the model keeps what several rows can go on from."""
    return all(type(kept) in (KVCache, ArraysCache) for kept in make_prompt_cache(model)) and pads(model)


def can_share(model: nn.Module) -> bool:
    """Whether that holds in training too: what layers that are computed twice keep would be that of the first time."""
    return goes_on(model) and not any(hasattr(type(layer), "recomputed") for layer in model.layers)


def hidden(model: nn.Module, batch: dict[str, mx.array]) -> mx.array:
    """Last hidden states (B, T, D) of the inputs of a batch, `tokens` (B, T + 1) but for the last of each row.

    With `prompts` (P, L) in the batch, which have `padding` (P,) pad tokens on their left, the rows go on from those:
    row i from prompt j where `owner` (B, P), float32, is 1 at (i, j); elsewhere it is 0.
    """
    inputs = batch["tokens"][:, :-1]
    if "prompts" not in batch:
        return hidden_states(model, inputs)
    cache = [_empty(layer, batch["padding"]) for layer in make_prompt_cache(model)]
    hidden_states(model, batch["prompts"], cache)
    return hidden_states(model, inputs, [_handed(layer, batch["owner"]) for layer in cache])


def at_targets(model: nn.Module, batch: dict[str, mx.array]) -> mx.array:
    """Those hidden states (N, D) at the batch's `positions`, from which the targets are predicted."""
    found = hidden(model, batch)
    return found.reshape(-1, found.shape[-1])[batch["positions"]]


def response_logits(model: nn.Module, batch: dict[str, mx.array]) -> mx.array:
    """Logits (N, V) at the batch's `positions`, whose next token was sampled, or is to be learned."""
    return project(model, at_targets(model, batch))


def _empty(layer: KVCache | ArraysCache, padding: mx.array) -> _Beginnings | ArraysCache:
    own = padding + 0  # layers count theirs down in place
    if isinstance(layer, KVCache):
        return _Beginnings(own)
    empty = ArraysCache(len(layer.cache))
    empty.left_padding = own
    return empty


def _handed(layer: _Beginnings | ArraysCache, owner: mx.array) -> _Beginnings | ArraysCache:
    """For every row the cache of its prompt. By a matrix product, as the gradient of picking rows by number is
    one element after the other on CPU."""
    def pick(x: mx.array) -> mx.array:
        return (owner.astype(x.dtype) @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])

    if isinstance(layer, ArraysCache):
        handed = ArraysCache(len(layer.cache))
        handed.cache = [pick(x) for x in layer.cache]
        return handed
    rows = owner.argmax(axis=1)
    handed = _Beginnings(layer.left_padding[rows])
    handed.keys, handed.values = pick(layer.keys), pick(layer.values)
    handed.offset, handed._idx = layer.offset[rows], layer._idx
    return handed
