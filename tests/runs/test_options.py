"""Values that fields take and refuse, whichever configuration they are in."""

import dataclasses
import math

import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.runs.options import check_options, make_config, option, options_of


@dataclasses.dataclass(frozen=True)
class _Config:
    count: int = option(1, "A count.", "int", minimum=1, maximum=9)
    rate: float | None = option(None, "A rate.", "float", above=0, below=1)
    flag: bool | None = option(None, "A flag.", "bool")
    mode: str = option("a", "A mode.", choices=("a", "b"))
    steps: tuple[int, ...] = option((), "Steps.", "ints", minimum=1)
    names: tuple[str, ...] = option((), "Names.", "strs", choices=("x", "y"))

    def __post_init__(self):
        check_options(self)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 0),
        ("count", 10),
        ("count", 1.5),
        ("count", True),
        ("count", "3"),
        ("count", None),
        ("rate", 0),
        ("rate", 1),
        ("rate", math.nan),
        ("rate", math.inf),
        ("rate", "0.1"),
        ("flag", 1),
        ("flag", "yes"),
        ("mode", "c"),
        ("mode", 1),
        ("steps", {3}),
        ("names", 3),
    ],
)
def test_a_value_of_no_use_is_refused_by_its_field(field, value):
    with refused(field):
        _Config(**{field: value})


@pytest.mark.parametrize(("field", "value", "item"), [("steps", (3, 0), 0), ("names", ["x", "z"], "z")])
def test_the_item_of_a_list_is_named(field, value, item):
    with refused(field, item):
        _Config(**{field: value})


def test_numbers_of_numpy_and_lists_are_taken():
    config = _Config(count=np.int64(3), rate=np.float32(0.5), steps=[1, 2], names="x")
    assert (config.count, config.rate, config.steps, config.names) == (3, 0.5, (1, 2), ("x",))
    assert type(config.count) is int
    assert type(config.rate) is float


def test_an_unknown_field_is_refused_with_the_nearest():
    with refused("cuont", 3) as caught:
        make_config(_Config, None, {"cuont": 3})
    assert "count" in caught.value.reason


def test_arguments_win_over_the_configuration():
    assert make_config(_Config, _Config(count=2, mode="b"), {"count": 3}) == _Config(count=3, mode="b")
    config = _Config(count=2)
    assert make_config(_Config, config, {}) is config
    with refused("config"):
        make_config(_Config, {"count": 3}, {})


def test_every_field_has_a_help_that_stands_alone():
    from keras_resnet.experiments.degradation import DegradationConfig
    from keras_resnet.experiments.responses import ResponsesConfig
    from keras_resnet.experiments.shortcuts import ShortcutsConfig
    from keras_resnet.runs.config import TrainConfig
    from keras_resnet.runs.evaluate import EvaluateConfig
    from keras_resnet.runs.inspect import InspectConfig

    configs = (
        TrainConfig,
        EvaluateConfig,
        InspectConfig,
        DegradationConfig,
        ShortcutsConfig,
        ResponsesConfig,
    )
    for config in configs:
        for name, limits in options_of(config).items():
            assert limits.help[0].isupper() or limits.help[0].isdigit() or ":" in limits.help, name
            assert limits.help.endswith("."), name
            assert limits.group, name
            assert "--" not in limits.help, name
        config()  # the defaults are values that the fields take
