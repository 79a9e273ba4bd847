"""Messages of errors: what was wrong, in a bounded number of characters."""

from keras_resnet.errors import UserError, first_line


def test_a_message_has_a_bounded_length():
    error = UserError("must be " + "other " * 10_000, parameter="model", value=["name"] * 10_000)
    assert len(str(error)) < 4_000
    assert str(error).startswith("model=name,name,")
    assert ": must be other other" in str(error)
    assert len(first_line(ValueError("x" * 61_187))) < 500


def test_a_short_message_is_whole():
    assert str(UserError("must be at least 1.", parameter="k", value=0)) == "k=0: must be at least 1."
    assert first_line(ValueError("first.\nsecond")) == "first"
