import pytest


@pytest.fixture
def float64():
    """In float32, sums that round differently may switch a ReLU; not with 29 more bits."""
    import keras

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
