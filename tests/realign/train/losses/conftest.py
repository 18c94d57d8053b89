"""Tools shared by the loss tests: numeric gradients, the sign-flip mutant, and both kinds of exponential."""

import numpy as np
import pytest

from realign.models import fastmath


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


@pytest.fixture(params=[True, False], ids=["fast", "mlx"])
def exponentials(request, monkeypatch):
    """Run the test with the CPU's quick exponentials and with MLX's own."""
    monkeypatch.setattr(fastmath, "_enabled", request.param)
