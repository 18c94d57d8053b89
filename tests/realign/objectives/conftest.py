"""The models of these tests have one layer: an objective sees no more of a model than its logits."""

from functools import partial

import pytest


@pytest.fixture(scope="session")
def tiny(tiny):
    return partial(tiny, num_hidden_layers=1)
