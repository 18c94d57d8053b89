"""Reward models: read at the last token, trained by pairs, scored in any order."""

import mlx.core as mx
import numpy as np
import pytest

from realign.models import build, chat, heads
from realign.models.chat import Encoded
from realign.models.heads import ScalarModel
from realign.objectives import reward
from realign.train.batches import RowBatches
from realign.train.loop import Settings, train


def rows(n, seed, token=None):
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(4, 40, k).tolist() for k in rng.integers(2, 19, n)]
    return [Encoded(t if token is None else [*t, token], [1] * (len(t) + (token is not None))) for t in tokens]


def pairs_of(n, seeds, tokens=(None, None), doubts=0.0):
    """Rows of the objective: chosen, rejected, and the doubt, one for all or one for each."""
    sides = (rows(n, seed, token) for seed, token in zip(seeds, tokens, strict=True))
    return list(zip(*sides, np.broadcast_to(doubts, n).tolist(), strict=True))


def batches_of(pairs, size, epochs=1):
    return RowBatches.of(pairs, reward.collate, reward.weigh, size, epochs, 0)


@pytest.fixture
def model(tiny):
    made = ScalarModel(tiny(2))
    made.head.weight = mx.random.normal((1, 16), key=mx.random.key(1))
    return made


def by_numpy(model, row) -> float:
    """The reward of one row: the head at its last token, and half of the mean log p + H over the tokens of its last
    answer, counted one by one from the answer's end."""
    tokens = mx.array([row.tokens])
    logits, found = np.array(model.trunk(tokens))[0].astype(np.float64), []
    end = max((i for i, target in enumerate(row.mask) if target and i), default=0)
    while end and row.mask[end]:
        p = np.exp(logits[end - 1]) / np.exp(logits[end - 1]).sum()
        found.append(np.log(p[row.tokens[end]]) - (p * np.log(p)).sum())
        end -= 1
    return float(np.array(model(tokens))[0, -1]) + 0.5 * np.mean(found or [0.0])


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_scores_are_each_rows_own_in_their_order(model, weight, monkeypatch, refilled):
    monkeypatch.setattr(heads, "SCORE_BATCH", 4)
    model.typicality = weight
    model.trunk.update({"model": {"embed_tokens": {"weight": model.trunk.model.embed_tokens.weight * 3}}})
    found = rows(11, 0)
    alone = [by_numpy(model, r) if weight else np.array(model(mx.array([r.tokens])))[0, -1] for r in found]
    np.testing.assert_allclose(heads.score(model, found), alone, atol=1e-5)
    assert heads.score(model, []).shape == (0,)
    own = heads.scalar_batch
    monkeypatch.setattr(heads, "scalar_batch", lambda part: refilled(own(part), 47))
    np.testing.assert_allclose(heads.score(model, found), alone, atol=1e-5)  # whatever fills the batch


def test_what_is_typical_is_told_by_the_last_answer_alone(model):
    model.typicality = 0.5
    model.trunk.update({"model": {"embed_tokens": {"weight": model.trunk.model.embed_tokens.weight * 3}}})
    tokens = [5, 9, 14, 23, 7, 31, 18, 40]
    masks = {"one": [0, 0, 0, 0, 0, 1, 1, 1], "two turns": [0, 1, 1, 0, 0, 1, 1, 1],
             "text behind": [0, 0, 1, 1, 1, 1, 0, 0], "no target": [0] * 8, "from the start": [1] * 8}
    found = {name: Encoded(tokens, mask) for name, mask in masks.items()}
    scores = dict(zip(found, heads.score(model, list(found.values())), strict=True))
    for name, row in found.items():
        assert scores[name] == pytest.approx(by_numpy(model, row), abs=1e-4), name
    assert scores["one"] == pytest.approx(scores["two turns"], abs=1e-5)
    assert len({round(float(v), 3) for v in scores.values()}) == 4


def test_a_trunk_that_knows_what_is_right_says_so_through_an_untrained_head(tiny):
    """The planted fault is one exchanged token; a head alone cannot tell, as it says nothing yet."""
    trunk = tiny(2)
    trunk.update({"model": {"embed_tokens": {"weight": trunk.model.embed_tokens.weight * 4}}})
    prompts = [row.tokens for row in rows(12, 0)]
    right = [[*p, int(np.array(trunk(mx.array([p])))[0, -1].argmax())] for p in prompts]
    wrong = [[*p, (t[-1] + 7) % 48] for p, t in zip(prompts, right, strict=True)]
    told = [heads.score(ScalarModel(trunk, weight), [Encoded(t, [0] * (len(t) - 1) + [1]) for t in side])
            for weight in (1.0, 0.0) for side in (right, wrong)]
    assert (told[0] > told[1]).all() and not (told[2] - told[3]).any()


def sides(model, pairs):
    """Rewards of the chosen and of the rejected."""
    return [side.astype(float) for side in reward.values(model, [(chosen, rejected) for chosen, rejected, _ in pairs])]


def test_the_loss_is_bradley_terrys(model):
    pairs = pairs_of(5, (1, 2))
    batch, = batches_of(pairs, 5).micro_batches(0)
    total, count, stats = reward.loss(model, batch)
    chosen, rejected = sides(model, pairs)
    assert total.item() == pytest.approx(np.log1p(np.exp(rejected - chosen)).sum(), rel=1e-4)
    assert (count.item(), stats["accuracy"].item()) == (5, (chosen > rejected).sum())


def test_it_learns_which_token_is_liked(tiny, tmp_path):
    model = ScalarModel(tiny(2))
    batches = batches_of(pairs_of(24, (1, 2), (41, 42)), 8, epochs=5)
    train(model, reward.loss, batches, Settings(1e-2), scratch=tmp_path / "run", run_id="m")
    chosen, rejected = sides(model, pairs_of(20, (3, 4), (41, 42)))
    assert (chosen > rejected).mean() > 0.9


def test_doubt_is_the_share_of_the_swapped_label(model):
    share = np.array([0.0, 0.1, 0.2, 0.3, 0.5])
    pairs = pairs_of(5, (1, 2), doubts=share)
    total, _, _ = reward.loss(model, *batches_of(pairs, 5).micro_batches(0))
    chosen, rejected = sides(model, pairs)
    expected = (1 - share) * np.log1p(np.exp(rejected - chosen)) + share * np.log1p(np.exp(chosen - rejected))
    assert total.item() == pytest.approx(expected.sum(), rel=1e-4)


def test_with_doubt_the_margin_settles_at_its_log_odds(tiny, tmp_path):
    model = ScalarModel(tiny(2))
    pairs = pairs_of(24, (1, 2), (41, 42), doubts=0.2)
    train(model, reward.loss, batches_of(pairs, 8, epochs=60), Settings(1e-2), scratch=tmp_path / "run", run_id="m")
    chosen, rejected = sides(model, pairs)
    assert (chosen - rejected).mean() == pytest.approx(np.log(0.8 / 0.2), abs=0.2)


def test_doubts_by_hand():
    # 1 − σ(2 × 0.5) and, where the scores are alike, an even chance; certainty 0 knows nothing.
    assert reward.doubts([0.5, 0.0], 2.0) == pytest.approx([1 / (1 + np.e), 0.5])
    assert reward.doubts([1.0, 9.0], 0.0) == [0.5, 0.5]


def test_accuracy_and_loss_of_pairs(model):
    pairs = pairs_of(9, (5, 6))
    chosen, rejected = sides(model, pairs)
    given = [(c, r) for c, r, _ in pairs]
    assert reward.accuracy(model, given).value == (chosen > rejected).mean() and reward.accuracy(model, given).n == 9
    expected = np.log1p(np.exp(rejected - chosen)).mean()
    assert reward.mean_loss(*reward.values(model, given)).value == pytest.approx(expected, rel=1e-6)


def test_pairs_are_encoded_by_split(tiny_folder):
    _, tokenizer, _ = build.load(str(tiny_folder))
    asked = [{"role": "user", "content": "What is gold?"}]
    found = reward.encode_pairs(tokenizer, [
        {"messages": asked, "chosen": "A metal", "rejected": "Lima", "split": split}
        for split in ("train", "validation", "train")])
    assert {split: len(pairs) for split, pairs in found.items()} == {"train": 2, "validation": 1}
    for pair in found["train"] + found["validation"]:
        learnt = [[t for t, m in zip(side.tokens, side.mask, strict=True) if m] for side in pair]
        assert [chat.decode(tokenizer, tokens) for tokens in learnt] == ["A metal", "Lima"]
