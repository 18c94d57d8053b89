"""Batched sampling from any mlx-lm model: used for rollouts in training and for evaluation.

Rows are taken longest first into a pool of `batch_size`, left-padded to a common end. Rows that have
finished leave the pool and waiting prompts take their places, so that a long answer never holds up a batch.
The randomness of a token is a hash of (seed, row, step): which rows share a batch changes nothing but
float noise.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import BatchKVCache, make_prompt_cache

from realign.errors import UserError
from realign.models import build, fastmath, prefix
from realign.models.caches import batched, pads
from realign.models.hidden import hidden_states, project
from realign.models.shared import SharedKVCache
from realign.params import Positive, PositiveShare, Temperature

PREFILL_CHUNK = 512  # prompt tokens a forward pass: bounds the attention scores, which grow with its square
# Share of the pool that must have finished before rows leave and join, since each change copies the cache.
# Measured with answers of 2 to 80 tokens on CPU: 0.1 to 0.5 alike; no joining costs 40% more, no leaving 75%.
REFILL_SHARE = 0.25

Array = np.ndarray | mx.array


@dataclass(frozen=True)
class Sampling:
    """How to sample. `temperature` 0 is greedy; `top_p` cuts the distribution after the temperature."""

    max_tokens: Positive
    temperature: Temperature = 1.0
    top_p: PositiveShare = 1.0
    stop_tokens: tuple[int, ...] = ()
    batch_size: Positive = 64


@dataclass(frozen=True)
class Completion:
    """What was sampled for one prompt.

    `logprobs`: float32, nats, each token under the model's own distribution (temperature 1, all tokens).
    `values`: float32, what `head` said before each token; 0 without one.
    A stop token that was sampled is the last of `tokens`, and then `stopped` is True.
    """

    tokens: list[int]
    logprobs: np.ndarray
    stopped: bool
    values: np.ndarray


@dataclass
class _Pool:
    """Rows in flight: index among the prompts, token that each row reads next, KV cache of every layer."""

    rows: np.ndarray
    inputs: np.ndarray
    cache: list


class _Sheet:
    """What every row has sampled so far."""

    def __init__(self, limits: np.ndarray):
        self.limits = limits
        self.tokens = np.zeros((limits.size, limits.max(initial=0)), dtype=np.int32)
        self.logprobs = np.zeros(self.tokens.shape, dtype=np.float32)
        self.values = np.zeros(self.tokens.shape, dtype=np.float32)
        self.lengths = np.zeros(limits.size, dtype=np.int64)
        self.stopped = np.zeros(limits.size, dtype=bool)
        self.done = np.zeros(limits.size, dtype=bool)

    def write(self, rows: np.ndarray, tokens: np.ndarray, logprobs: np.ndarray, values: np.ndarray,
              stop: tuple[int, ...]) -> int:
        """Add one token to each row that is not done; how many rows this finished."""
        live = ~self.done[rows]
        rows, tokens, logprobs, values = rows[live], tokens[live], logprobs[live], values[live]
        if not np.isfinite(logprobs).all():
            bad = rows[~np.isfinite(logprobs)][0]
            raise UserError("the model's logits are not finite", where=f"prompt {bad}",
                            fix="go back to an earlier checkpoint; its training may have diverged")
        at = self.lengths[rows]
        self.tokens[rows, at], self.logprobs[rows, at], self.values[rows, at] = tokens, logprobs, values
        self.lengths[rows] = at + 1
        self.stopped[rows] = np.isin(tokens, stop)
        self.done[rows] = self.stopped[rows] | (at + 1 == self.limits[rows])
        return int(self.done[rows].sum())

    def completions(self) -> list[Completion]:
        """One for each row."""
        rows = zip(self.tokens, self.logprobs, self.lengths, self.stopped, self.values, strict=True)
        return [Completion(t[:n].tolist(), p[:n].copy(), bool(s), v[:n].copy()) for t, p, n, s, v in rows]


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    settings: Sampling,
    *,
    seed: int,
    first: int = 0,
    head: nn.Module | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Completion]:
    """One completion for each prompt, in the order of the prompts; repeat a prompt for several samples of it.

    A row ends at a stop token, after `max_tokens` or where the model's window is full. The model is in
    evaluation mode meanwhile. `progress` is told the number of rows that have just finished. One prompt after the
    other, where the model's layers know no padding (`caches.pads`).
    `first`: the number of the first prompt, where these are a part of a longer list; each is then given what it would
    be given there. `head` makes one number of each hidden state that a token is sampled from, (B, D) to (B, 1): the
    `values` of the completions.
    Raises UserError for a prompt that is empty or leaves no room in the window, and for non-finite logits.
    """
    sheet = _Sheet(_limits(model, prompts, settings.max_tokens))
    # Longest first, so that the largest batch comes first and later rows fit under the pool's padding.
    waiting = sorted(range(len(prompts)), key=lambda r: (len(prompts[r]), tuple(prompts[r]), -r))
    pool, share = None, _worth_sharing(model, prompts)
    batch_size = settings.batch_size if pads(model) else 1
    with _evaluating(model):
        while pool := _refill(model, pool, sheet.done, waiting, prompts, batch_size, share):
            logits, values = _forward(model, head, pool)
            steps = sheet.lengths[pool.rows]
            drawn = sample(_near(logits), settings, partial(uniform, seed, first + pool.rows, steps))
            pool.inputs, logprobs = (np.asarray(a) for a in drawn)
            finished = sheet.write(pool.rows, pool.inputs, logprobs, values, settings.stop_tokens)
            if progress is not None and finished:
                progress(finished)
    return sheet.completions()


def _forward(model: nn.Module, head: nn.Module | None, pool: _Pool) -> tuple[mx.array, np.ndarray]:
    """Logits (B, V) of every row's next token, and what the head says before it (B,); 0 where there is none."""
    inputs = mx.array(pool.inputs)[:, None]
    if head is None:
        return model(inputs, cache=pool.cache)[:, -1].astype(mx.float32), np.zeros(len(inputs), np.float32)
    hidden = hidden_states(model, inputs, pool.cache)[:, -1]
    logits, values = project(model, hidden).astype(mx.float32), head(hidden).squeeze(-1).astype(mx.float32)
    mx.eval(logits, values)
    return logits, np.asarray(values)


def sample(logits: Array, settings: Sampling, draw: Callable[[int], np.ndarray]) -> tuple[Array, Array]:
    """A token for each row of `logits` (rows × vocabulary, float32) and its log-softmax at temperature 1.

    On NumPy arrays or MLX arrays alike, and in kind. By inversion of the cumulative distribution, from one
    uniform number a token, `draw(0)`: Gumbel noise would take a logarithm for every entry of the vocabulary.
    """
    xp = np if isinstance(logits, np.ndarray) else mx
    shifted = logits - logits.max(axis=-1, keepdims=True)
    weights = xp.exp(shifted)
    log_total = xp.log(weights.sum(axis=-1))
    if settings.temperature == 0:
        token = logits.argmax(axis=-1)
    else:
        if settings.temperature != 1:
            weights = xp.exp(shifted * (1 / settings.temperature))
        token = _invert(xp, weights, draw(0))
        if settings.top_p < 1:
            token = _into_nucleus(xp, token, weights, settings.top_p, draw)
    return token, xp.take_along_axis(shifted, token[:, None], axis=-1)[:, 0] - log_total


def _invert(xp: ModuleType, weights: Array, u: np.ndarray) -> Array:
    """First index at which the cumulative weight passes `u` times the total, for each row."""
    mass = xp.cumsum(weights, axis=-1)
    return xp.argmax(mass > xp.array(u)[:, None] * mass[:, -1:], axis=-1)


def _into_nucleus(
    xp: ModuleType, token: Array, weights: Array, top_p: float, draw: Callable[[int], np.ndarray]
) -> Array:
    """`token` where it is in the nucleus, else another draw from it.

    The nucleus is the smallest set of likeliest tokens that holds `top_p` of the mass, ties by index
    (Holtzman et al. 2020, The Curious Case of Neural Text Degeneration). A token is in it when those ranked
    before it hold less than that; when not, the nucleus lies among those, and the next draw is from them
    alone. This takes a few passes over the vocabulary, where sorting it takes 45 ns an entry on CPU.
    """
    index = xp.arange(weights.shape[-1])
    needed = top_p * weights.sum(axis=-1)
    chosen, rows, attempt = np.array(token), np.arange(len(token)), 0
    while True:
        own = xp.take_along_axis(weights, token[:, None], axis=-1)
        before = (weights > own) | ((weights == own) & (index < token[:, None]))
        weights = weights * before
        outside = np.flatnonzero(np.asarray(weights.sum(axis=-1) >= needed))
        if not outside.size:
            return xp.array(chosen)
        rows, again, attempt = rows[outside], xp.array(outside), attempt + 1
        weights, needed = weights[again], needed[again]
        token = _invert(xp, weights, draw(attempt)[rows])
        chosen[rows] = np.asarray(token)


def uniform(seed: int, rows: np.ndarray, steps: np.ndarray, attempt: int) -> np.ndarray:
    """One float32 in (0, 1) for each (seed, row, step, attempt), whatever else is drawn.

    A chain of the SplitMix64 finaliser (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number
    Generators). 22 bits, so that u × total rounds to less than the total in float32.
    """
    state = np.full(rows.shape, seed % 2**64, dtype=np.uint64)
    for part in (rows, steps, attempt):
        state = state + (np.atleast_1d(part).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (((state >> np.uint64(42)).astype(np.float32) + 0.5) * 2.0**-22).astype(np.float32)


def _limits(model: nn.Module, prompts: Sequence[Sequence[int]], max_tokens: int) -> np.ndarray:
    """How many tokens each row may sample."""
    lengths = np.array([len(p) for p in prompts], dtype=np.int64)
    window = build.stated_window(vars(getattr(model, "args", None) or object)) or np.iinfo(np.int64).max
    for row in np.flatnonzero((lengths == 0) | (lengths >= window))[:1]:
        if lengths[row] == 0:
            raise UserError("the prompt is empty", where=f"prompt {row}", expected="at least one token")
        raise UserError(f"the prompt has {lengths[row]} tokens", where=f"prompt {row}",
                        expected=f"fewer than the model's window of {window}, so that an answer has room",
                        fix="shorten the prompt or drop the row")
    return np.minimum(max_tokens, window - lengths)


def _near(logits: mx.array) -> Array:
    """On CPU the same memory as a NumPy array, whose exponential takes 0.4 ns where MLX's takes 10."""
    return np.asarray(logits) if mx.default_device() == mx.cpu else logits


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout inside the block."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _refill(
    model: nn.Module,
    pool: _Pool | None,
    done: np.ndarray,
    waiting: list[int],
    prompts: Sequence[Sequence[int]],
    batch_size: int,
    share: bool,
) -> _Pool | None:
    """The pool without its finished rows and with waiting ones in their place; None when all is finished."""
    if pool is not None:
        keep = np.flatnonzero(~done[pool.rows])
        if keep.size and pool.rows.size - keep.size < REFILL_SHARE * pool.rows.size:
            return pool
        pool = _select(pool, keep) if keep.size else None
    room = batch_size - (pool.rows.size if pool is not None else 0)
    fresh = [waiting.pop() for _ in range(min(room, len(waiting)))]
    if not fresh:
        return pool
    added = _prefill(model, np.array(fresh), [prompts[r] for r in fresh], share)
    return added if pool is None else _join(pool, added)


def _select(pool: _Pool, keep: np.ndarray) -> _Pool:
    for layer in pool.cache:
        layer.filter(mx.array(keep))
    return _Pool(pool.rows[keep], pool.inputs[keep], pool.cache)


def _join(pool: _Pool, added: _Pool) -> _Pool:
    for layer, other in zip(pool.cache, added.cache, strict=True):
        layer.extend(other)
    return _Pool(
        np.concatenate([pool.rows, added.rows]), np.concatenate([pool.inputs, added.inputs]), pool.cache
    )


def _worth_sharing(model: nn.Module, prompts: Sequence[Sequence[int]]) -> bool:
    """Whether the cache keeps a prompt once for all its samples: where that is quick, and there are several."""
    return (fastmath.installed() and 2 * len({tuple(p) for p in prompts}) <= len(prompts)
            and min(map(len, prompts), default=0) > 1 and prefix.goes_on(model))


def _prefill(model: nn.Module, rows: np.ndarray, prompts: list[Sequence[int]], share: bool) -> _Pool:
    """The cache after all but the last token of each prompt; a prompt that comes twice is read once, and is kept
    once where the rows `share` it."""
    distinct = {tuple(p): None for p in prompts}
    place = {p: i for i, p in enumerate(distinct)}
    width = max(len(p) for p in distinct) - 1
    padding = [width + 1 - len(p) for p in distinct]
    tokens = np.zeros((len(distinct), width), dtype=np.int32)
    for line, prompt, pad in zip(tokens, distinct, padding, strict=True):
        line[pad:] = prompt[:-1]
    cache = make_prompt_cache(model)
    if pads(model):
        cache = [batched(layer, padding) for layer in cache]
    for start in range(0, width, PREFILL_CHUNK):
        # The logits are never evaluated, so the last layer's output and the head cost nothing here.
        model(mx.array(tokens[:, start:start + PREFILL_CHUNK]), cache=cache)
        mx.eval([layer.state for layer in cache])
    owner = [place[tuple(p)] for p in prompts]
    for number, layer in enumerate(cache):
        if share and isinstance(layer, BatchKVCache):
            cache[number] = SharedKVCache(layer, owner)
        elif len(distinct) < len(prompts):
            layer.filter(mx.array(owner))
    return _Pool(rows, np.array([p[-1] for p in prompts], dtype=np.int32), cache)
