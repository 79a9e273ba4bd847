"""A small part of what `make fuzz` does."""

import pathlib

import pytest
from helpers import fuzz


@pytest.mark.parametrize("number", range(6))
def test_damaged_files_are_read_or_refused(number, tmp_path):
    path = fuzz.make_files(tmp_path)[number]
    assert set(fuzz.outcomes(pathlib.Path(path), 60, seed=1)) <= {"read", "refused", "nothing to read"}
