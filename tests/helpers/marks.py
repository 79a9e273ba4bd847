"""Which of a test's cases only `make test-slow` runs."""

import pytest


def slow(*values):
    """A case of a parametrized test that takes long and tells little more than its other cases."""
    return pytest.param(*values, marks=pytest.mark.slow)
