"""Transcendental functions, attention and short convolutions that are quick on a CPU; MLX's own everywhere else.

On Linux CPU `mx.exp`, `mx.sigmoid` and `mx.softmax` are scalar code: 12–16 ns an element, against
0.2–0.4 ns for an addition. Here exp is a polynomial of MLX's vectorised element-wise operations
(about 4 ns, relative error below 4e-7), and everything that trains or samples gets its exponentials
from this module. `install()` also puts it under mlx-lm's models; only the backend calls that.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

LOG2_E = 1.4426950408889634
ROUND = 12582912.0  # 1.5 * 2**23: adding it leaves round(x) in the low mantissa bits of a float32
MASKED = -1e9  # finite, so that a row with everything masked stays finite
# 2**f on [-0.5, 0.5], highest power first: least squares at Chebyshev nodes (relative error 1.5e-7).
EXP2 = (1.32217988e-3, 9.67721786e-3, 5.55095848e-2, 2.40221341e-1, 6.9314674e-1, 1.0)
CAUSAL_BLOCK = 64

_enabled = False
_mlx_attention = mx.fast.scaled_dot_product_attention
_mlx_conv1d = nn.Conv1d.__call__


def _exp(x: mx.array) -> mx.array:
    return _exp2(mx.clip(x * LOG2_E, -126.0, 127.0))


def _exp_below_0(x: mx.array) -> mx.array:
    """One pass less: what a softmax asks for is nowhere above 0."""
    return _exp2(mx.maximum(x * LOG2_E, -126.0))


def _exp2(y: mx.array) -> mx.array:
    shifted = y + ROUND
    f = y - (shifted - ROUND)
    p = EXP2[0]
    for c in EXP2[1:]:
        p = p * f + c
    return (p.view(mx.int32) + (shifted.view(mx.int32) << 23)).view(mx.float32)


@mx.custom_function
def _fast_exp(x):
    return _exp(x)


@_fast_exp.vjp
def _fast_exp_vjp(primals, cotangent, output):
    return cotangent * output


@mx.custom_function
def _fast_sigmoid(x):
    return 1.0 / (1.0 + _exp(-x))


@_fast_sigmoid.vjp
def _fast_sigmoid_vjp(primals, cotangent, output):
    return cotangent * (output * (1.0 - output))


@mx.custom_function
def _fast_softmax(x):
    e = _exp_below_0(x - x.max(axis=-1, keepdims=True))
    return e * (1.0 / e.sum(axis=-1, keepdims=True))


@_fast_softmax.vjp
def _fast_softmax_vjp(primals, cotangent, output):
    weighted = cotangent * output
    return weighted - output * weighted.sum(axis=-1, keepdims=True)


@mx.custom_function
def _fast_logsumexp(x):
    top = x.max(axis=-1, keepdims=True)
    return (top + mx.log(_exp_below_0(x - top).sum(axis=-1, keepdims=True))).squeeze(-1)


@_fast_logsumexp.vjp
def _fast_logsumexp_vjp(primals, cotangent, output):
    return cotangent[..., None] * _exp_below_0(primals - output[..., None])


def _fast(x: mx.array) -> bool:
    return _enabled and x.dtype == mx.float32


def exp(x: mx.array) -> mx.array:
    """e**x, element by element; float32 results below 1.2e-38 are flushed to it on CPU."""
    return _fast_exp(x) if _fast(x) else mx.exp(x)


def sigmoid(x: mx.array) -> mx.array:
    """1 / (1 + e**-x), element by element."""
    return _fast_sigmoid(x) if _fast(x) else mx.sigmoid(x)


def softmax(x: mx.array) -> mx.array:
    """Softmax over the last axis."""
    return _fast_softmax(x) if _fast(x) else mx.softmax(x, axis=-1, precise=True)


def logsumexp(x: mx.array) -> mx.array:
    """log(sum(e**x)) over the last axis, which is dropped."""
    return _fast_logsumexp(x) if _fast(x) else mx.logsumexp(x, axis=-1)


def silu(x: mx.array) -> mx.array:
    """x * sigmoid(x)."""
    return x * sigmoid(x)


def _attend(q, k, v, bias):
    scores = q @ k.swapaxes(-1, -2)
    return _fast_softmax(scores if bias is None else scores + bias) @ v


def _causal(q, k, v):
    """Causal attention by blocks of queries, each against the keys it may see."""
    length, past = q.shape[-2], k.shape[-2] - q.shape[-2]
    blocks = []
    for start in range(0, length, CAUSAL_BLOCK):
        end = min(start + CAUSAL_BLOCK, length)
        rows, columns = mx.arange(past + start, past + end)[:, None], mx.arange(past + end)[None]
        bias = mx.where(rows >= columns, 0.0, MASKED)
        blocks.append(_attend(q[..., start:end, :], k[..., :past + end, :], v[..., :past + end, :], bias))
    return blocks[0] if len(blocks) == 1 else mx.concatenate(blocks, axis=-2)


@dataclass(frozen=True)
class Shared:
    """Keys, or values, of rows that go on from prompts which several of them share."""

    prompts: mx.array  # (P, H, L, D)
    rows: mx.array  # (B, H, M, D), what is each row's own
    seats: mx.array | None  # (P, S) rows of every prompt, any of them where it has fewer; None: 0, 1, 2, ...
    place: mx.array | None  # (B,) where in `seats` a row is; None: 0, 1, 2, ...

    def together(self, x: mx.array) -> mx.array:
        """(B, H, T, D) by prompts, (P, H, S x T, D)."""
        (_, heads, length, width), prompts = x.shape, self.prompts.shape[0]
        x = x.reshape(prompts, -1, heads, length, width) if self.seats is None else x[self.seats]
        return x.swapaxes(1, 2).reshape(prompts, heads, -1, width)

    def apart(self, x: mx.array, length: int) -> mx.array:
        """(P, H, S x T, D) by rows, (B, H, T, D), where T is `length`."""
        prompts, heads, _, width = x.shape
        x = x.reshape(prompts, heads, -1, length, width).swapaxes(1, 2).reshape(-1, heads, length, width)
        return x if self.place is None else x[self.place]


def _attend_shared(q, k: Shared, v: Shared, mask):
    """As on whole rows, the prompts first; but what the rows of a prompt ask of it is one matrix product, where row by
    row BLAS spends its time copying the prompt's keys."""
    batch, heads, length, width = q.shape
    groups = heads // k.rows.shape[1]
    q = q.reshape(batch, -1, groups * length, width)
    ahead = k.apart(k.together(q) @ k.prompts.swapaxes(-1, -2), groups * length)
    scores = mx.concatenate([ahead, q @ k.rows.swapaxes(-1, -2)], axis=-1)
    bias = mx.where(mask, 0.0, MASKED).astype(q.dtype)
    if groups > 1:
        bias = mx.concatenate([bias] * groups, axis=2)
    weights = softmax(scores + bias)
    past = k.prompts.shape[2]
    seen = v.apart(v.together(weights[..., :past]) @ v.prompts, groups * length)
    return (seen + weights[..., past:] @ v.rows).reshape(batch, heads, length, -1)


def attention(q, k, v, *, scale, mask=None, sinks=None, **rest):
    """Scaled dot-product attention with the signature of `mx.fast.scaled_dot_product_attention`; keys and values may
    be `Shared`, with a mask of booleans."""
    if isinstance(k, Shared):
        return _attend_shared(q * scale, k, v, mask)
    if not _fast(q) or sinks is not None:
        return _mlx_attention(q, k, v, scale=scale, mask=mask, sinks=sinks, **rest)
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = mx.repeat(k, groups, axis=1), mx.repeat(v, groups, axis=1)
    q = q * scale
    if isinstance(mask, str):
        return _causal(q, k, v)
    if mask is not None and mask.dtype == mx.bool_:
        mask = mx.where(mask, 0.0, MASKED)
    return _attend(q, k, v, mask)


def conv1d(layer: nn.Conv1d, x: mx.array) -> mx.array:
    """`layer(x)`. A convolution of each channel by itself is a sum of shifted products, so that its gradient is one."""
    channels, taps, inputs = layer.weight.shape
    plain = layer.stride == 1 and layer.padding == 0 and layer.dilation == 1
    if not (_fast(x) and plain and inputs == 1 and channels == x.shape[-1]):
        return _mlx_conv1d(layer, x)
    length = x.shape[1] - taps + 1
    y = sum(x[:, i:i + length] * layer.weight[:, i, 0] for i in range(taps))
    return y + layer.bias if "bias" in layer else y


def installed() -> bool:
    """Whether these functions are in use."""
    return _enabled


def install() -> None:
    """Use these functions from now on, in this project and in every mlx-lm model of the process."""
    global _enabled
    _enabled = True
    mx.fast.scaled_dot_product_attention = attention
    nn.silu = silu
    nn.Conv1d.__call__ = conv1d
