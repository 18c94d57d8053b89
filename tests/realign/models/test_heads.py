"""Scalar models come back from disk as they were."""

import mlx.core as mx
import numpy as np
import pytest

from realign.errors import UserError
from realign.models import build, heads, hidden

TOKENS = mx.array([[1, 5, 9, 2], [3, 3, 40, 0]])


@pytest.fixture
def model(tiny):
    return tiny(1)


def test_a_new_head_says_nothing(model):
    assert (np.array(heads.ScalarModel(model)(TOKENS)) == 0).all()


def test_the_head_reads_its_own_position_and_nothing_later(tiny):
    model = heads.ScalarModel(tiny(1))
    model.head.weight = mx.random.normal((1, 16), key=mx.random.key(0))
    model.head.bias = mx.array([0.5])
    values = np.array(model(TOKENS))
    states = np.array(hidden.hidden_states(model.trunk, TOKENS))
    np.testing.assert_allclose(values, states @ np.array(model.head.weight)[0] + 0.5, atol=1e-5)
    changed = np.array(model(mx.array([[1, 5, 9, 30], [3, 3, 40, 31]])))
    np.testing.assert_allclose(changed[:, :3], values[:, :3], atol=1e-6)
    assert (np.abs(changed[:, 3] - values[:, 3]) > 1e-4).all()


def test_saved_and_loaded(tiny, tiny_config, tokenizer_folder, tmp_path):
    model = heads.ScalarModel(tiny(1, vocab_size=340), typicality=2.5)
    model.head.weight = mx.random.normal((1, 16), key=mx.random.key(0))
    model.head.bias = mx.array([-1.25])
    heads.save_scalar(model, tiny_config(vocab_size=340), tokenizer_folder, tmp_path)
    loaded, tokenizer = heads.load_scalar(tmp_path)
    assert mx.array_equal(loaded(TOKENS), model(TOKENS)) and tokenizer.encode("Lima")
    assert loaded.typicality == 2.5
    assert mx.array_equal(build.load(str(tmp_path))[0](TOKENS), model.trunk(TOKENS))  # a language model besides


def test_a_language_model_is_no_reward_model(tiny_folder):
    with pytest.raises(UserError, match=r"no head\.safetensors"):
        heads.load_scalar(tiny_folder)
