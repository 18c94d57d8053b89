"""Rollouts taken apart row by row, and a bandit that PPO and A2C must solve."""

from dataclasses import asdict, replace

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign import params
from realign.errors import UserError
from realign.models import prefix
from realign.models.generate import Completion, Sampling, generate
from realign.models.heads import ScalarModel
from realign.models.prefix import response_logits
from realign.objectives.policy import critic_estimate, loss_of
from realign.train import loop
from realign.train import rollouts as rolling
from realign.train.loop import Settings, train
from realign.train.rollouts import Rollouts
from realign.train.settings import Policy

STOP = 3


def settings_of(algorithm="ppo", **changes) -> Policy:
    made = Policy(
        seed=0, algorithm=algorithm, rollouts=2, prompts_per_rollout=10, minibatch=4, epochs=1, learning_rate=1e-2,
        warmup=0.0, kl_penalty=0.1, entropy_bonus=0.01, reward_scale=2.0, value_weight=0.5, clip=0.2, discount=1.0,
        improbable_penalty=0.0, gae_lambda=1.0, max_tokens=9)
    return replace(made, **{"epochs": 2 if algorithm == "ppo" else 1} | changes)


def with_critic(policy) -> ScalarModel:
    model = ScalarModel(policy)
    model.head.weight = mx.random.normal((1, 16), key=mx.random.key(8)) * 0.3
    model.head.bias = mx.array([0.25])
    return model


def reward_of(rows) -> np.ndarray:
    return np.array([sum(r.tokens) % 7 / 7 for r in rows], np.float32)


@pytest.fixture
def rollouts(tiny):
    """`rollouts(**changes)`: rollouts of a tiny policy, which is its own reference."""
    def make(seed=0, prompts=None, max_tokens=9, **changes):
        rng = np.random.default_rng(1)
        prompts = prompts or [rng.integers(4, 48, n).tolist() for n in rng.integers(1, 12, 14)]
        model = with_critic(tiny(0))
        stops = (STOP, *range(20, 26))  # several, so that some rows stop
        return Rollouts(model, tiny(0), prompts, reward_of, Sampling(max_tokens, stop_tokens=stops),
                        settings_of(**changes), seed, critic_estimate)
    return make


def logprobs_of(model, row, start) -> np.ndarray:
    logits = np.array(model(mx.array([row.tokens])), np.float64)[0, start - 1:-1]
    logits -= logits.max(-1, keepdims=True)
    full = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return full[np.arange(len(full)), row.tokens[start:]]


def test_every_row_is_a_prompt_and_what_was_sampled_the_stop_token_too(rollouts):
    made = rollouts()
    rollout = made._collect(0)
    assert len(rollout.rows) == 10
    stopped = 0
    for i, row in enumerate(rollout.rows):
        start = row.mask.index(1)
        assert row.tokens[:start] in made.prompts
        assert row.mask == [0] * start + [1] * (len(row.tokens) - start)
        sampled = row.tokens[start:]
        assert not set(sampled[:-1]) & set(made.sampling.stop_tokens)
        stopped += sampled[-1] in made.sampling.stop_tokens
        assert sampled[-1] in made.sampling.stop_tokens or len(sampled) == 9
        assert {len(column[i]) for column in rollout.columns.values()} == {len(sampled)}
    assert 0 < stopped < 10


def test_values_stand_where_the_token_is_emitted(rollouts):
    made = rollouts()
    rollout = made._collect(0)
    for row, values in zip(rollout.rows, rollout.columns["values"], strict=True):
        start = row.mask.index(1)
        alone = np.array(made.model(mx.array([row.tokens])))[0]
        np.testing.assert_allclose(values, alone[start - 1:-1], atol=1e-5)
        assert np.abs(values - alone[start:]).max() > 1e-3  # one place on would be another number


def test_old_logprobs_are_those_of_a_fresh_pass(rollouts):
    made = rollouts()
    rollout = made._collect(0)
    for row, logprobs in zip(rollout.rows, rollout.columns["logprobs"], strict=True):
        np.testing.assert_allclose(logprobs, logprobs_of(made.policy, row, row.mask.index(1)), atol=1e-4)


def test_advantages_are_white_and_returns_are_the_reward(rollouts):
    made = rollouts()
    rollout = made._collect(0)
    scaled = reward_of(rollout.rows) * 2.0
    for returns, reward in zip(rollout.columns["returns"], scaled, strict=True):
        # Discount 1, lambda 1: the reward to come.
        np.testing.assert_allclose(returns, reward, atol=1e-5)
    everything = np.concatenate(rollout.columns["advantages"])
    assert everything.mean() == pytest.approx(0, abs=1e-5) and everything.std() == pytest.approx(1, abs=1e-4)
    raw = np.concatenate([reward - v for reward, v in zip(scaled, rollout.columns["values"], strict=True)])
    np.testing.assert_allclose(everything, (raw - raw.mean()) / raw.std(), atol=1e-4)


def test_discounted_the_reward_is_worth_less_earlier(rollouts):
    rollout = rollouts(discount=0.5)._collect(0)
    for returns, reward in zip(rollout.columns["returns"], reward_of(rollout.rows) * 2.0, strict=True):
        np.testing.assert_allclose(returns, reward * 0.5 ** np.arange(len(returns))[::-1], atol=1e-5)


def test_every_row_once_a_pass(rollouts):
    made = rollouts()
    order = made._order(0)
    assert len(order) == made.steps_per_rollout == 6 and len(made) == 12
    for epoch in (order[:3], order[3:]):
        assert sorted(np.concatenate(epoch)) == list(range(10)) and [len(p) for p in epoch] == [4, 4, 2]


def test_a_batch_holds_its_rows_in_order(rollouts):
    made = rollouts()
    made.micro_batches(0)
    batch, = made.micro_batches(1)
    _, rollout, order = made._current
    expected = [t for i in order[1] for t, m in zip(rollout.rows[i].tokens, rollout.rows[i].mask, strict=True) if m]
    assert np.array(batch["targets"])[0].tolist() == expected
    for name in ("logprobs", "values", "advantages", "returns"):
        column = np.concatenate([rollout.columns[name][i] for i in order[1]])
        np.testing.assert_array_equal(np.array(batch[name])[0], column)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_at_first_the_ratio_is_one_and_the_divergence_nought(algorithm, rollouts):
    made = rollouts(algorithm=algorithm)
    batch, = made.micro_batches(0)
    _, count, stats = loss_of(made.settings)(made.model, batch)
    assert count.item() == batch["targets"].size
    assert stats["kl"].item() / count.item() == pytest.approx(0, abs=1e-5)
    if algorithm == "ppo":
        assert stats["clip_fraction"].item() == 0
        assert stats["approx_kl"].item() / count.item() == pytest.approx(0, abs=1e-6)
    else:
        assert stats["logprob"].item() == pytest.approx(np.array(batch["logprobs"]).sum(), rel=1e-4)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_the_loss_is_its_four_parts(algorithm, rollouts, tiny):
    made = rollouts(algorithm=algorithm)
    made.reference = tiny(5)
    batch, = made.micro_batches(0)
    total, _, stats = loss_of(made.settings)(made.model, batch)
    rows = [made._current[1].rows[i] for i in made._current[2][0]]
    kl = entropy = 0.0
    for row in rows:
        start = row.mask.index(1)
        p, q = (np.array(m(mx.array([row.tokens])), np.float64)[0, start - 1:-1] for m in (made.policy, tiny(5)))
        p, q = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (p, q))
        kl += (np.exp(p) * (p - q)).sum()
        entropy -= (np.exp(p) * p).sum()
    advantages, values, returns, old = (np.array(batch[k], np.float64)[0]
                                        for k in ("advantages", "values", "returns", "logprobs"))
    surrogate = -advantages.sum() if algorithm == "ppo" else -(advantages * old).sum()
    expected = surrogate + 0.5 * 0.5 * ((values - returns) ** 2).sum() + 0.1 * kl - 0.01 * entropy
    assert (stats["kl"].item(), stats["entropy"].item()) == pytest.approx((kl, entropy), rel=1e-3)
    assert total.item() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_gradients_reach_policy_and_critic_but_not_the_reference(rollouts):
    made = rollouts()
    batch, = made.micro_batches(0)
    _, gradients = nn.value_and_grad(made.model, loss_of(made.settings))(made.model, batch)
    assert set(gradients) == {"trunk", "head"}
    assert np.abs(np.array(gradients["trunk"]["model"]["embed_tokens"]["weight"])).max() > 0
    assert np.abs(np.array(gradients["head"]["weight"])).max() > 0


def test_what_the_critic_learns_does_not_reach_the_policy(rollouts):
    made = rollouts(kl_penalty=0.0, entropy_bonus=0.0)
    batch, = made.micro_batches(0)
    batch["advantages"] = mx.zeros(batch["advantages"].shape)
    _, gradients = nn.value_and_grad(made.model, loss_of(made.settings))(made.model, batch)
    assert all(not np.array(found).any() for _, found in tree_flatten(gradients["trunk"]))
    hidden = np.array(prefix.at_targets(made.policy, batch), np.float64)
    values, returns = (np.array(batch[name], np.float64)[0] for name in ("values", "returns"))
    expected = made.settings.value_weight * (values - returns) @ hidden  # of half the squared error
    np.testing.assert_allclose(np.array(gradients["head"]["weight"])[0], expected, rtol=1e-3, atol=1e-4)
    assert np.abs(expected).max() > 0


def test_what_the_reference_finds_next_to_impossible_costs_its_probability(rollouts, tiny):
    made = rollouts(improbable_penalty=3.0)
    made.reference = tiny(5, tie_word_embeddings=False)
    made.reference.lm_head.weight = made.reference.lm_head.weight * 40  # it is sure
    batch, = made.micro_batches(0)
    total, _, stats = loss_of(made.settings)(made.model, batch)
    free, _, without = loss_of(replace(made.settings, improbable_penalty=0.0))(made.model, batch)
    both = response_logits(made.policy, batch), batch["reference_logits"][0]
    logits, reference = (np.array(x, np.float64) for x in both)
    p, q = (np.exp(x - x.max(-1, keepdims=True)) for x in (logits, reference))
    expected = np.where(q < 0.01, p / p.sum(-1, keepdims=True), 0).sum()
    assert 0 < expected < len(p) and stats["improbable"].item() == pytest.approx(expected, rel=1e-3)
    assert total.item() - free.item() == pytest.approx(3 * expected, rel=1e-2) and "improbable" not in without


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
@pytest.mark.parametrize("micro", [1, 3])
def test_a_minibatch_cut_into_micro_batches_teaches_the_same(algorithm, micro, rollouts, tiny):
    def learnt(micro):
        made = rollouts(algorithm=algorithm, minibatch=7)
        made.micro, made.reference = micro or made.micro, tiny(5)
        parts = made.micro_batches(0)
        return [len(b["tokens"]) for b in parts], loop.gradients(
            made.model, nn.value_and_grad(made.model, loss_of(made.settings)), parts)

    whole, (expected, weight, sums) = learnt(0)
    cut, (found, its_weight, its_sums) = learnt(micro)
    assert (whole, cut) == ([7], [1] * 7 if micro == 1 else [3, 3, 1])
    assert weight.item() == its_weight.item() > 0 and set(sums) == set(its_sums)
    for name, total in sums.items():
        np.testing.assert_allclose(its_sums[name].item() / weight.item(), total.item() / weight.item(), atol=1e-5)
    for (name, wanted), (_, got) in zip(tree_flatten(expected), tree_flatten(found), strict=True):
        np.testing.assert_allclose(np.array(got) / weight.item(), np.array(wanted) / weight.item(), atol=1e-5,
                                   err_msg=name)


def test_the_same_seed_rolls_out_the_same(rollouts):
    first, again, other = (rollouts(seed)._collect(1) for seed in (0, 0, 1))
    assert [r.tokens for r in first.rows] == [r.tokens for r in again.rows] != [r.tokens for r in other.rows]


def test_each_rollout_is_another(rollouts):
    made = rollouts()
    assert [r.tokens for r in made._collect(0).rows] != [r.tokens for r in made._collect(1).rows]


def test_figures_of_the_rollout(rollouts):
    made = rollouts()
    made.micro_batches(0)
    rows = made._current[1].rows
    assert made.figures() == {"reward": pytest.approx(reward_of(rows).mean()),
                              "length": pytest.approx(np.mean([sum(r.mask) for r in rows]))}


def test_the_reference_is_read_once_a_rollout(rollouts, tiny, monkeypatch):
    made = rollouts()
    made.reference = tiny(5)
    read = []
    monkeypatch.setattr(rolling, "response_logits",
                        lambda model, batch: read.append(len(batch["tokens"])) or response_logits(model, batch))
    for step in range(made.steps_per_rollout):  # two passes over ten rows
        batch, = made.micro_batches(step)
        fresh = np.array(response_logits(made.reference, batch))
        np.testing.assert_allclose(np.array(batch["reference_logits"])[0], fresh, atol=1e-5)
    assert read == [4, 4, 2]


def test_a_row_of_which_nothing_was_sampled_weighs_nothing(rollouts, monkeypatch):
    made, empty = rollouts(minibatch=1), Completion([], np.zeros(0, np.float32), False, np.zeros(0, np.float32))
    monkeypatch.setattr(rolling, "generate", lambda *a, **k: [empty, *generate(*a, **k)[1:]])
    with_empty = [made.micro_batches(step)[0] for step in range(10)]
    rollout = made._current[1]
    assert sum(rollout.rows[0].mask) == len(rollout.columns["advantages"][0]) == 0
    assert np.concatenate(rollout.columns["advantages"]).std() == pytest.approx(1, abs=1e-4)
    loss = nn.value_and_grad(made.model, loss_of(made.settings))
    counts = []
    for batch in with_empty:
        (total, count, stats), gradients = loss(made.model, batch)
        counts.append(count.item())
        for value in (total, *stats.values(), *(g for _, g in tree_flatten(gradients))):
            assert np.isfinite(np.array(value)).all()
            assert count.item() or not np.array(value).any()
    assert sorted(counts)[0] == 0 < sorted(counts)[1]


def test_a_rollout_of_which_nothing_was_sampled_weighs_nothing(rollouts, monkeypatch):
    made = rollouts()
    nothing = Completion([], np.zeros(0, np.float32), False, np.zeros(0, np.float32))
    monkeypatch.setattr(rolling, "generate", lambda *_, **__: [nothing] * 10)
    batch, = made.micro_batches(0)
    total, count, _ = loss_of(made.settings)(made.model, batch)
    assert (total.item(), count.item()) == (0, 0)


@pytest.mark.parametrize(("rewards", "named"), [
    ([], "0 finite rewards for 10 responses"), ([1.0] * 9, "9 finite"), ([1.0] * 9 + [float("nan")], "9 finite"),
])
def test_rewards_that_are_missing_or_not_numbers(rewards, named, rollouts):
    made = rollouts()
    made.reward = lambda rows: np.array(rewards, np.float32)
    with pytest.raises(UserError, match=named):
        made.micro_batches(0)


def test_a2c_takes_one_pass():
    with pytest.raises(UserError, match="a2c with 2 epochs"):
        settings_of("a2c", epochs=2)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "grppo"])
def test_an_algorithm_that_is_none_is_found_where_params_are_read(algorithm, tmp_path):
    path, knobs = tmp_path / "params.yaml", asdict(settings_of("a2c")) | {"algorithm": algorithm}
    path.write_text("rl:\n" + "".join(f"  {name}: {value}\n" for name, value in knobs.items()))
    if algorithm == "grppo":
        with pytest.raises(UserError, match=r"rl\.algorithm(.|\n)*one of ppo, a2c"):
            params.load("rl", Policy, path)
    else:
        assert params.load("rl", Policy, path) == replace(settings_of("a2c"), algorithm=algorithm)


def test_more_prompts_than_there_are(rollouts):
    with pytest.raises(UserError, match="prompts_per_rollout is 10"):
        rollouts(prompts=[[1], [2]])


def test_no_run_goes_on_inside_a_rollout(rollouts):
    with pytest.raises(RuntimeError, match="must be a multiple of 6 steps"):
        rollouts().micro_batches(4)


def bandit(tiny, folder, algorithm: str, kl_penalty: float) -> tuple[float, float, float]:
    """Probability of the one rewarded token before and after training, and the KL of after to before, in nats."""
    good, prompt = 7, [5]
    model, start = with_critic(tiny(0)), tiny(0)
    settings = settings_of(algorithm, rollouts=18, prompts_per_rollout=64, minibatch=64, reward_scale=1.0,
                           kl_penalty=kl_penalty, entropy_bonus=0.0)

    def paid(rows) -> np.ndarray:
        return np.array([r.tokens[-1] == good for r in rows], np.float32)

    made = Rollouts(model, start, [prompt] * 64, paid, Sampling(1), settings, 0, critic_estimate)
    train(model, loss_of(settings), made, Settings(2e-2, warmup=0.0, weight_decay=0.0, checkpoint_every=1000),
          scratch=folder / "run", run_id="bandit")
    before, after = (np.array(m(mx.array([prompt])), np.float64)[0, 0] for m in (start, model.trunk))
    p, q = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (after, before))
    return q[good], p[good], float((p * np.log(p / q)).sum())


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_a_bandit_is_solved_and_the_penalty_holds_it_back(algorithm, tiny, tmp_path):
    before, after, moved = bandit(tiny, tmp_path / "free", algorithm, 0.0)
    assert before < 0.1 and after > 0.6
    _, held, near = bandit(tiny, tmp_path / "held", algorithm, 5.0)
    assert before < held < after - 0.2 and near < moved / 4
