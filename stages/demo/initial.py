"""The weights from which the base model starts: matching is sketched in them, all else is random.

To answer from passages, a model must find where a name stood before. From random weights that took more tokens than
the demo has (docs/LOG.md). So short convolutions start as plain delays, and some attention heads start by looking for
places where what stood a few tokens before is what stands here (the induction heads of Olsson et al. 2022).
"""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from realign.models import build

NEAR = 4  # delays of 0 to 3 tokens share three quarters of the channels, longer ones the rest
QUIET = 0.15  # of their usual size: what blocks add at first, so that the embeddings are not drowned
GATE = 0.1  # of their usual size: gates, which start at one
DELAY = 0.08  # size of the delayed words beside the word itself (their norm before is that of a normed vector)
COPY = 0.2
SHARP = 1.4  # of queries and keys each
# For each attention layer its first heads: how many tokens before the query, and before the key, stands the word that
# must be the same. With 1 more for the key, the head finds what followed; otherwise the word's own place.
HEADS = (((0, 1), (1, 2), (2, 3)), ((0, 1), (1, 2), (1, 0), (3, 2)))


def create(config: dict, seed: int) -> nn.Module:
    """A model of `config`, an LFM2 whose layers are convolution and attention in turn; a function of the seed."""
    model = build.create(config, seed)
    rng = np.random.default_rng(seed)
    layers = model.model.layers
    for layer in layers:
        layer.feed_forward.w2.weight *= QUIET
    for convolution, attention, heads in zip(layers[::2], layers[1::2], HEADS, strict=True):
        delayed = _delay(convolution.conv, rng)
        attention.self_attn.out_proj.weight *= QUIET
        _match(attention.self_attn, delayed, heads, rng)
    mx.eval(model.parameters())
    return model


def _orthogonal(rng: np.random.Generator, width: int) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(width, width)))[0].astype(np.float32)


def _delay(layer: nn.Module, rng: np.random.Generator) -> list[np.ndarray]:
    """Make each channel a delay of so many tokens; for each of the near delays, the rows that read it off again.

    The near delays all carry the same projection of a word, so that their readings can be compared.
    """
    width, taps, _ = layer.conv.weight.shape
    share, far = 3 * width // (4 * NEAR), taps - NEAR
    delays = np.repeat(np.arange(taps), [share] * NEAR + [(width - NEAR * share) // far] * far)
    kernel = np.zeros((width, taps, 1), np.float32)
    kernel[np.arange(width), taps - 1 - delays] = 1.0
    projection = _orthogonal(rng, width)
    words = np.concatenate([np.tile(projection[:share], (NEAR, 1)), projection[share:share + width - NEAR * share]])
    out = _orthogonal(rng, width)
    gates = np.array(layer.in_proj.weight)[:2 * width] * GATE
    layer.in_proj.weight = mx.array(np.concatenate([gates, words]))
    layer.in_proj.bias = mx.concatenate([mx.ones(2 * width), mx.zeros(width)])
    layer.conv.weight, layer.out_proj.weight = mx.array(kernel), mx.array(out * DELAY)
    return [out[:, delays == delay].T for delay in range(NEAR)]


def _match(layer: nn.Module, delayed: list[np.ndarray], heads: tuple, rng: np.random.Generator) -> None:
    """Let the first heads attend where the words agree, and those that find what followed copy it."""
    size, width = layer.head_dim, layer.q_proj.weight.shape[1]
    queries, keys, values, out = (np.array(getattr(layer, name).weight)
                                  for name in ("q_proj", "k_proj", "v_proj", "out_proj"))
    for head, (query, key) in enumerate(heads):
        rows = slice(head * size, head * size + min(size, len(delayed[query])))
        queries[rows], keys[rows] = delayed[query][:size], delayed[key][:size]
        if key == query + 1:
            own = slice(head * size, (head + 1) * size)
            values[own] = _orthogonal(rng, width)[:size]
            out[:, own] = values[own].T * COPY
    layer.q_proj.weight, layer.k_proj.weight = mx.array(queries), mx.array(keys)
    layer.v_proj.weight, layer.out_proj.weight = mx.array(values), mx.array(out)
    layer.q_layernorm.weight *= SHARP
    layer.k_layernorm.weight *= SHARP
