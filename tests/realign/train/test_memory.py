"""The search on functions of which everything is known; measurements on models that their activations outweigh."""

import hashlib

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from realign.errors import UserError
from realign.models.batches import batch_of
from realign.models.chat import Encoded
from realign.models.generate import Sampling
from realign.models.heads import ScalarModel
from realign.objectives import group, policy, preference, reward, sft
from realign.objectives.losses.policy import Grpo
from realign.objectives.losses.preference import Preference
from realign.train import loop, memory
from realign.train.batches import RowBatches
from realign.train.rollouts import Rollouts
from realign.train.settings import Policy

WIDE = {"hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 128, "head_dim": 32, "vocab_size": 512}


def peak_of(lines):
    """The most of several lines `(at no row, per row)`."""
    return lambda rows: max(fixed + slope * rows for fixed, slope in lines)


@given(st.integers(0, 1000), st.integers(1, 500), st.integers(1, 64), st.integers(0, 40_000))
def test_of_a_straight_line_it_finds_the_very_most(fixed, slope, most, limit):
    peak = peak_of([(fixed, slope)])
    rows, predicted, _ = memory.search(peak, most, limit, fixed)
    assert rows == max([r for r in range(1, most + 1) if peak(r) <= limit], default=0)
    assert rows == 0 or predicted == peak(rows)


@given(st.lists(st.tuples(st.integers(100, 5000), st.integers(0, 500)), min_size=1, max_size=4), st.integers(0, 100),
       st.integers(1, 64), st.integers(0, 40_000))
def test_what_it_chooses_fits_whatever_the_moments_of_an_update(lines, held, most, limit):
    peak, asked = peak_of(lines), []

    def measure(rows):
        asked.append(rows)
        return peak(rows)

    rows, predicted, measured = memory.search(measure, most, limit, held)
    assert (rows == 0) == (peak(1) > limit)
    if rows:
        assert predicted == peak(rows) <= limit and rows <= most
        # Never far from what would fit, unless one row may be half of it for all that is known.
        assert rows in (1, most) or peak(2 * rows + 1) > limit
    assert measured == {r: peak(r) for r in asked} and len(asked) == len(set(asked)) <= 20
    # Not even a probe goes further than what those before it allow for, or than half of what there is.
    for i, probe in enumerate(asked[1:], 1):
        assert peak(probe) <= max(2 * max(peak(r) for r in asked[:i]) - held, limit / 2)


def rows(n=24, longest=96, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(longest // 4, longest + 1, n)
    return [Encoded(rng.integers(1, 512, k).tolist(), [0] * (k // 3) + [1] * (k - k // 3)) for k in lengths]


def heaviest_of(data, batch_size=16):
    return RowBatches.of(data, batch_of, sft.weigh, batch_size, 1, 0).heaviest


def digest(model):
    return hashlib.sha256(b"".join(np.array(v).tobytes() for _, v in sorted(tree_flatten(model.parameters())))).digest()


@pytest.mark.parametrize("share, batch_size", [(0.4, 16), (2.0, 8)])
def test_the_run_takes_what_was_predicted(share, batch_size, tiny, tmp_path):
    model, data = tiny(1, **WIDE), rows()
    heaviest = RowBatches.of(data, batch_of, sft.weigh, batch_size, 2, 0).heaviest
    before, held = digest(model), mx.get_active_memory()
    whole = memory.fit(model, sft.loss, heaviest, batch_size, limit=2**40, validates=False)
    assert whole.micro == batch_size and not whole.recomputed
    limit = held + int((whole.predicted - held) * share)
    fitted = memory.fit(model, sft.loss, heaviest, batch_size, limit=limit, validates=False)
    assert (fitted.micro < batch_size) == (share < 1) and fitted.micro > 1
    assert digest(model) == before and mx.get_active_memory() == pytest.approx(held, rel=0.01)

    batches = RowBatches.of(data, batch_of, sft.weigh, batch_size, 2, 0, micro=fitted.micro)
    mx.clear_cache()
    mx.reset_peak_memory()
    loop.train(model, sft.loss, batches, loop.Settings(1e-3, checkpoint_every=2), scratch=tmp_path / "run", run_id="a")
    assert fitted.predicted == pytest.approx(mx.get_peak_memory(), rel=0.1)


def pairs_of(n=12):
    return list(zip(rows(n, 64, 1), rows(n, 64, 2), strict=True))


def prompts_of(n, longest=24):
    rng = np.random.default_rng(3)
    return [rng.integers(1, 512, k).tolist() for k in rng.integers(longest - 3, longest + 1, n)]


def direct(tiny, micro=None):
    dpo = preference.objective(Preference())
    paired = preference.with_reference(pairs_of(), np.zeros((12, 2), np.float32))
    return tiny(1, **WIDE), dpo.loss, RowBatches.of(paired, dpo.collate, dpo.weigh, 6, 3, 0, micro)


def rewarded(tiny, micro=None):
    doubted = [(chosen, rejected, 0.1) for chosen, rejected in pairs_of()]
    batches = RowBatches.of(doubted, reward.collate, reward.weigh, 6, 3, 0, micro)
    return ScalarModel(tiny(1, **WIDE)), reward.loss, batches


def earned(found):
    return np.arange(len(found), dtype=np.float32)


def criticised(tiny, micro=0):
    """Two rollouts of eight responses that never stop, the reference's logits beside them."""
    settings = Policy(
        seed=0, algorithm="ppo", rollouts=2, prompts_per_rollout=8, minibatch=8, epochs=2, learning_rate=1e-3,
        warmup=0.0, kl_penalty=0.1, entropy_bonus=0.01, reward_scale=1.0, value_weight=0.5, clip=0.2, discount=1.0,
        improbable_penalty=0.0, gae_lambda=0.95, max_tokens=16)
    shape = WIDE | {"num_hidden_layers": 2, "vocab_size": 2048}
    pair, reference = ScalarModel(tiny(1, **shape)), tiny(1, **shape)
    made = Rollouts(pair, reference, prompts_of(8), earned, Sampling(16), settings, 0, policy.critic_estimate, micro)
    return pair, policy.loss_of(settings), made


def grouped(tiny, micro=0):
    settings = group.GroupSettings(2, 4, 3, 12, 2, "std", "sampled", Grpo())
    model = tiny(1, **WIDE)
    made = Rollouts(model, tiny(1, **WIDE), prompts_of(4), earned, Sampling(16), settings, 0, group.estimate, micro)
    return model, group.loss_of(settings), made


# Each with the rows of its steps.
ENGINES = {"reward": (rewarded, 6), "dpo": (direct, 6), "ppo": (criticised, 8), "grpo": (grouped, 12)}


def run_peak(make, tiny, micro, folder):
    model, loss, batches = make(tiny, micro)
    mx.clear_cache()
    mx.reset_peak_memory()
    settings = loop.Settings(1e-3, checkpoint_every=100)
    loop.train(model, loss, batches, settings, scratch=folder / "run", run_id="a")
    return mx.get_peak_memory()


@pytest.mark.parametrize("name", ENGINES)
def test_what_other_objectives_take_is_predicted_too(name, tiny, tmp_path):
    make, whole = ENGINES[name]
    model, loss, batches = make(tiny)
    held = mx.get_active_memory()
    most = memory.fit(model, loss, batches.heaviest, whole, limit=2**40, validates=False)
    assert most.micro == whole
    limit = held + int((most.predicted - held) * 0.6)
    fitted = memory.fit(model, loss, batches.heaviest, whole, limit=limit, validates=False)
    assert 1 <= fitted.micro < whole and not fitted.recomputed
    del model, loss, batches
    for found in (most, fitted):
        assert found.predicted == pytest.approx(run_peak(make, tiny, found.micro, tmp_path / str(found.micro)), rel=0.1)


def test_a_probe_that_forgets_what_is_sampled_predicts_too_little(tiny, tmp_path):
    pair, loss, made = criticised(tiny)
    made.sampling = Sampling(4)
    found = memory.fit(pair, loss, made.heaviest, 8, limit=2**40, validates=False)
    del pair, loss, made
    assert found.predicted < 0.9 * run_peak(criticised, tiny, 8, tmp_path)


@pytest.mark.parametrize("make", [criticised, grouped])
def test_no_batch_of_a_rollout_is_heavier(make, tiny):
    _, _, made = make(tiny)
    size = made.settings.minibatch
    for micro in (1, 4, size):
        made.micro = micro
        heavy, = made.heaviest(micro)
        assert len(heavy["tokens"]) == micro and heavy["targets"].size == 16 * micro
        for step in range(made.steps_per_rollout):
            for batch in made.micro_batches(step):
                assert set(batch) == set(heavy)
                assert all(a.dtype == heavy[name].dtype and a.shape[2:] == heavy[name].shape[2:]
                           for name, a in batch.items())
                assert batch["tokens"].size <= heavy["tokens"].size
                assert batch["targets"].size <= heavy["targets"].size


def test_what_a_rollout_keeps_is_its_columns(tiny):
    _, _, made = criticised(tiny)
    made.micro_batches(0)
    columns = made._current[1].columns
    sampled = sum(array.nbytes for column in columns.values() for array in column)
    assert sampled <= made.kept < 1.1 * sampled  # the reference's logits are all of it, nearly


def gradients(model, batch):
    mx.clear_cache()
    mx.reset_peak_memory()
    (total, _, _), found = nn.value_and_grad(model, sft.loss)(model, batch)
    mx.eval(total, found)
    return dict(tree_flatten(found)), mx.get_peak_memory()


def test_recomputed_layers_take_less_memory_and_give_the_same_gradients(tiny):
    model, other, batch = tiny(1, **WIDE), tiny(2, **WIDE), batch_of(rows(6))
    model.train()
    plain, peak = gradients(model, batch)
    kind = type(model.layers[0])
    memory.recompute_layers(model)
    memory.recompute_layers(model)  # twice is once
    recomputed, lower = gradients(model, batch)
    assert lower < 0.85 * peak
    assert set(plain) == set(recomputed) and float(mx.abs(plain["model.layers.0.mlp.up_proj.weight"]).max()) > 0.1
    for name, gradient in plain.items():
        np.testing.assert_allclose(np.array(recomputed[name]), np.array(gradient), atol=1e-5, err_msg=name)
    assert isinstance(model.layers[0], kind) and type(other.layers[0]) is kind


def test_recomputed_layers_sample_as_before(tiny):
    from mlx_lm.models.cache import make_prompt_cache

    plain, recomputed, tokens = tiny(1), tiny(1), mx.array([[5, 6, 7, 8]])
    memory.recompute_layers(recomputed)
    for model in (plain, recomputed):
        model.eval()
    caches = [make_prompt_cache(model) for model in (plain, recomputed)]
    for part in (tokens[:, :3], tokens[:, 3:]):
        expected, found = (model(part, cache=cache) for model, cache in
                           zip((plain, recomputed), caches, strict=True))
        assert mx.array_equal(expected, found)
    assert [c.offset for c in caches[1]] == [4, 4]


def test_a_row_that_fits_no_other_way_is_recomputed_and_one_that_fits_in_no_way_is_an_error(tiny):
    data = [Encoded([1 + i % 500 for i in range(400)], [0, *[1] * 20, *[0] * 379])]
    heaviest, held = heaviest_of(data), mx.get_active_memory()
    plain, small = tiny(1, **WIDE), tiny(1, **WIDE)
    memory.recompute_layers(small)
    most, least = (memory.fit(model, sft.loss, heaviest, 1, limit=2**40, validates=False).predicted
                   for model in (plain, small))
    assert held < least < 0.8 * most
    fitted = memory.fit(plain, sft.loss, heaviest, 1, limit=(least + most) // 2, validates=False)
    assert (fitted.micro, fitted.recomputed) == (1, True)
    assert fitted.predicted == pytest.approx(least, rel=0.1)
    with pytest.raises(UserError, match=r"one row needs .* GiB of memory in training") as caught:
        memory.fit(plain, sft.loss, heaviest, 1, limit=least // 2, validates=False)
    assert "shorten the window" in str(caught.value)


def test_a_large_model_is_recomputed_by_rule(tiny, monkeypatch):
    model, heaviest = tiny(1), heaviest_of(rows(4, 16))
    for model_parameters, expected in [(7_000_000_000, False), (7_000_000_001, True)]:
        monkeypatch.setattr(memory, "parameters", lambda _, count=model_parameters: count)
        assert memory.fit(model, lambda m, b: (m.model.norm.weight.sum(), mx.array(1.0), {}), heaviest, 2,
                          limit=2**40).recomputed == expected


def test_quantised_parameters_count_one_by_one(tiny):
    model = tiny(1, hidden_size=64, head_dim=32, intermediate_size=64)
    before = memory.parameters(model)
    nn.quantize(model, group_size=32, bits=4)
    assert memory.parameters(model) == before


def test_the_best_weights_are_counted_where_there_will_be_any(tiny, monkeypatch):
    monkeypatch.setattr(memory, "_peak", lambda *given: 5_000_000)
    model, heaviest = tiny(1, **WIDE), heaviest_of(rows(4, 16))
    kept = sum(v.nbytes for _, v in tree_flatten(model.trainable_parameters()))
    with_best, without = (memory.fit(model, sft.loss, heaviest, 1, limit=2**40, validates=v).predicted
                          for v in (True, False))
    assert with_best - without == kept


def row(length, targets):
    return Encoded([length] * length, [0] * (length - targets) + [1] * targets)


def test_the_heaviest_micro_batches_are_those_of_the_plan():
    data = [row(3, 1)] * 4 + [row(5, 4)] * 4 + [row(6, 1)] * 3 + [row(11, 1)]  # 3 3 3 3, 5 5 5 5, 6 6 6 11
    batches = RowBatches.of(data, batch_of, sft.weigh, 4, 3, 0)

    def held(count):
        return [sorted(r for r in b["tokens"][:, 0].tolist()) for b in batches.heaviest(count)]

    assert held(4) == [[6, 6, 6, 11], [5, 5, 5, 5]]
    assert held(2) == [[6, 11], [5, 5]]
    assert held(3) == [[6, 6, 6], [5, 5, 5], [11]]  # the longest row is alone, and attends to most
    assert held(1) == [[11], [5]]


@given(st.lists(st.tuples(st.integers(2, 30), st.integers(1, 29)), min_size=1, max_size=30), st.integers(1, 8),
       st.integers(1, 9))
def test_no_micro_batch_of_the_run_is_heavier(shapes, batch_size, micro):
    data = [row(length, min(targets, length - 1)) for length, targets in shapes]
    batches = RowBatches.of(data, batch_of, sft.weigh, batch_size, 2, 0, micro=micro)

    def most(found):
        return [max(b["tokens"].size for b in found), max(b["positions"].size for b in found),
                max(b["tokens"].shape[0] * b["tokens"].shape[1] ** 2 for b in found)]

    run = most([b for step in range(len(batches)) for b in batches.micro_batches(step)])
    found = most(batches.heaviest(micro))
    assert found[1] == run[1]
    assert all(f <= r for f, r in zip(found, run, strict=True))


@given(st.lists(st.tuples(st.integers(2, 20), st.integers(2, 20)), min_size=1, max_size=12), st.integers(1, 5),
       st.integers(1, 6))
def test_no_micro_batch_of_pairs_is_heavier(shapes, batch_size, micro):
    data = [(row(a, a - 1), row(b, 1)) for a, b in shapes]
    dpo, doubted = preference.objective(Preference("simpo")), [(chosen, rejected, 0.0) for chosen, rejected in data]
    paired = preference.with_reference(data, None)
    for batches in (RowBatches.of(paired, dpo.collate, dpo.weigh, batch_size, 1, 0, micro),
                    RowBatches.of(doubted, reward.collate, reward.weigh, batch_size, 1, 0, micro)):
        run = [b for step in range(len(batches)) for b in batches.micro_batches(step)]
        heavy = batches.heaviest(micro)
        for weight in (lambda b: b["tokens"].size, lambda b: b["tokens"].shape[0] * b["tokens"].shape[1] ** 2,
                       lambda b: b.get("positions", b["tokens"][:, 0]).size):
            assert max(map(weight, heavy)) <= max(map(weight, run))
        assert max(len(b["tokens"]) for b in run) == 2 * min(micro, batch_size, len(data))
        widest = max(max(shape) for shape in shapes)
        assert max(b["tokens"].shape[1] for b in heavy) >= (widest if micro == 1 else 1)
        assert max(b["tokens"].size for b in heavy) == max(b["tokens"].size for b in run) or widest % 8


def machine(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_free_memory(tmp_path):
    meminfo = "MemTotal:       2000 kB\nMemAvailable:   1000 kB\nHugePages_Total:   0\n"
    assert memory.free_memory(tmp_path) is None
    assert memory.free_memory(machine(tmp_path, proc__meminfo=meminfo)) == 1_024_000
    group = {"sys__fs__cgroup__memory_dot_current": "500000\n",
             "sys__fs__cgroup__memory_dot_stat": "anon 400000\ninactive_file 90000\n"}
    for top, free in [("max", 1_024_000), ("700000", 290_000), ("9000000", 1_024_000)]:
        machine(tmp_path, sys__fs__cgroup__memory_dot_max=top + "\n", **group)
        assert memory.free_memory(tmp_path) == free


def test_the_room_of_this_machine_leaves_some_over(tiny):
    model = tiny(1)
    assert 0 < memory.room(model) < memory.available() <= mx.get_memory_limit()
