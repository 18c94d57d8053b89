"""A policy on held-out prompts: what it samples, what that earns by whichever tokenizer, how far it has moved."""

import mlx.core as mx
import numpy as np
import pytest

from realign.evaluate import responses
from realign.evaluate.drift import drift
from realign.evaluate.policy import grounded, measure, rewarder
from realign.models import build, chat, heads, tokenizer
from realign.models.chat import with_answer
from realign.verify.reference import Score

CHATS = [{"messages": [{"role": "user", "content": text}]}
         for text in ("What is gold?", "Peru?", "3 apples and 14")] * 2


@pytest.fixture(scope="module")
def policy(tiny_folder):
    """A policy and its tokenizer."""
    return build.load(str(tiny_folder))[:2]


@pytest.fixture
def judge(tiny, tiny_config, tokenizer_folder, tmp_path):
    """`judge(own)`: a reward model from disk with its tokenizer, that of the policy or its own."""
    def made(own: bool):
        folder = tmp_path / str(own)
        folder.mkdir()
        model = heads.ScalarModel(tiny(5, vocab_size=340))
        model.head.weight = mx.random.normal(model.head.weight.shape, key=mx.random.key(5))
        heads.save_scalar(model, tiny_config(vocab_size=340), tokenizer_folder, folder)
        if own:
            tokenizer.save(tokenizer.train(["Gold and Peru, apples or lemons"] * 3, 340, 20), folder, 128)
        return heads.load_scalar(folder)

    return made


def sampled(policy):
    return responses.rows(*policy, CHATS, responses.at_temperature(policy[1], 8), 3)


def test_a_reward_model_of_the_same_tokens_reads_them(policy, judge):
    rows, (model, own) = sampled(policy), judge(False)
    found = rewarder(model, own, policy[1], CHATS)(rows)
    alone = [float(model(mx.array([row.tokens]))[0, -1]) for row in rows]
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert np.array_equal(found, heads.score(model, rows)) and np.ptp(found) > 1e-3


def test_a_reward_model_with_a_tokenizer_of_its_own_reads_the_text(policy, judge):
    rows, (model, own) = sampled(policy), judge(True)
    texts = responses.texts(policy[1], rows)
    found = rewarder(model, own, policy[1], CHATS)(rows)
    read = chat.encode(own, [with_answer(c, text) for c, text in zip(CHATS, texts, strict=True)])
    assert np.array_equal(found, heads.score(model, read))
    assert not np.allclose(found, heads.score(model, rows))  # the policy's own tokens


def test_rows_are_known_by_their_prompts_in_whatever_order_and_number(policy, judge):
    rows = sampled(policy)
    for own in (False, True):
        model, its = judge(own)
        reward = rewarder(model, its, policy[1], CHATS)
        assert np.array_equal(reward(rows)[::-1], reward(rows[::-1]))
        assert np.allclose(reward(rows)[2:3], reward(rows[2:3]), atol=1e-5)


def test_a_row_of_another_chat_is_not_scored_as_if_it_were_known(policy, judge):
    model, own = judge(True)
    with pytest.raises(KeyError):
        rewarder(model, own, policy[1], CHATS[:1])(sampled(policy)[1:2])


def test_it_is_measured_on_what_it_samples_against_its_reference(policy, tiny):
    model, its = policy
    reference = tiny(9, vocab_size=340)
    found = measure(model, reference, its, CHATS, 8, 3)
    assert found.rows == sampled(policy) and found.texts == responses.texts(its, found.rows)
    assert (found.kl, found.entropy) == drift(model, reference, found.rows)
    assert found.kl.value > 0.01 and found.kl.n == len(CHATS)
    turned = measure(reference, model, its, CHATS, 8, 3)  # the other one samples then
    assert turned.rows != found.rows and turned.kl != found.kl


def test_the_same_seed_measures_the_same_and_another_something_else(policy):
    model, its = policy
    assert measure(model, model, its, CHATS, 8, 3) == measure(model, model, its, CHATS, 8, 3)
    other = measure(model, model, its, CHATS, 8, 4)
    assert other.rows != sampled(policy) and abs(other.kl.value) < 1e-5  # it has not moved from itself


def test_a_grounded_reward_is_less_where_the_scorer_gives_nothing(policy):
    rows, seen = sampled(policy), []

    def scorer(chats, texts):
        seen.extend(zip(chats, texts, strict=True))
        return [Score(0.0 if "gold" in chat["messages"][0]["content"] else 0.6, "", {}) for chat in chats]

    order = [4, 0, 3, 2]
    found = grounded(lambda some: np.arange(len(some), dtype=np.float32), scorer, policy[1], CHATS, 2.0)(
        [rows[i] for i in order])
    assert found.tolist() == [0.0, -1.0, 0.0, 3.0]  # places 1 and 2 ask about gold
    texts = responses.texts(policy[1], rows)
    assert seen == [(CHATS[i], texts[i]) for i in order]
