"""KL and entropy of a policy against the same sums in NumPy, and against planted faults."""

import math

import numpy as np
import pytest

from realign.evaluate import drift as drifting
from realign.evaluate.drift import drift
from realign.models.batches import batch_of
from realign.models.chat import Encoded


@pytest.fixture(scope="module")
def models(tiny):
    return tiny(0), tiny(1)


def expected(policy, reference, rows, shift: int = 0):
    """Mean KL and entropy a response token; with `shift` the mask is read that much later (a planted fault)."""
    kl = entropy = count = 0.0
    for row in rows:
        p, q = policy.log_softmax(row.tokens), reference.log_softmax(row.tokens)
        places = [i - 1 + shift for i, m in enumerate(row.mask) if m and 0 <= i - 1 + shift < len(row.tokens)]
        kl += (np.exp(p) * (p - q)).sum(-1)[places].sum()
        entropy -= (np.exp(p) * p).sum(-1)[places].sum()
        count += len(places)
    return kl / count, entropy / count


def test_against_numpy_and_not_one_token_off(models, mirror, sequences):
    rows = sequences(40)
    kl, entropy = drift(*models, rows)
    truth = expected(*map(mirror, models), rows)
    assert (kl.value, entropy.value) == pytest.approx(truth, rel=1e-4)
    assert kl.n == entropy.n == 40 and kl.low < kl.value < kl.high
    for shift in (-1, 1):
        shifted = expected(*map(mirror, models), rows, shift)
        assert abs(shifted[0] - truth[0]) > 1e-3 * truth[0], "the check could not tell a shifted mask"


def test_a_model_has_not_moved_from_itself(models, sequences):
    kl, entropy = drift(models[0], models[0], sequences(10))
    assert abs(kl.value) < 1e-5 and abs(kl.high) < 1e-5
    assert 0 < entropy.value <= math.log(48)


def test_the_direction_is_policy_against_reference(tiny, mirror, sequences):
    sharp, flat = tiny(2), tiny(3)
    sharp.model.norm.weight = sharp.model.norm.weight * 4
    there, back = (drift(a, b, sequences(8))[0].value for a, b in ((sharp, flat), (flat, sharp)))
    assert there == pytest.approx(expected(mirror(sharp), mirror(flat), sequences(8))[0], rel=1e-4)
    assert abs(there - back) > 0.01


def test_a_drifted_policy_and_a_collapsed_one_show(tiny, sequences):
    reference, near, sharp = tiny(0), tiny(0), tiny(0)
    near.model.norm.weight = near.model.norm.weight * 1.05
    sharp.model.norm.weight = sharp.model.norm.weight * 20
    rows = sequences(12)
    small, large = drift(near, reference, rows), drift(sharp, reference, rows)
    assert 0 < small[0].value < 0.05 < large[0].value
    assert large[1].value < 0.5 < small[1].value


def test_batches_order_and_padding_do_not_matter(models, sequences, refilled, monkeypatch):
    rows = sequences(36)
    whole = drift(*models, rows)[0].value
    single = [drift(*models, [row])[0] for row in rows]
    weights = [sum(row.mask[1:]) for row in rows]
    assert np.average([m.value for m in single], weights=weights) == pytest.approx(whole, rel=1e-4)
    assert drift(*models, rows[::-1])[0].value == pytest.approx(whole, rel=1e-5)
    monkeypatch.setattr(drifting, "batch_of", lambda part: refilled(batch_of(part), 7))
    assert drift(*models, rows)[0].value == pytest.approx(whole, rel=1e-6)


def test_prompt_tokens_do_not_count(models, sequences):
    """The same tokens under another mask give another mean; what the first token is masked as never counts."""
    row = sequences(1)[0]
    first = Encoded(row.tokens, [1, *row.mask[1:]])
    everything = Encoded(row.tokens, [1] * len(row.tokens))
    a, b, c = (drift(*models, [r])[0].value for r in (row, first, everything))
    assert a == b != c


def test_no_responses_give_no_number(models):
    for found in drift(*models, []):
        assert found.n == 0 and math.isnan(found.value)
