"""Batched sampling against mlx-lm one prompt at a time, a fresh forward pass, and exact distributions."""

import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_map
from mlx_lm.generate import generate_step
from mlx_lm.models import llama
from mlx_lm.models.cache import BatchKVCache, QuantizedKVCache

from realign import params
from realign.errors import UserError
from realign.models.generate import Sampling, generate, sample, uniform
from realign.models.heads import ScalarModel
from realign.models.shared import SharedKVCache

VOCABULARY = 61
CHI_SQUARE_999 = {5: 20.515, 7: 24.322}  # 0.999 quantile by degrees of freedom (any statistics table)


def make_llama(**changes) -> llama.Model:
    """A random Llama of two layers whose answers depend on the whole prompt and on positions."""
    arguments = {
        "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64,
        "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "vocab_size": VOCABULARY,
        "max_position_embeddings": 128, "tie_word_embeddings": False,
    }
    mx.random.seed(7)
    model = llama.Model(llama.ModelArgs(**(arguments | changes)))
    parameters = model.parameters()
    model.update(tree_map(lambda w: mx.random.normal(w.shape) * 0.4 if w.ndim == 2 else w, parameters))
    mx.eval(model.parameters())
    return model


@pytest.fixture(scope="module")
def model():
    return make_llama()


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(3)
    lengths = [1, 2, 40, 5, 17, 1, 9, 23, 30, 3, 12, 8, 21, 33, 4]
    return [rng.integers(0, VOCABULARY, n).tolist() for n in lengths]


class Table(nn.Module):
    """A model whose next-token logits depend on the last token alone: row `token` of `logits`."""

    def __init__(self, logits, dropout=0.0):
        super().__init__()
        self.logits = mx.array(np.asarray(logits, dtype=np.float32))
        self.dropout = nn.Dropout(dropout)

    def make_cache(self):
        return []

    def __call__(self, inputs, cache=None):
        return self.dropout(self.logits[inputs])


def fresh_logprobs(model, prompt, tokens):
    """Log-softmax of one uncached, unpadded forward pass at the positions that gave `tokens`, in float64."""
    logits = np.array(model(mx.array([prompt + tokens]))[0], dtype=np.float64)[len(prompt) - 1:-1]
    logits -= logits.max(axis=-1, keepdims=True)
    return logits[range(len(tokens)), tokens] - np.log(np.exp(logits).sum(axis=-1))


def assert_fresh(model, prompts, completions):
    for prompt, completion in zip(prompts, completions, strict=True):
        expected = fresh_logprobs(model, prompt, completion.tokens)
        np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4, rtol=0)


def alone(model, prompt, max_tokens):
    return [int(token) for token, _ in generate_step(mx.array(prompt), model, max_tokens=max_tokens)]


def tokens_of(completions):
    return [c.tokens for c in completions]


def test_greedy_equals_mlx_lm_on_each_prompt_alone(model, prompts):
    expected = [alone(model, p, 12) for p in prompts]
    for batch_size in (1, 4, 64):
        found = generate(model, prompts, Sampling(12, temperature=0, batch_size=batch_size), seed=0)
        assert tokens_of(found) == expected, batch_size


def test_sliding_window_layers_equal_mlx_lm_alone(prompts):
    model = make_llama(layer_types=["sliding_attention", "full_attention"], sliding_window=16)
    found = generate(model, prompts, Sampling(12, temperature=0, batch_size=len(prompts)), seed=0)
    assert tokens_of(found) == [alone(model, p, 12) for p in prompts]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.4, 0.9), (0.0, 1.0)])
def test_logprobs_agree_with_a_fresh_forward_pass(model, prompts, temperature, top_p):
    how = Sampling(16, temperature, top_p, stop_tokens=tuple(range(12)), batch_size=4)
    found = generate(model, prompts, how, seed=5)
    if temperature:
        assert len({len(c.tokens) for c in found}) > 3  # rows end at different steps, so the pool changed
    assert_fresh(model, prompts, found)


def test_sliding_window_rows_may_leave_and_join_a_pool(prompts):
    model = make_llama(layer_types=["sliding_attention", "full_attention"], sliding_window=16)
    how = Sampling(24, stop_tokens=tuple(range(6)), batch_size=4)
    assert_fresh(model, prompts, generate(model, prompts, how, seed=5))


@pytest.fixture
def short_convolutions():
    """An untrained model of short convolutions and attention in turn."""
    from realign.models import build

    return build.create({
        "model_type": "lfm2", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 128, "norm_eps": 1e-5,
        "layer_types": ["conv", "full_attention"] * 2, "conv_bias": True, "conv_L_cache": 4, "block_dim": 32,
        "block_ff_dim": 64, "block_multiple_of": 1, "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False}, 2)


def test_short_convolutions_equal_mlx_lm_alone(short_convolutions, prompts):
    found = generate(short_convolutions, prompts, Sampling(12, temperature=0, batch_size=len(prompts)), seed=0)
    assert tokens_of(found) == [alone(short_convolutions, p, 12) for p in prompts]


def test_short_convolutions_in_a_pool_that_changes(short_convolutions, prompts, monkeypatch):
    monkeypatch.setattr("realign.models.generate.PREFILL_CHUNK", 7)
    how = Sampling(24, stop_tokens=tuple(range(6)), batch_size=4)
    assert_fresh(short_convolutions, prompts, generate(short_convolutions, prompts, how, seed=5))


def test_a_prompt_longer_than_one_prefill_chunk(model, monkeypatch, prompts):
    monkeypatch.setattr("realign.models.generate.PREFILL_CHUNK", 7)
    found = generate(model, prompts, Sampling(6, batch_size=8), seed=1)
    assert_fresh(model, prompts, found)


def test_a_wrong_padding_mask_is_caught(model, prompts, monkeypatch):
    """Planted fault: rows see their padding."""
    right = BatchKVCache.make_mask

    def blind(self, N, **rest):
        true, self.left_padding = self.left_padding, mx.zeros_like(self.left_padding)
        mask = right(self, N, **rest)
        self.left_padding = true
        return mask

    monkeypatch.setattr(BatchKVCache, "make_mask", blind)
    found = generate(model, prompts, Sampling(8), seed=5)
    with pytest.raises(AssertionError):
        assert_fresh(model, prompts, found)


def test_wrong_positions_are_caught(model, prompts, monkeypatch):
    """Planted fault: the position runs ahead by one at every forward pass."""
    right = BatchKVCache.update_and_fetch

    def ahead(self, keys, values):
        found = right(self, keys, values)
        self.offset = self.offset + 1
        return found

    monkeypatch.setattr(BatchKVCache, "update_and_fetch", ahead)
    found = generate(model, prompts, Sampling(8), seed=5)
    with pytest.raises(AssertionError):
        assert_fresh(model, prompts, found)


@pytest.mark.parametrize("how", [Sampling(16, 0.0), Sampling(16, 1.0), Sampling(16, 0.8, 0.7)])
def test_the_batch_size_changes_no_token(model, prompts, how):
    sizes = (1, 3, 7, 64)
    runs = [
        generate(model, prompts, Sampling(16, how.temperature, how.top_p, (3, 4, 5, 6), size), seed=11)
        for size in sizes
    ]
    for run in runs[1:]:
        assert tokens_of(run) == tokens_of(runs[0])
        for mine, first in zip(run, runs[0], strict=True):
            np.testing.assert_allclose(mine.logprobs, first.logprobs, atol=1e-4)


def test_two_runs_are_identical_and_a_seed_matters(model, prompts):
    how = Sampling(10, batch_size=6)
    first, second = (generate(model, prompts, how, seed=2) for _ in range(2))
    assert tokens_of(first) == tokens_of(second)
    assert all((a.logprobs == b.logprobs).all() for a, b in zip(first, second, strict=True))
    assert tokens_of(first) != tokens_of(generate(model, prompts, how, seed=3))


def test_repeats_of_a_prompt_are_different_samples_read_once(model, prompts, monkeypatch):
    widths = []
    original = llama.Model.__call__

    def counted(self, inputs, cache=None):
        widths.append(inputs.shape)
        return original(self, inputs, cache)

    repeated = [prompts[2]] * 6 + [prompts[4]] * 6
    monkeypatch.setattr(llama.Model, "__call__", counted)
    found = generate(model, repeated, Sampling(8), seed=4)
    monkeypatch.undo()
    assert widths[0] == (2, len(prompts[2]) - 1)
    assert len({tuple(c.tokens) for c in found}) == 12
    assert_fresh(model, repeated, found)


def test_a_head_says_its_number_of_the_state_that_each_token_is_sampled_from(model, prompts):
    scored = ScalarModel(model)
    scored.head.weight, scored.head.bias = mx.random.normal((1, 32), key=mx.random.key(1)), mx.array([0.5])
    how = Sampling(16, stop_tokens=tuple(range(8)), batch_size=4)
    found = generate(model, prompts, how, seed=5, head=scored.head)
    assert tokens_of(found) == tokens_of(generate(model, prompts, how, seed=5))
    for prompt, completion in zip(prompts, found, strict=True):
        fresh = np.array(scored(mx.array([prompt + completion.tokens])))[0, len(prompt) - 1:-1]
        np.testing.assert_allclose(completion.values, fresh, atol=1e-4)


# --- samples that share prompts

@pytest.fixture
def several(prompts):
    """Three to five samples of every prompt of two tokens or more, out of order."""
    rng = np.random.default_rng(8)
    rows = [p for p in prompts if len(p) > 1 for _ in range(rng.integers(3, 6))]
    return [rows[i] for i in rng.permutation(len(rows))]


@pytest.fixture
def shared_masks(monkeypatch):
    """Shape of every mask that shared prompts gave, in the order of the forward passes."""
    shapes, original = [], SharedKVCache.make_mask

    def noted(self, *args, **more):
        shapes.append(original(self, *args, **more).shape)
        return original(self, *args, **more)

    monkeypatch.setattr(SharedKVCache, "make_mask", noted)
    return shapes


@pytest.mark.parametrize("batch_size", [5, 16, 64])
@pytest.mark.parametrize("kind", ["model", "short_convolutions"])
def test_samples_of_shared_prompts_agree_with_a_fresh_forward_pass(kind, batch_size, several, shared_masks, request):
    chosen = request.getfixturevalue(kind)
    how = Sampling(16, stop_tokens=tuple(range(8)), batch_size=batch_size)
    found = generate(chosen, several, how, seed=5)
    assert len({shape[0] for shape in shared_masks}) > 2  # rows left, and others joined
    assert_fresh(chosen, several, found)


def test_a_cache_that_gives_rows_the_prompt_of_another_is_caught(model, several, monkeypatch):
    original = SharedKVCache.__init__
    monkeypatch.setattr(SharedKVCache, "__init__", lambda self, prompts, owner: original(self, prompts, owner[::-1]))
    with pytest.raises(AssertionError):
        assert_fresh(model, several, generate(model, several, Sampling(6), seed=5))


def test_prompts_are_shared_only_where_there_are_several_samples_of_them(model, prompts, shared_masks):
    generate(model, prompts, Sampling(3), seed=0)
    generate(model, [*prompts, [7]] * 2, Sampling(3), seed=0)  # one has a single token: nothing goes before it
    assert not shared_masks
    long = [p for p in prompts if len(p) > 1]
    generate(model, long * 2, Sampling(3), seed=0)
    assert shared_masks[0] == (2 * len(long), 1, 1, max(map(len, long)))


# --- the distribution of what is drawn

LOGITS = np.log(np.array([0.30, 0.22, 0.16, 0.12, 0.10, 0.06, 0.03, 0.01]))


def chi_square(tokens, probabilities):
    expected = len(tokens) * probabilities
    counts = np.bincount(tokens, minlength=len(probabilities))
    assert counts[probabilities == 0].sum() == 0
    seen = probabilities > 0
    return float(((counts - expected)[seen] ** 2 / expected[seen]).sum())


def draws(how, n=4000, seed=17):
    found = generate(Table([LOGITS] * 8), [[r % 8] for r in range(n)], how, seed=seed)
    return np.array([c.tokens for c in found]), np.array([c.logprobs for c in found])


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_samples_follow_the_softmax(temperature):
    tokens, logprobs = draws(Sampling(3, temperature, batch_size=1000))
    wanted = np.exp(LOGITS / temperature)
    wanted /= wanted.sum()
    assert chi_square(tokens.ravel(), wanted) < CHI_SQUARE_999[7]
    np.testing.assert_allclose(logprobs, LOGITS[tokens], atol=1e-5)  # of the model, whatever the temperature


def test_consecutive_tokens_are_independent():
    tokens, _ = draws(Sampling(2, batch_size=1000), n=8000)
    pairs = tokens[:, 0] * 8 + tokens[:, 1]
    p = np.exp(LOGITS)
    joint = np.outer(p, p).ravel()
    big = joint * len(pairs) >= 5  # the usual limit of the chi-square approximation
    counts = np.bincount(pairs, minlength=64)
    lumped = np.append(counts[big], counts[~big].sum())
    expected = np.append(joint[big], joint[~big].sum()) * len(pairs)
    statistic = ((lumped - expected) ** 2 / expected).sum()
    freedom = lumped.size - 1
    assert statistic < freedom + 3.1 * math.sqrt(2 * freedom)  # normal approximation of the 0.999 quantile


def test_top_p_keeps_the_nucleus_in_proportion():
    tokens, logprobs = draws(Sampling(3, top_p=0.93, batch_size=1000))  # 0.90 < 0.93 <= 0.96: six tokens
    wanted = np.where(np.arange(8) < 6, np.exp(LOGITS), 0)
    assert chi_square(tokens.ravel(), wanted / wanted.sum()) < CHI_SQUARE_999[5]
    np.testing.assert_allclose(logprobs, LOGITS[tokens], atol=1e-5)  # not renormalised over the nucleus


def test_the_chi_square_test_can_fail():
    """Planted fault: a temperature that is slightly off."""
    tokens, _ = draws(Sampling(3, temperature=1.15, batch_size=1000))
    assert chi_square(tokens.ravel(), np.exp(LOGITS)) > CHI_SQUARE_999[7]


@pytest.mark.parametrize(
    ("weights", "top_p", "nucleus"),
    [
        ([4, 2, 1, 1], 0.25, {0}),
        ([4, 2, 1, 1], 0.5, {0}),
        ([4, 2, 1, 1], 0.51, {0, 1}),
        ([4, 2, 1, 1], 0.8, {0, 1, 2}),
        ([1, 1, 4, 2], 0.8, {2, 3, 0}),  # a tie goes to the lower index
        ([1, 1, 1, 1], 0.5, {0, 1}),
        ([1, 1, 1, 1], 0.99, {0, 1, 2, 3}),
    ],
)
def test_worked_nuclei(weights, top_p, nucleus):
    logits = np.tile(np.log(np.array(weights, dtype=np.float32)), (400, 1))
    token, _ = sample(logits, Sampling(1, top_p=top_p), uniforms(5, 400))
    assert set(np.unique(token)) == nucleus


def uniforms(seed, n):
    rows = np.arange(n)
    return lambda attempt: uniform(seed, rows, np.zeros(n, dtype=np.int64), attempt)


def sorted_nucleus(logits, top_p):
    p = np.exp(logits.astype(np.float64))
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    before = np.cumsum(p[order]) - p[order]
    return set(order[before < top_p].tolist()), np.abs(before - top_p).min()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-32, 32).map(lambda n: n / 8), min_size=2, max_size=12),  # ties are exact
    st.floats(0.05, 0.999),
    st.integers(0, 2**63 - 1),
)
def test_every_draw_is_in_the_nucleus_found_by_sorting(logits, top_p, seed):
    row = np.array(logits, dtype=np.float32)
    nucleus, margin = sorted_nucleus(row, top_p)
    token, _ = sample(np.tile(row, (50, 1)), Sampling(1, top_p=top_p), uniforms(seed, 50))
    assert set(token.tolist()) <= nucleus or margin < 1e-5


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.7, 1.0]), st.sampled_from([1.0, 0.8]))
def test_numpy_and_mlx_arrays_give_the_same(seed, temperature, top_p):
    logits = np.random.default_rng(seed).normal(0, 2, (40, 50)).astype(np.float32)
    how = Sampling(1, temperature, top_p)
    token, logprob = sample(logits, how, uniforms(seed, 40))
    token_mlx, logprob_mlx = sample(mx.array(logits), how, uniforms(seed, 40))
    assert isinstance(token_mlx, mx.array)
    same = np.array(token_mlx) == token
    assert same.sum() >= 39  # a uniform number within float noise of a boundary may fall on either side
    np.testing.assert_allclose(np.array(logprob_mlx)[same], logprob[same], atol=1e-5)


def test_uniform_numbers_are_uniform_and_unrelated():
    rows, steps = (a.ravel() for a in np.meshgrid(np.arange(200), np.arange(200)))
    u = uniform(1, rows, steps, 0).astype(np.float64)
    assert u.dtype == np.float64 and u.min() > 0 and u.max() < 1
    ecdf = np.abs(np.sort(u) - np.arange(1, u.size + 1) / u.size).max()
    assert ecdf < 1.95 / math.sqrt(u.size)  # Kolmogorov–Smirnov at 0.001
    grid = u.reshape(200, 200)
    others = [np.roll(grid, 1, 0), np.roll(grid, 1, 1), grid.T, uniform(2, rows, steps, 0).reshape(200, 200),
              uniform(1, rows, steps, 1).reshape(200, 200), uniform(-1, rows, steps, 0).reshape(200, 200)]
    off_diagonal = ~np.eye(200, dtype=bool)
    for other in others:
        r = np.corrcoef(grid[off_diagonal], other[off_diagonal])[0, 1]
        assert abs(r) < 4.5 / math.sqrt(u.size / 2)


def test_the_largest_uniform_number_stays_inside_the_vocabulary():
    largest = np.array([1 - 2.0**-23], dtype=np.float32)
    for total in np.random.default_rng(0).uniform(0.5, 1e6, 200).astype(np.float32):
        logits = np.log(np.array([[total / 2, total / 2, 1e-30]], dtype=np.float32))
        token, _ = sample(logits, Sampling(1), lambda attempt: largest)
        assert token[0] == 1


# --- where rows end

CHAIN = np.where(np.eye(6, k=1) + np.eye(6, k=-5) > 0, 50.0, 0.0)  # 0 → 1 → 2 → 3 → 4 → 5 → 0


def test_stop_tokens_end_a_row_and_are_kept():
    found = generate(Table(CHAIN), [[0], [3], [4]], Sampling(4, 0.0, stop_tokens=(3, 5)), seed=0)
    assert tokens_of(found) == [[1, 2, 3], [4, 5], [5]]
    assert [c.stopped for c in found] == [True, True, True]
    assert all(len(c.logprobs) == len(c.tokens) and c.logprobs.dtype == np.float32 for c in found)


def test_the_length_limit_ends_a_row():
    found = generate(Table(CHAIN), [[0], [3]], Sampling(2, 0.0, stop_tokens=(5,)), seed=0)
    assert tokens_of(found) == [[1, 2], [4, 5]]
    assert [c.stopped for c in found] == [False, True]


def test_the_window_ends_a_row(model):
    long, short = [1] * 125, [1] * 60
    found = generate(model, [short, long], Sampling(8), seed=0)
    assert [len(c.tokens) for c in found] == [8, 3]
    assert not found[1].stopped


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_refilled_rows_come_back_in_the_order_of_the_prompts(batch_size):
    prompts = [[5] * (n % 4) + [n % 6] for n in range(23)]
    reported = []
    found = generate(Table(CHAIN), prompts, Sampling(9, 0.0, stop_tokens=(5,), batch_size=batch_size), seed=0,
                     progress=reported.append)
    assert [c.tokens for c in found] == [
        [*range(n % 6 + 1, 6)] if n % 6 < 5 else [0, 1, 2, 3, 4, 5] for n in range(23)
    ]
    assert sum(reported) == 23 and min(reported) > 0


def test_no_prompts_give_no_completions(model):
    assert generate(model, [], Sampling(4), seed=0) == []


# --- the state of the model

def test_dropout_is_off_and_training_mode_comes_back():
    model = Table(CHAIN, dropout=0.9)
    model.train()
    assert tokens_of(generate(model, [[0]] * 20, Sampling(3, 0.0), seed=0)) == [[1, 2, 3]] * 20
    assert model.training and model.dropout.training


def test_training_mode_comes_back_after_an_error():
    model = Table(np.full((2, 2), np.nan))
    model.train()
    with pytest.raises(UserError, match="prompt 0: the model's logits are not finite"):
        generate(model, [[0]], Sampling(3), seed=0)
    assert model.training


# --- bad input

def test_a_prompt_that_fills_the_window_is_named(model):
    with pytest.raises(UserError, match="prompt 1: the prompt has 128 tokens") as caught:
        generate(model, [[1], [1] * 128], Sampling(4), seed=0)
    assert "128" in str(caught.value) and "to do" in str(caught.value)


def test_an_empty_prompt_is_named(model):
    with pytest.raises(UserError, match="prompt 2: the prompt is empty"):
        generate(model, [[1], [2], []], Sampling(4), seed=0)


def test_a_cache_that_cannot_be_batched_is_read_row_by_row():
    class Recurrent(Table):
        def make_cache(self):
            return [QuantizedKVCache()]

    prompts = [[1], [5, 3], [2]]
    assert tokens_of(generate(Recurrent(CHAIN), prompts, Sampling(2, 0.0), seed=0)) == [[2, 3], [4, 5], [3, 4]]


@pytest.mark.parametrize(
    "wrong",
    [{"max_tokens": 0}, {"temperature": -0.1}, {"temperature": math.nan}, {"temperature": math.inf},
     {"top_p": 0.0}, {"top_p": 1.1}, {"batch_size": 0}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        params.convert({"sampling": {"max_tokens": 4} | wrong}, "sampling", Sampling)
