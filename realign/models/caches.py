"""What a model's layers keep of a batch whose rows are padded on their left."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import (
    ArraysCache,
    BatchKVCache,
    BatchRotatingKVCache,
    CacheList,
    KVCache,
    RotatingKVCache,
    make_prompt_cache,
)

from realign.models.hidden import alike, anatomy

NAME = "_pads"  # of the attribute that keeps what was found of a model


def batched(layer: object, padding: list[int]) -> object | None:
    """The left-padded batch form of one layer's cache; None where it has none."""
    if type(layer) is KVCache:
        return BatchKVCache(padding)
    if type(layer) is RotatingKVCache:
        return BatchRotatingKVCache(layer.max_size, padding) if layer.keep == 0 else None
    if type(layer) is ArraysCache:  # what a short convolution or a linear attention has seen
        return ArraysCache(len(layer.cache), padding)
    if type(layer) is CacheList:
        parts = [batched(part, padding) for part in layer.caches]
        return None if None in parts else CacheList(*parts)
    return None


def pads(model: nn.Module) -> bool:
    """Whether rows of the model may be padded on their left: tried once on two rows, since a family whose layers do not
    look at the padding computes all the same."""
    found = model.__dict__.get(NAME)
    if found is None:
        found = _tried(model)
        object.__setattr__(model, NAME, found)
    return found


def _tried(model: nn.Module) -> bool:
    padding = [3, 0]
    caches = [batched(layer, padding) for layer in make_prompt_cache(model)]
    if None in caches:
        return False
    size = min(anatomy(model).vocabulary, 1000)
    rows = np.random.default_rng(1).integers(0, size, (2, 7)).astype(np.int32)
    training = model.training
    model.eval()
    try:
        for part in (rows[:, :5], rows[:, 5:6], rows[:, 6:]):
            padded = model(mx.array(part), cache=caches)[:, -1]
        alone = mx.concatenate([model(mx.array(row[pad:])[None])[:, -1]
                                for row, pad in zip(rows, padding, strict=True)])
        return alike(padded, alone)
    except Exception:  # whatever a family's code raises on a cache that it does not know
        return False
    finally:
        model.train(training)
