"""Reward models: read at the last token, trained by pairs, scored in any order."""

import mlx.core as mx
import numpy as np
import pytest

from realign.models.chat import Encoded
from realign.models.heads import ScalarModel
from realign.train import reward
from realign.train.loop import Settings, train


def rows(n, seed, token=None):
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(4, 40, k).tolist() for k in rng.integers(2, 19, n)]
    return [Encoded(t if token is None else [*t, token], [1] * (len(t) + (token is not None))) for t in tokens]


@pytest.fixture
def model(tiny):
    made = ScalarModel(tiny(2))
    made.head.weight = mx.random.normal((1, 16), key=mx.random.key(1))
    return made


def test_scores_are_each_rows_own_in_their_order(model, monkeypatch):
    monkeypatch.setattr(reward, "SCORE_BATCH", 4)
    found = rows(11, 0)
    alone = [np.array(model(mx.array([r.tokens])))[0, -1] for r in found]
    np.testing.assert_allclose(reward.score(model, found, 0), alone, atol=1e-5)
    np.testing.assert_allclose(reward.score(model, found, 47), alone, atol=1e-5)  # whatever fills the batch
    assert reward.score(model, [], 0).shape == (0,)


def test_the_loss_is_bradley_terrys(model):
    pairs = list(zip(rows(5, 1), rows(5, 2), strict=True))
    batch, = reward.PairBatches.of(pairs, 5, 1, 0, 0).micro_batches(0)
    total, count, stats = reward.loss(model, batch)
    chosen, rejected = (reward.score(model, list(side), 0).astype(float) for side in zip(*pairs, strict=True))
    assert total.item() == pytest.approx(np.log1p(np.exp(rejected - chosen)).sum(), rel=1e-4)
    assert (count.item(), stats["accuracy"].item()) == (5, (chosen > rejected).sum())


def test_it_learns_which_token_is_liked(tiny, tmp_path):
    model = ScalarModel(tiny(2))
    pairs = list(zip(rows(24, 1, token=41), rows(24, 2, token=42), strict=True))
    train(model, reward.loss, reward.PairBatches.of(pairs, 8, 5, 0, 0), Settings(1e-2), scratch=tmp_path / "run", mark="m")
    unseen = list(zip(rows(20, 3, token=41), rows(20, 4, token=42), strict=True))
    chosen, rejected = (reward.score(model, list(side), 0) for side in zip(*unseen, strict=True))
    assert (chosen > rejected).mean() > 0.9


def test_doubt_is_the_share_of_the_swapped_label(model):
    pairs, doubts = list(zip(rows(5, 1), rows(5, 2), strict=True)), [0.0, 0.1, 0.2, 0.3, 0.5]
    batches = reward.PairBatches.of(pairs, 5, 1, 0, 0, doubts)
    total, _, _ = reward.loss(model, *batches.micro_batches(0))
    chosen, rejected = (reward.score(model, list(side), 0).astype(float) for side in zip(*pairs, strict=True))
    share = np.array(doubts)
    expected = (1 - share) * np.log1p(np.exp(rejected - chosen)) + share * np.log1p(np.exp(chosen - rejected))
    assert total.item() == pytest.approx(expected.sum(), rel=1e-4)


def test_with_doubt_the_margin_settles_at_its_log_odds(tiny, tmp_path):
    model = ScalarModel(tiny(2))
    pairs = list(zip(rows(24, 1, token=41), rows(24, 2, token=42), strict=True))
    batches = reward.PairBatches.of(pairs, 8, 60, 0, 0, [0.2] * 24)
    train(model, reward.loss, batches, Settings(1e-2), scratch=tmp_path / "run", mark="m")
    chosen, rejected = (reward.score(model, list(side), 0) for side in zip(*pairs, strict=True))
    assert (chosen - rejected).mean() == pytest.approx(np.log(0.8 / 0.2), abs=0.2)
