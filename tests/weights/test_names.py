"""One grammar of layer names, and the models whose layers have them."""

import pytest

import keras_resnet
from keras_resnet.weights.names import (
    HEAD,
    LayerName,
    block_name,
    layer_name,
    parse_layer_name,
    stage_name,
    stage_of,
)


@pytest.mark.parametrize(
    ("name", "expected", "stage"),
    [
        ("conv1_conv", LayerName("conv1", None, None, "conv"), "conv1"),
        ("conv1_pad", LayerName("conv1", None, None, "pad"), "conv1"),
        ("pool1_pool", None, "conv2"),
        ("conv2_block1_0_bn", LayerName("conv2", 1, 0, "bn"), "conv2"),
        ("conv4_block200_2_conv", LayerName("conv4", 200, 2, "conv"), "conv4"),
        ("conv5_block3_out", LayerName("conv5", 3, None, "out"), "conv5"),
        ("conv3_block2_add", LayerName("conv3", 2, None, "add"), "conv3"),
        ("conv2_block1_preact_bn", LayerName("conv2", 1, None, "preact_bn"), "conv2"),
        ("dense2_block1_1_dense", LayerName("dense2", 1, 1, "dense"), "dense2"),
        ("avg_pool", None, None),
        ("predictions", None, None),
        ("mean_subtraction", None, None),
        ("conv2d_1", None, None),
        ("dense_1", None, None),
        ("conv2_block0_out", None, None),
        ("conv2_block1_1_conv/kernel", None, None),
        ("my_conv2_block1_out", None, None),
    ],
)
def test_names_are_parsed_and_written(name, expected, stage):
    assert parse_layer_name(name) == expected
    assert stage_of(name) == stage
    if expected:
        assert str(expected) == name


def test_names_are_composed():
    assert stage_name(3) == "conv3"
    assert block_name("conv3", 12) == "conv3_block12"
    assert layer_name("conv3", 12, 0, "bn") == "conv3_block12_0_bn"
    assert parse_layer_name("conv3_block12_add").block_name == "conv3_block12"
    assert parse_layer_name("conv3_block12_add").stage_number == 3
    assert parse_layer_name("dense2_block1_out").stage_number == 2
    assert parse_layer_name("conv1_bn").block_name is None


@pytest.mark.parametrize(
    ("constructor", "options"),
    [
        (keras_resnet.ResNet50, {"drop_path": 0.1}),
        (keras_resnet.ResNet18, {"shortcut": "A"}),
        (keras_resnet.CifarPlainNet, {"depth": 8}),
    ],
)
def test_every_layer_of_a_model_has_a_name_of_the_grammar(constructor, options):
    others = [
        layer.name for layer in constructor(**options).layers[1:] if parse_layer_name(layer.name) is None
    ]
    assert set(others) <= {"pool1_pad", "pool1_pool", "avg_pool", HEAD}
