"""Scorers by name: the verifier and reward models."""

import math

import mlx.core as mx
import numpy as np
import pytest

from realign.errors import UserError
from realign.evaluate.scorers import by_reference, scorer
from realign.models import chat, heads
from realign.models.chat import with_answer

CHATS = [{"messages": [{"role": "user", "content": "What is the capital of Peru?"}], "reference": '{"answer": "Lima"}'},
         {"messages": [{"role": "user", "content": "Ada has 3"}], "reference": '{"number": 3}'}]


@pytest.mark.parametrize("name", ["", "refrence", "reward", "Reference", "judge:x"])
def test_an_unknown_name_is_the_users_to_put_right(name):
    with pytest.raises(UserError, match=r"srf\.scorer(.|\n)*reference, or reward:") as caught:
        scorer(name, "params.yaml: srf.scorer")
    assert repr(name) in str(caught.value)


def test_a_folder_that_is_no_reward_model_is_too(tmp_path):
    with pytest.raises(UserError, match="reward model"):
        scorer(f"reward:{tmp_path}", "srf.scorer")


def test_the_reference_of_each_chat_scores_its_own_text():
    found = scorer("reference", "srf.scorer")(CHATS, ["Lima.", "3"])
    assert [s.value for s in found] == [0.8, 0.8]
    assert [s.value for s in by_reference(CHATS, ["3", "Lima."])] == [0.0, 0.0]


def test_texts_and_chats_must_pair_up():
    with pytest.raises(ValueError):
        by_reference(CHATS, ["Lima."])


def test_labelled_data_has_no_reference_to_score_by():
    with pytest.raises(UserError):
        by_reference([CHATS[0] | {"reference": "{}"}], ["anything"])


def test_a_reward_model_scores_each_text_in_its_place(tiny, tiny_config, tokenizer_folder, tmp_path):
    """Texts of many lengths, so that sorting by length inside would show; rewards recomputed one text at a time."""
    model = heads.ScalarModel(tiny(3, vocab_size=340), typicality=0.5)
    model.head.weight = mx.random.normal(model.head.weight.shape, key=mx.random.key(1))
    heads.save_scalar(model, tiny_config(vocab_size=340), tokenizer_folder, tmp_path)
    texts = [" ".join(["Peru Lima gold"] * (7 * i % 11 + 1)) for i in range(90)]
    chats = [CHATS[i % 2] for i in range(90)]
    found = [s.value for s in scorer(f"reward:{tmp_path}", "srf.scorer")(chats, texts)]
    _, tokenizer = heads.load_scalar(tmp_path)
    for value, one, text in list(zip(found, chats, texts, strict=True))[::8]:
        [row] = chat.encode(tokenizer, [with_answer(one, text)])
        reward = float(heads.rewards(model, heads.scalar_batch([row]))[0])
        assert value == pytest.approx(1 / (1 + math.exp(-reward)), abs=1e-4)
    assert np.ptp(found) > 0.01
