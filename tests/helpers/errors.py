"""Assertions about refusals: the fields of an error, not its English."""

import contextlib

import pytest

from keras_resnet.errors import UserError

_ANY = object()


@contextlib.contextmanager
def refused(parameter=None, value=_ANY, *, error=UserError):
    """Expects a `UserError` with this parameter and, where it is given, this value."""
    with pytest.raises(error) as caught:
        yield caught
    assert caught.value.parameter == parameter, str(caught.value)
    if value is not _ANY:
        assert caught.value.value == value, str(caught.value)
    assert caught.value.reason
    assert "\n" not in str(caught.value)
