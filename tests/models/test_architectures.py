import dataclasses
import inspect
import math
import sys

import keras
import pytest
from helpers.errors import refused

import keras_resnet
from keras_resnet.models import architectures, constructors, resnet
from keras_resnet.models.architectures import Architecture, get_architecture
from keras_resnet.models.complexity import complexity

pytestmark = pytest.mark.usefixtures("no_values")


def _build(architecture):
    return resnet.ResNet(architecture, classes=10 if architecture.stem == "cifar" else 1000)


# Exact trainable parameters, and the paper's own figures (Tables 1 and 6): multiply-adds in 1e9 with one
# decimal, parameters in millions with two digits.
COUNTS = [
    (get_architecture(18), 11_689_512, None, None),
    (get_architecture(18, shortcut="A"), 11_515_688, 1.8, None),
    (get_architecture(34, shortcut="A"), 21_623_848, 3.6, None),
    (get_architecture(34), 21_797_672, None, None),
    (get_architecture(34, shortcut="C"), 22_716_840, None, None),
    (get_architecture(18, plain=True), 11_515_688, 1.8, None),
    (get_architecture(34, plain=True), 21_623_848, 3.6, None),
    (get_architecture(50), 25_557_032, 3.8, None),
    (get_architecture(101), 44_549_160, 7.6, None),
    (get_architecture(152), 60_192_808, 11.3, None),
    (get_architecture(20), 269_722, None, 0.27),
    (get_architecture(32), 464_154, None, 0.46),
    (get_architecture(44), 658_586, None, 0.66),
    (get_architecture(56), 853_018, None, 0.85),
    (get_architecture(110), 1_727_962, None, 1.7),
]


@pytest.mark.parametrize(
    ("architecture", "parameters", "macs", "millions"),
    COUNTS,
    ids=[f"{c[0].name}-{c[0].shortcut}" for c in COUNTS],
)
def test_size_is_the_papers(architecture, parameters, macs, millions):
    model = _build(architecture)
    counted = complexity(model)
    assert counted.parameters == parameters
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == parameters
    if macs is not None:
        assert abs(counted.macs / 1e9 - macs) < 0.1
    if millions is not None:
        assert abs(counted.parameters / 1e6 - millions) < (0.05 if millions == 1.7 else 0.01)
    assert sum(stage.macs for stage in counted.stages()) == counted.macs
    assert sum(stage.parameters for stage in counted.stages()) == counted.parameters


@pytest.mark.parametrize("depth", [18, 34])
def test_option_a_costs_nothing(depth):
    plain, residual = (
        complexity(_build(architecture))
        for architecture in (get_architecture(depth, plain=True), get_architecture(depth, shortcut="A"))
    )
    assert residual.macs == plain.macs
    assert residual.parameters == plain.parameters


def test_option_c_has_thirteen_more_projections_than_b():
    projections = [
        sum(layer.name.endswith("_0_conv") for layer in _build(get_architecture(34, shortcut=option)).layers)
        for option in "BC"
    ]
    assert projections == [3, 16]


@pytest.mark.parametrize(
    "architecture",
    [
        get_architecture(18),
        get_architecture(50),
        get_architecture(34, plain=True),
        get_architecture(20),
        get_architecture(56, plain=True),
    ],
)
def test_depth_counts_the_weighted_layers(architecture):
    weighted = [
        layer
        for layer in _build(architecture).layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense) and not layer.name.endswith("_0_conv")
    ]
    assert architecture.depth == len(weighted)
    assert architecture.name.endswith(str(len(weighted)))


def test_stages_are_those_of_table_1():
    shapes = {stage.name: stage.output_shape for stage in complexity(_build(get_architecture(50))).stages()}
    assert shapes == {
        "conv1": (112, 112, 64),
        "conv2": (56, 56, 256),
        "conv3": (28, 28, 512),
        "conv4": (14, 14, 1024),
        "conv5": (7, 7, 2048),
        "head": (1000,),
    }


def test_each_result_of_the_paper_has_an_architecture():
    for name, shortcut in architectures.PAPER_RESULTS:
        depth = int("".join(filter(str.isdigit, name)))
        architecture = get_architecture(depth, plain=shortcut is None, shortcut=shortcut or "auto")
        assert (architecture.name, architecture.shortcut) == (name, shortcut)
        assert architectures.paper_result(architecture) is architectures.PAPER_RESULTS[name, shortcut]
    assert architectures.paper_result(get_architecture(50, variant="v1.5")) is None


def test_depths_of_both_families():
    assert get_architecture(50).stem == get_architecture(152).stem == "imagenet"
    assert get_architecture(20).stem == get_architecture(44).stem == "cifar"
    assert get_architecture(50, family="cifar").blocks_per_stage == (8, 8, 8)
    assert get_architecture(50).shortcut == "B"
    assert get_architecture(20).shortcut == "A"
    assert get_architecture(20, shortcut="C").shortcut == "C"


@pytest.mark.parametrize(
    ("arguments", "parameter", "accepted"),
    [
        ({"depth": 19}, "depth", ("18, 34, 50, 101, 152", "6n+2")),
        ({"depth": 50, "plain": True}, "depth", ("18, 34 for plain", "6n+2")),
        ({"depth": 2, "family": "cifar"}, "depth", ("6n+2",)),
        ({"depth": 20, "plain": True, "shortcut": "B"}, "shortcut", ("plain=true",)),
        ({"depth": 20, "shortcut": "D"}, "shortcut", ("A, B, C, None",)),
        ({"depth": 50, "variant": "v2"}, "variant", ("preactivation=true",)),
        ({"depth": 20, "family": "vgg"}, "family", ("auto, imagenet, cifar",)),
    ],
    ids=str,
)
def test_unknown_architectures_are_refused_with_those_that_exist(arguments, parameter, accepted):
    with refused(parameter, arguments[parameter]) as caught:
        get_architecture(**arguments)
    for values in accepted:
        assert values in caught.value.reason


@pytest.mark.parametrize(
    "fields",
    [
        {"block": "dense"},
        {"stem": "vgg"},
        {"shortcut": "a"},
        {"variant": "v3"},
        {"blocks_per_stage": (1, 2)},
        {"blocks_per_stage": (0, 1, 1, 1)},
        {"blocks_per_stage": (), "filters": ()},
        {"filters": (64, 128, 256, 0.5)},
    ],
    ids=str,
)
def test_impossible_architecture_is_refused(fields):
    parameter, value = next(iter(fields.items()))
    with refused(parameter, value):
        dataclasses.replace(get_architecture(18), **fields)


def test_any_depth_and_width_is_a_call():
    architecture = Architecture(
        "wide", (1, 2), (8, 24), block="bottleneck", stem="cifar", shortcut="C", variant="v1.5"
    )
    model = keras_resnet.ResNet(architecture, classes=3, input_shape=(16, 16, 2))
    assert model.name == "wide"
    assert model.get_layer("conv3_block2_out").output.shape == (None, 8, 8, 96)
    assert model.output_shape == (None, 3)


def test_option_none_is_the_plain_network():
    """Of 14 layers: without shortcuts, and with the same parameters as with option A, which has none."""
    plain, residual = (keras_resnet.CifarResNet(14, shortcut=option, name="net") for option in (None, "A"))
    assert not any(isinstance(layer, keras.layers.Add) for layer in plain.layers)
    assert sum(isinstance(layer, keras.layers.Add) for layer in residual.layers) == 6
    # 3x3 kernels, gamma and beta of each convolution, and the head, written out.
    weights = 9 * 3 * 16 + 4 * 9 * 16 * 16 + 9 * 16 * 32 + 3 * 9 * 32 * 32 + 9 * 32 * 64 + 3 * 9 * 64 * 64
    batch_norm = 2 * (5 * 16 + 4 * 32 + 4 * 64)
    for model in (plain, residual, keras_resnet.CifarPlainNet(14)):
        assert complexity(model).parameters == weights + batch_norm + 64 * 10 + 10


def test_size_of_a_model_for_any_image():
    model = constructors.ResNet18(input_shape=(None, None, 3))
    with refused("input_shape"):
        complexity(model)
    assert complexity(model, (224, 224, 3)).macs == complexity(constructors.ResNet18()).macs == 1_814_073_344


@pytest.mark.slow
def test_a_model_deeper_than_the_recursion_limit_is_counted_at_another_size():
    model = constructors.CifarResNet(110)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        counted = complexity(model, (16, 16, 3))
    finally:
        sys.setrecursionlimit(limit)
    assert counted.parameters == complexity(model).parameters == 1_727_962


def test_multiply_adds_of_an_unknown_layer_are_not_guessed():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2DTranspose(4, 3)(inputs))
    with refused("model") as caught:
        complexity(model)
    assert "Conv2DTranspose" in caught.value.reason
