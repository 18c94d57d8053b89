"""Rows that share prompts against rows that have all keys and values of their own."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.models.cache import BatchKVCache

from realign.models import fastmath
from realign.models.shared import SharedKVCache

HEADS, KEY_HEADS, WIDTH = 4, 2, 8


def prompt_cache(lengths, rng):
    """The filled cache of prompts of these lengths."""
    cache = BatchKVCache([max(lengths) - n for n in lengths])
    cache.update_and_fetch(*(random(rng, len(lengths), KEY_HEADS, max(lengths), WIDTH) for _ in range(2)))
    return cache


def random(rng, *shape):
    return mx.array(rng.standard_normal(shape).astype(np.float32))


def attended(cache, q, k, v):
    """What the next token attends to, by the attention that the models of this process take."""
    mask = cache.make_mask(q.shape[2])
    keys, values = cache.update_and_fetch(k, v)
    return np.array(fastmath.attention(q, keys, values, scale=0.3, mask=mask))


@settings(max_examples=30)
@given(st.data())
def test_the_same_attention_as_without_sharing_while_rows_leave_and_join(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    caches = None
    for _ in range(data.draw(st.integers(1, 3))):
        lengths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
        owner = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=8))
        whole, seed = prompt_cache(lengths, rng), rng.integers(1000)
        fresh = SharedKVCache(whole, owner)
        whole.filter(mx.array(owner))
        if caches is None:
            caches = fresh, whole
        else:
            caches[0].extend(fresh)
            caches[1].extend(whole)
        for length in data.draw(st.lists(st.integers(1, 3), max_size=3)):
            rows, rng = len(caches[0].owner), np.random.default_rng(seed)
            q = random(rng, rows, HEADS, length, WIDTH)
            k, v = (random(rng, rows, KEY_HEADS, length, WIDTH) for _ in range(2))
            assert caches[0].offset.tolist() == caches[1].offset.tolist()
            got, expected = (attended(cache, q, k, v) for cache in caches)
            np.testing.assert_allclose(got, expected, atol=2e-6)
        rows = len(caches[0].owner)
        keep = sorted(data.draw(st.sets(st.integers(0, rows - 1), min_size=1)))
        for cache in caches:
            cache.filter(mx.array(keep))


def test_a_prompt_is_kept_once_and_no_longer_than_its_rows():
    cache = SharedKVCache(prompt_cache([5, 3, 7], np.random.default_rng(0)), [0, 2, 2, 0, 2])
    assert cache.keys.shape == (2, KEY_HEADS, 7, WIDTH)  # of the second there are no rows
    assert cache.offset.tolist() == [5, 7, 7, 5, 7]
    cache.filter(mx.array([1, 4]))
    assert cache.keys.shape[0] == 1 and cache.offset.tolist() == [7, 7]


def test_a_sliding_window_is_refused():
    cache = SharedKVCache(prompt_cache([5], np.random.default_rng(0)), [0, 0])
    with pytest.raises(ValueError, match="sliding window"):
        cache.make_mask(1, window_size=4)
