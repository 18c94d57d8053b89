"""Tools shared by the tests of losses: numeric gradients, the sign-flip mutant, another filling, both exponentials."""

import mlx.core as mx
import numpy as np
import pytest

from realign.models import fastmath
from realign.models.batches import PAD


def central_differences(f, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    x = np.array(x, dtype=np.float64)
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        gradient[i] = (f(up) - f(down)) / (2 * step)
    return gradient


def negated(loss):
    def mutant(*arguments, **settings):
        total, weight, stats = loss(*arguments, **settings)
        return -total, weight, stats
    return mutant


@pytest.fixture
def numeric_gradient():
    """Gradient of a float64 NumPy scalar function, to about 1e-9."""
    return central_differences


@pytest.fixture
def flipped():
    """The loss with the sign of its total turned round."""
    return negated


@pytest.fixture
def refilled():
    """`refilled(batch, token)`: a batch of rows without PAD among their tokens, filled up with another token."""
    return lambda batch, token: batch | {name: mx.where(batch[name] == PAD, token, batch[name])
                                         for name in ("tokens", "prompts") if name in batch}


@pytest.fixture(params=[True, False], ids=["fast", "mlx"])
def exponentials(request, monkeypatch):
    """Run the test with the CPU's quick exponentials and with MLX's own."""
    monkeypatch.setattr(fastmath, "_enabled", request.param)
