"""The loss that trains, on logits that are given, against worked numbers and float64."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.models.chat import Encoded
from realign.objectives import sft

LN2 = np.log(2)


class Table(nn.Module):
    """Logits (B, T, V) at every place of a batch, whatever its tokens."""

    def __init__(self, logits):
        super().__init__()
        self.logits = mx.array(logits.astype(np.float32))

    def __call__(self, tokens, cache=None):
        if tokens.shape == (2, 4):  # what `anatomy` tries
            return mx.zeros((2, 4, self.logits.shape[-1])) + self.logits[0, 0]
        assert tokens.shape == self.logits.shape[:2]  # one place for every token but the last
        return self.logits


class Given(nn.Module):
    """A language model whose logits are its weights."""

    def __init__(self, logits):
        super().__init__()
        self.model_type, self.model, self.lm_head = "llama", Table(logits), nn.Identity()

    def __call__(self, tokens, cache=None):
        return self.lm_head(self.model(tokens, cache=cache))


def reference(logits, targets, mask):
    """Float64: the loss, its gradient (softmax − one-hot) on the marked positions, and how many are right."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    one_hot = np.eye(logits.shape[-1])[targets]
    return (-(np.log((p * one_hot).sum(-1)) * mask).sum(), (p - one_hot) * mask[..., None],
            ((logits.argmax(-1) == targets) * mask).sum())


def random_batch(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (3, 5, 6)), rng.integers(0, 6, (3, 5)), rng.integers(0, 2, (3, 5))


def graded(loss, logits, targets, mask):
    """`(total, weight, accuracy)` and the gradient in the logits, where row i's place j predicts `targets[i, j]`."""
    tokens = np.concatenate([np.zeros((len(targets), 1), np.int32), targets.astype(np.int32)], axis=1)
    batch = {"tokens": mx.array(tokens), "positions": mx.array(np.flatnonzero(mask).astype(np.uint32))}
    model = Given(logits)
    (total, weight, stats), gradients = nn.value_and_grad(model, loss)(model, batch)
    return (total.item(), weight.item(), stats["accuracy"].item()), np.array(gradients["model"]["logits"])


def check(loss):
    # Probabilities (1/2, 1/4, 1/4), then uniform: targets cost ln 4 and ln 3; the third is masked.
    logits = np.array([[[2 * LN2, LN2, LN2], [0, 0, 0], [9, 9, 0]]])
    (total, weight, right), gradient = graded(loss, logits, np.array([[1, 0, 0]]), np.array([[1, 1, 0]]))
    assert total == pytest.approx(np.log(12), abs=1e-4)
    assert (weight, right) == (2, 1)  # of three that are alike the first is taken
    np.testing.assert_allclose(gradient[0], [[1 / 2, -3 / 4, 1 / 4], [-2 / 3, 1 / 3, 1 / 3], [0, 0, 0]], atol=1e-4)
    batch = random_batch()
    (total, weight, right), gradient = graded(loss, *batch)
    value, derivative, hits = reference(*batch)
    assert (total, weight, right) == (pytest.approx(value, abs=1e-4), batch[2].sum(), hits)
    np.testing.assert_allclose(gradient, derivative, atol=1e-4)


@pytest.mark.usefixtures("exponentials")
def test_values_and_gradients():
    check(sft.loss)


def test_the_derivative_is_that_of_float64(numeric_gradient):
    logits, targets, mask = random_batch(1)
    slope = numeric_gradient(lambda x: reference(x, targets, mask)[0], logits)
    np.testing.assert_allclose(graded(sft.loss, logits, targets, mask)[1], slope, atol=1e-4)


def test_sign_flip_is_caught(flipped):
    with pytest.raises(AssertionError):
        check(flipped(sft.loss))


def test_a_target_one_place_on_is_caught():
    def shifted(model, batch):
        return sft.loss(model, batch | {"tokens": mx.concatenate([batch["tokens"][:, 1:], batch["tokens"][:, :1]], 1)})

    with pytest.raises(AssertionError):
        check(shifted)


def test_nothing_marked_is_zero_and_not_nan():
    logits, targets, mask = random_batch()
    found, gradient = graded(sft.loss, logits, targets, mask * 0)
    assert found == (0, 0, 0)
    assert (gradient == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.sampled_from([-1, -100, 6, 2**30]), st.floats(-1e3, 1e3))
def test_padding_never_matters(seed, other_id, other_logit):
    logits, targets, mask = random_batch(seed)
    padded_logits = np.where(mask[..., None] == 1, logits, other_logit)
    padded_targets = np.where(mask == 1, targets, other_id)
    found, gradient = graded(sft.loss, logits, targets, mask)
    padded, padded_gradient = graded(sft.loss, padded_logits, padded_targets, mask)
    assert found == padded
    np.testing.assert_array_equal(gradient, padded_gradient)


def test_micro_batches_add_up_to_the_batch():
    logits, targets, mask = random_batch()
    whole = graded(sft.loss, logits, targets, mask)
    parts = [graded(sft.loss, logits[i:j], targets[i:j], mask[i:j]) for i, j in ((0, 1), (1, 3))]
    for k in range(3):
        assert sum(part[0][k] for part in parts) == pytest.approx(whole[0][k], abs=1e-4)
    np.testing.assert_allclose(np.concatenate([p[1] for p in parts]), whole[1], atol=1e-5)


def test_a_row_weighs_its_tokens_and_its_targets():
    assert sft.weigh(Encoded([5, 6, 7, 8], [1, 0, 1, 1])) == (4, 2)  # a first token is nobody's next
