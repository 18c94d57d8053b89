"""What fills short rows is never attended to and never learned: any other id gives the same loss and gradients."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.models.batches import PAD
from realign.models.chat import Encoded
from realign.models.generate import Completion, Sampling
from realign.models.heads import ScalarModel
from realign.objectives import group, policy, preference, reward, sft
from realign.objectives.losses.policy import Grpo
from realign.objectives.losses.preference import Preference
from realign.train.rollouts import Rollout, Rollouts
from realign.train.settings import Policy


def encoded(n, seed) -> list[Encoded]:
    """Rows of 4 to 21 tokens, none of them PAD."""
    rng = np.random.default_rng(seed)
    return [Encoded(rng.integers(1, 48, k).tolist(), [0, 1, *rng.integers(0, 2, k - 2).tolist()])
            for k in rng.integers(4, 22, n)]


def scalar(trunk) -> ScalarModel:
    model = ScalarModel(trunk)
    model.head.weight = mx.random.normal((1, 16), key=mx.random.key(0))
    return model


def supervised(tiny):
    return tiny(0), sft.loss, sft.SFT.collate(encoded(5, 0))


def rewarded(tiny):
    rows = [(c, r, 0.2) for c, r in zip(encoded(4, 1), encoded(4, 2), strict=True)]
    return scalar(tiny(0)), reward.loss, reward.collate(rows)


def direct(tiny):
    pairs = list(zip(encoded(4, 1), encoded(4, 2), strict=True))
    dpo, reference = preference.objective(Preference()), preference.reference_logprobs(tiny(1), pairs)
    return tiny(0), dpo.loss, dpo.collate(preference.with_reference(pairs, reference))


def rolled_out(model, tiny, how, objective, shared: bool):
    """A batch of responses to five prompts, or to two whose tokens stand in it once."""
    rng = np.random.default_rng(3)
    prompts = [rng.integers(1, 48, k).tolist() for k in ((17, 9) if shared else (17, 9, 2, 6, 11))]
    rows, samples = [], []
    for i in range(6):
        drawn, prompt = rng.integers(1, 48, rng.integers(1, 9)).tolist(), prompts[i % len(prompts)]
        rows.append(Encoded([*prompt, *drawn], [0] * len(prompt) + [1] * len(drawn)))
        numbers = rng.normal(-2, 0.5, (2, len(drawn))).astype(np.float32)
        samples.append(Completion(drawn, numbers[0], False, numbers[1]))
    made = Rollouts(model, tiny(1), prompts, len, Sampling(9), how, 0, objective.estimate)
    columns = made._columns(rows, samples, rng.normal(size=6).astype(np.float32), np.arange(6))
    batch = made._batch(Rollout(rows, columns), np.arange(6))
    assert ("prompts" in batch) == shared
    return model, objective.loss(how), batch


def criticised(tiny, shared=False):
    how = Policy(seed=0, algorithm="ppo", rollouts=1, prompts_per_rollout=2, minibatch=6, epochs=1, learning_rate=1e-3,
                 warmup=0.0, kl_penalty=0.1, entropy_bonus=0.01, reward_scale=1.0, value_weight=0.5, clip=0.2,
                 improbable_penalty=0.0, discount=1.0, gae_lambda=0.95, max_tokens=9)
    return rolled_out(scalar(tiny(0)), tiny, how, policy.WITH_CRITIC, shared)


def grouped(tiny, kl="exact"):
    how = group.GroupSettings(1, 2, 3, 6, 1, "std", kl, Grpo())
    return rolled_out(tiny(0), tiny, how, group.BY_GROUP, True)


OBJECTIVES = {"sft": supervised, "reward": rewarded, "dpo": direct, "ppo": criticised,
              "ppo, shared prompts": lambda tiny: criticised(tiny, True), "grpo": grouped,
              "grpo, sampled kl": lambda tiny: grouped(tiny, "sampled")}


def graded(model, loss, batch) -> dict[str, np.ndarray]:
    (total, weight, stats), gradients = nn.value_and_grad(model, loss)(model, batch)
    return {name: np.array(value) for name, value in
            {"loss": total, "weight": weight, **stats, **dict(tree_flatten(gradients))}.items()}


@pytest.mark.parametrize("token", [1, 47])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_another_id_in_the_padding_changes_nothing(name, token, tiny, refilled):
    model, loss, batch = OBJECTIVES[name](tiny)
    other = refilled(batch, token)
    assert (np.array(batch["tokens"]) == PAD).any() and not (np.array(other["tokens"]) == PAD).any()
    expected, found = graded(model, loss, batch), graded(model, loss, other)
    assert np.abs(expected["loss"]) > 1e-3 and set(expected) == set(found)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_another_id_in_the_rows_is_seen(name, tiny):
    model, loss, batch = OBJECTIVES[name](tiny)
    expected = graded(model, loss, batch)
    changed = graded(model, loss, batch | {"tokens": mx.where(batch["tokens"] == PAD, PAD, 47 - batch["tokens"] + 1)})
    assert abs(changed["loss"] - expected["loss"]) > 1e-3
