import dataclasses
import inspect
import sys

import keras
import pytest

import keras_resnet
from keras_resnet.models import architectures, resnet
from keras_resnet.models.architectures import Architecture, select
from keras_resnet.models.complexity import complexity


def _build(net):
    return resnet.ResNet(net, classes=10 if net.stem == "cifar" else 1000)


# Trainable parameters of the paper's nets, and the paper's own figures (Tables 1 and 6): its multiply-adds in
# 1e9 with one digit behind the point, its parameters in millions with two digits.
COUNTS = [
    (select(18), 11_689_512, None, None),
    (select(18, shortcut="A"), 11_515_688, 1.8, None),
    (select(34, shortcut="A"), 21_623_848, 3.6, None),
    (select(34), 21_797_672, None, None),
    (select(34, shortcut="C"), 22_716_840, None, None),
    (select(18, plain=True), 11_515_688, 1.8, None),
    (select(34, plain=True), 21_623_848, 3.6, None),
    (select(50), 25_557_032, 3.8, None),
    (select(101), 44_549_160, 7.6, None),
    (select(152), 60_192_808, 11.3, None),
    (select(20), 269_722, None, 0.27),
    (select(32), 464_154, None, 0.46),
    (select(44), None, None, 0.66),
    (select(56), 853_018, None, 0.85),
    (select(110), 1_727_962, None, 1.7),
]


@pytest.mark.parametrize(
    ("net", "parameters", "macs", "millions"), COUNTS, ids=[f"{c[0].name}-{c[0].shortcut}" for c in COUNTS]
)
def test_size_is_the_papers(net, parameters, macs, millions):
    model = _build(net)
    counted = complexity(model)
    if parameters is not None:
        assert counted.parameters == parameters
        assert sum(w.numpy().size for w in model.trainable_weights) == parameters
    if macs is not None:
        assert abs(counted.macs / 1e9 - macs) < 0.1
    if millions is not None:
        assert abs(counted.parameters / 1e6 - millions) < (0.05 if millions == 1.7 else 0.01)
    assert sum(stage.macs for stage in counted.stages()) == counted.macs
    assert sum(stage.parameters for stage in counted.stages()) == counted.parameters


@pytest.mark.parametrize("depth", [18, 34])
def test_option_a_costs_nothing(depth):
    plain, residual = (
        complexity(_build(net)) for net in (select(depth, plain=True), select(depth, shortcut="A"))
    )
    assert residual.macs == plain.macs
    assert residual.parameters == plain.parameters


def test_option_c_has_thirteen_more_projections_than_b():
    projections = [
        sum(layer.name.endswith("_0_conv") for layer in _build(select(34, shortcut=option)).layers)
        for option in "BC"
    ]
    assert projections == [3, 16]


@pytest.mark.parametrize(
    "net", [select(18), select(50), select(34, plain=True), select(20), select(56, plain=True)]
)
def test_depth_counts_the_weighted_layers(net):
    weighted = [
        layer
        for layer in _build(net).layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense) and not layer.name.endswith("_0_conv")
    ]
    assert net.name.endswith(str(len(weighted)))


def test_stages_are_those_of_table_1():
    shapes = {stage.name: stage.output_shape for stage in complexity(_build(select(50))).stages()}
    assert shapes == {
        "conv1": (112, 112, 64),
        "conv2": (56, 56, 256),
        "conv3": (28, 28, 512),
        "conv4": (14, 14, 1024),
        "conv5": (7, 7, 2048),
        "head": (1000,),
    }


def test_reported_figures_are_those_of_an_architecture():
    for name, shortcut in architectures.REPORTED:
        depth = int("".join(filter(str.isdigit, name)))
        net = select(depth, plain=shortcut is None, shortcut=shortcut or "auto")
        assert (net.name, net.shortcut) == (name, shortcut)
        assert architectures.reported(net) is architectures.REPORTED[name, shortcut]
    assert architectures.reported(select(50, variant="v1.5")) is None


def test_depths_of_both_families():
    assert select(50).stem == select(152).stem == "imagenet"
    assert select(20).stem == select(44).stem == "cifar"
    assert select(50, family="cifar").blocks_per_stage == (8, 8, 8)
    assert select(50).shortcut == "B"
    assert select(20).shortcut == "A"
    assert select(20, shortcut="C").shortcut == "C"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"depth": 19}, r"depth must be one of 18, 34, 50, 101, 152 .* or 6n\+2 .*; got 19"),
        ({"depth": 50, "plain": True}, "one of 18, 34 for a plain"),
        ({"depth": 2, "family": "cifar"}, r"depth must be 6n\+2"),
        ({"depth": 20, "plain": True, "shortcut": "B"}, "shortcut must be left out for a plain net"),
        ({"depth": 20, "shortcut": "D"}, "shortcut must be one of 'A', 'B', 'C', None; got 'D'"),
        ({"depth": 50, "variant": "v2"}, "variant must be one of 'v1', 'v1.5'; got 'v2'"),
        ({"depth": 20, "family": "vgg"}, "family must be one of 'auto', 'imagenet', 'cifar'; got 'vgg'"),
    ],
    ids=str,
)
def test_no_such_net(arguments, says):
    with pytest.raises(ValueError, match=says):
        select(**arguments)


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
    with pytest.raises(ValueError, match=next(iter(fields))):
        dataclasses.replace(select(18), **fields)


def test_any_depth_and_width_is_a_call():
    net = Architecture(
        "wide", (1, 2), (8, 24), block="bottleneck", stem="cifar", shortcut="C", variant="v1.5"
    )
    model = keras_resnet.ResNet(net, classes=3, input_shape=(16, 16, 2))
    assert model.name == "wide"
    assert model.get_layer("conv3_block2_out").output.shape == (None, 8, 8, 96)
    assert model.output_shape == (None, 3)
    assert keras_resnet.CifarResNet(14, shortcut=None, name="plain").count_params() > 0
    assert keras_resnet.CifarPlainNet(14).output_shape == (None, 10)


def test_size_of_a_net_for_any_image():
    model = resnet.ResNet18(input_shape=(None, None, 3))
    with pytest.raises(ValueError, match="give complexity\\(\\) an input_shape"):
        complexity(model)
    assert complexity(model, (224, 224, 3)).macs == complexity(resnet.ResNet18()).macs


def test_a_net_deeper_than_python_calls_is_counted_at_another_size():
    model = resnet.CifarResNet(110)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        counted = complexity(model, (16, 16, 3))
    finally:
        sys.setrecursionlimit(limit)
    assert counted.parameters == complexity(model).parameters


def test_work_of_an_unknown_layer_is_not_guessed():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2DTranspose(4, 3)(inputs))
    with pytest.raises(ValueError, match="Conv2DTranspose"):
        complexity(model)
