import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.train.losses.sft import sft_loss

LN2 = np.log(2)


def reference(logits, targets, mask):
    """Float64: the loss, and its gradient (softmax − one-hot) on the marked positions."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    one_hot = np.eye(logits.shape[-1])[targets]
    return -(np.log((p * one_hot).sum(-1)) * mask).sum(), (p - one_hot) * mask[..., None]


def random_batch(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (3, 4, 6)), rng.integers(0, 6, (3, 4)), rng.integers(0, 2, (3, 4))


def graded(loss, logits, targets, mask):
    logits = mx.array(logits.astype(np.float32))
    return mx.value_and_grad(loss)(logits, mx.array(targets), mx.array(mask))


def check(loss):
    # Probabilities (1/2, 1/4, 1/4), then uniform: targets cost ln 4 and ln 3; the third is masked.
    logits = np.array([[[2 * LN2, LN2, LN2], [0, 0, 0], [9, 9, 0]]])
    (total, weight, _), gradient = graded(loss, logits, np.array([[1, 2, 0]]), np.array([[1, 1, 0]]))
    assert total.item() == pytest.approx(np.log(12), abs=1e-4)
    assert weight.item() == 2
    by_hand = [[1 / 2, -3 / 4, 1 / 4], [1 / 3, 1 / 3, -2 / 3], [0, 0, 0]]
    np.testing.assert_allclose(gradient[0], by_hand, atol=1e-4)
    batch = random_batch()
    (total, weight, _), gradient = graded(loss, *batch)
    value, derivative = reference(*batch)
    np.testing.assert_allclose(total, value, atol=1e-4)
    np.testing.assert_allclose(gradient, derivative, atol=1e-4)
    assert weight.item() == batch[2].sum()


@pytest.mark.usefixtures("exponentials")
def test_values_and_gradients():
    check(sft_loss)


def test_sign_flip_is_caught(flipped):
    with pytest.raises(AssertionError):
        check(flipped(sft_loss))


def test_nothing_marked_is_zero_and_not_nan():
    logits, targets, mask = random_batch()
    (total, weight, _), gradient = graded(sft_loss, logits, targets, mask * 0)
    assert (total.item(), weight.item()) == (0, 0)
    assert (np.array(gradient) == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.sampled_from([-1, -100, 6, 2**30]), st.floats(-1e3, 1e3))
def test_padding_never_matters(seed, other_id, other_logit):
    logits, targets, mask = random_batch(seed)
    padded_logits = np.where(mask[..., None] == 1, logits, other_logit)
    padded_targets = np.where(mask == 1, targets, other_id)
    (total, _, _), gradient = graded(sft_loss, logits, targets, mask)
    (padded, _, _), padded_gradient = graded(sft_loss, padded_logits, padded_targets, mask)
    assert total.item() == padded.item()
    np.testing.assert_array_equal(gradient, padded_gradient)


def test_micro_batches_add_up_to_the_batch():
    logits, targets, mask = random_batch()
    whole = graded(sft_loss, logits, targets, mask)
    parts = [graded(sft_loss, logits[i:j], targets[i:j], mask[i:j]) for i, j in ((0, 1), (1, 3))]
    for k in (0, 1):
        assert sum(part[0][k].item() for part in parts) == pytest.approx(whole[0][k].item(), abs=1e-4)
    np.testing.assert_allclose(np.concatenate([p[1] for p in parts]), whole[1], atol=1e-5)
