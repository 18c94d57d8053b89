"""DPO and its variants on batches of a tiny model: against float64 NumPy, and a preference to learn."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.errors import UserError
from realign.models.chat import Encoded
from realign.objectives import preference
from realign.objectives.losses.preference import Preference
from realign.objectives.preference import loss_of, objective, reference_logprobs, with_reference
from realign.train.batches import RowBatches
from realign.train.loop import Settings, train

VARIANTS = [Preference("sigmoid", 0.3), Preference("sigmoid", 0.3, label_smoothing=0.1),
            Preference("ipo", 0.4), Preference("simpo", 2.0, gamma=0.7), Preference("orpo", 0.25)]
NAMES = ["dpo", "cdpo", "ipo", "simpo", "orpo"]


def pairs_of(n, seed, last=(None, None)):
    """Pairs that share a prompt, with the answers as targets; `last` ends the chosen and the rejected."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        prompt = rng.integers(4, 40, rng.integers(1, 7)).tolist()
        answers = [rng.integers(4, 40, k).tolist() + ([] if end is None else [end])
                   for k, end in zip(rng.integers(1, 12, 2), last, strict=True)]
        made.append(tuple(Encoded([*prompt, *a], [0] * len(prompt) + [1] * len(a)) for a in answers))
    return made


def batches_of(pairs, reference, size, epochs=1, micro=None, s=VARIANTS[0]):
    """Batches of pairs with the reference's log-probabilities; they are the same for every variant."""
    dpo = objective(s)
    return RowBatches.of(with_reference(pairs, reference), dpo.collate, dpo.weigh, size, epochs, 0, micro)


def logprob_of(model, row) -> float:
    """Float64, summed over the targets; one row, nothing padded."""
    logits = np.array(model(mx.array([row.tokens])), np.float64)[0, :-1]
    logits -= logits.max(-1, keepdims=True)
    full = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return full[np.arange(len(full)), row.tokens[1:]] @ np.array(row.mask[1:])


def graded_in_numpy(policy, reference, s):
    """From the papers, in float64: each pair's loss, its implicit rewards, and the loss's slope in the
    log-probability of either side. `policy` is its sums and token counts; all but the loss (pairs, 2)."""
    sums, tokens = policy
    means = sums / tokens

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    if s.variant == "sigmoid":
        rewards = s.beta * (sums - reference)
        z = rewards[:, 0] - rewards[:, 1]
        loss = -(1 - s.label_smoothing) * np.log(sigmoid(z)) - s.label_smoothing * np.log(sigmoid(-z))
        by_z = s.label_smoothing * sigmoid(z) - (1 - s.label_smoothing) * sigmoid(-z)
        slope = np.stack([by_z * s.beta, -by_z * s.beta], 1)
    elif s.variant == "ipo":
        ratios = (sums - reference) / tokens
        rewards, away = s.beta * ratios, ratios[:, 0] - ratios[:, 1] - 1 / (2 * s.beta)
        loss, slope = away ** 2, np.stack([2 * away, -2 * away], 1) / tokens
    elif s.variant == "simpo":
        rewards = s.beta * means
        z = rewards[:, 0] - rewards[:, 1] - s.gamma
        loss, slope = -np.log(sigmoid(z)), np.stack([-sigmoid(-z), sigmoid(-z)], 1) * s.beta / tokens
    else:
        rewards, odds = s.beta * means, means - np.log(1 - np.exp(means))
        z = odds[:, 0] - odds[:, 1]
        loss = -means[:, 0] - s.beta * np.log(sigmoid(z))
        by_odds = s.beta * sigmoid(-z)[:, None] / (1 - np.exp(means)) * [-1, 1]
        slope = (by_odds - [1, 0]) / tokens
    return loss, rewards, slope


def check_batch(loss, s, tiny):
    """Values, statistics and gradient of one batch, planned and padded, against NumPy and plain MLX."""
    pairs, model = pairs_of(6, 0), tiny(0)
    reference = reference_logprobs(tiny(5), pairs)
    batches = batches_of(pairs, reference, 6, s=s)
    (total, count, stats), gradient = nn.value_and_grad(model, loss)(model, *batches.micro_batches(0))
    sums = np.array([[logprob_of(model, row) for row in pair] for pair in pairs])
    tokens = np.array([[sum(row.mask) for row in pair] for pair in pairs])
    expected, rewards, slope = graded_in_numpy((sums, tokens), reference, s)
    margin = rewards[:, 0] - rewards[:, 1]
    assert (count.item(), total.item()) == (6, pytest.approx(expected.sum(), rel=1e-4))
    assert {k: v.item() for k, v in stats.items()} == pytest.approx(
        {"accuracy": (margin > 0).sum(), "margin": margin.sum(), "chosen_reward": rewards[:, 0].sum(),
         "rejected_reward": rewards[:, 1].sum()}, rel=1e-4, abs=1e-4)

    def plain(model):
        total, rows = 0.0, [row for pair in pairs for row in pair]
        for row, weight in zip(rows, slope.reshape(-1).tolist(), strict=True):
            start = row.mask.index(1)
            logits, answer = model(mx.array([row.tokens]))[0, start - 1:-1], mx.array(row.tokens[start:])
            total = total - weight * nn.losses.cross_entropy(logits, answer).sum()
        return total

    _, wanted = nn.value_and_grad(model, plain)(model)
    for (name, found), (_, right) in zip(tree_flatten(gradient), tree_flatten(wanted), strict=True):
        np.testing.assert_allclose(np.array(found), np.array(right), atol=2e-4, err_msg=name)


@pytest.mark.parametrize("s", VARIANTS, ids=NAMES)
def test_a_batch_against_float64(s, tiny):
    check_batch(loss_of(s), s, tiny)


@pytest.mark.parametrize("s", VARIANTS, ids=NAMES)
def test_a_sign_flip_is_caught(s, tiny):
    def flipped(model, batch):
        total, count, stats = loss_of(s)(model, batch)
        return -total, count, stats

    with pytest.raises(AssertionError):
        check_batch(flipped, s, tiny)


@pytest.mark.parametrize("s", VARIANTS, ids=NAMES)
def test_swapped_sides_are_caught(s, tiny):
    def swapped(model, batch):
        rows, width = batch["tokens"].shape
        turned = [*range(rows // 2, rows), *range(rows // 2)]
        mask = np.zeros((rows, width - 1), bool)
        mask.flat[np.array(batch["positions"])] = True
        return loss_of(s)(model, {
            "tokens": batch["tokens"][mx.array(turned)], "reference": batch["reference"][:, ::-1],
            "positions": mx.array(np.flatnonzero(mask[turned]).astype(np.uint32))})

    with pytest.raises(AssertionError):
        check_batch(swapped, s, tiny)


def test_hand_worked_batch(tiny):
    # References 1 nat below the chosen and 2 above the rejected: β h = 0.1 × 3, and −log σ(0.3) = 0.554355.
    pairs, model = pairs_of(3, 1), tiny(0)
    reference = np.array([[logprob_of(model, c) - 1, logprob_of(model, r) + 2] for c, r in pairs], np.float32)
    batch, = batches_of(pairs, reference, 3).micro_batches(0)
    total, count, stats = loss_of(Preference(beta=0.1))(model, batch)
    assert (total.item(), count.item()) == (pytest.approx(3 * 0.554355, abs=1e-4), 3)
    assert {k: v.item() / 3 for k, v in stats.items()} == pytest.approx(
        {"accuracy": 1, "margin": 0.3, "chosen_reward": 0.1, "rejected_reward": -0.2}, abs=1e-4)


def test_reference_logprobs_are_each_sides_own_in_their_order(tiny, monkeypatch):
    monkeypatch.setattr(preference, "SCORE_BATCH", 4)
    pairs, model = pairs_of(7, 2), tiny(1)
    found = reference_logprobs(model, pairs)
    assert (found.shape, found.dtype) == ((7, 2), np.float32)
    alone = [[logprob_of(model, row) for row in pair] for pair in pairs]
    np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-4)
    assert reference_logprobs(model, []).shape == (0, 2)


def test_the_reference_is_read_without_dropout_and_left_as_it_was():
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = []

    model, pairs = Dropping(), pairs_of(2, 3)
    model.train()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preference, "row_logprobs",
                      lambda m, batch: (m.seen.append(m.training) or mx.zeros((4,)),))
        reference_logprobs(model, pairs)
    assert model.seen == [False] and model.training


def test_micro_batches_are_the_batch_and_every_pair_comes_once_an_epoch(tiny):
    pairs, model = pairs_of(7, 4), tiny(0)
    reference = np.arange(14, dtype=np.float32).reshape(7, 2) - 30
    whole, cut = (batches_of(pairs, reference, 4, 2, micro) for micro in (None, 3))
    assert (len(whole), [len(b["tokens"]) // 2 for b in cut.micro_batches(0)]) == (4, [3, 1])
    for epoch in ((0, 1), (2, 3)):
        seen = np.concatenate([np.array(b["reference"]) for step in epoch for b in cut.micro_batches(step)])
        np.testing.assert_array_equal(np.sort(seen[:, 0]), reference[:, 0])
    loss = loss_of(Preference())
    total, count, _ = loss(model, *whole.micro_batches(0))
    parts = [loss(model, batch) for batch in cut.micro_batches(0)]
    assert sum(p[0].item() for p in parts) == pytest.approx(total.item(), rel=1e-5)
    assert sum(p[1].item() for p in parts) == count.item() == 4


def test_a_side_without_a_target_weighs_nothing(tiny):
    (chosen, rejected), *rest = pairs_of(3, 5)
    pairs, model = [(chosen, Encoded(rejected.tokens, [0] * len(rejected.tokens))), *rest], tiny(0)
    loss = nn.value_and_grad(model, loss_of(Preference()))
    with_it, without = (batches_of(p, np.zeros((len(p), 2)), 3) for p in (pairs, rest))
    (total, count, _), gradient = loss(model, *with_it.micro_batches(0))
    (alone, _, _), expected = loss(model, *without.micro_batches(0))
    assert (total.item(), count.item()) == (pytest.approx(alone.item(), rel=1e-5), 2)
    for (_, found), (_, wanted) in zip(tree_flatten(gradient), tree_flatten(expected), strict=True):
        np.testing.assert_allclose(np.array(found), np.array(wanted), atol=1e-5)


@pytest.mark.parametrize("variant", ["sigmoid", "ipo"])
def test_a_variant_that_needs_the_reference_asks_for_it(variant, tiny):
    batch, = batches_of(pairs_of(2, 6), None, 2, s=Preference(variant)).micro_batches(0)
    with pytest.raises(UserError, match=f"{variant} without the reference"):
        loss_of(Preference(variant))(tiny(0), batch)


@pytest.mark.parametrize("reference", [np.zeros((3, 2)), np.zeros(2), np.array([[0, 0], [0, np.nan]])])
def test_reference_logprobs_that_do_not_fit_the_pairs(reference):
    with pytest.raises(UserError, match="for 2 pairs"):
        with_reference(pairs_of(2, 7), reference)


@pytest.mark.parametrize("s", VARIANTS, ids=NAMES)
def test_it_learns_which_ending_is_preferred(s, tiny, tmp_path):
    # The chosen end with 41, the rejected with 42; the rest is noise.
    pairs, unseen = (pairs_of(n, seed, last=(41, 42)) for n, seed in ((24, 8), (12, 9)))
    model, start = (tiny(0, num_hidden_layers=2) for _ in range(2))  # one layer looks too little ahead for ORPO
    reference = reference_logprobs(start, pairs) if s.needs_reference else None
    batches = batches_of(pairs, reference, 8, 6, s=s)
    state = train(model, loss_of(s), batches, Settings(1e-2, log_every=1), scratch=tmp_path / "run", run_id="m")
    assert state.history[-1]["margin"] > state.history[0]["margin"]
    # What it prefers on pairs that it never saw: the ending, and so the log-ratio of the whole side.
    ratios = reference_logprobs(model, unseen) - reference_logprobs(start, unseen)
    assert (ratios[:, 0] > ratios[:, 1]).mean() > 0.8
