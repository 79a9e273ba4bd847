import keras
import pytest


@pytest.fixture
def no_values():
    """Leaves weights uninitialized, which would take most of the time."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session(free_memory=False)
