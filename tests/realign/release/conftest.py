"""The workflow that the candidates here belong to."""

from tests.realign.versions.conftest import declared

__all__ = ["declared"]  # a fixture
