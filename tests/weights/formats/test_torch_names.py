"""The ResNet of a PyTorch file is found wherever other modules are around it."""

import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.weights.conventions import rename_arrays
from keras_resnet.weights.lazy_array import LazyArray


def _array(*shape):
    return LazyArray(shape, lambda: np.zeros(shape, "float32"))


BODY = {
    "conv1.weight": _array(64, 3, 7, 7),
    "bn1.weight": _array(64),
    "layer1.0.conv1.weight": _array(64, 64, 3, 3),
    "layer2.0.downsample.0.weight": _array(128, 64, 1, 1),
    "layer4.0.bn1.num_batches_tracked": _array(),
}
HEAD = {"fc.weight": _array(5, 512), "fc.bias": _array(5)}
NAMES = {"conv1_conv/kernel", "conv1_bn/gamma", "conv2_block1_1_conv/kernel", "conv3_block1_0_conv/kernel"}
WITH_HEAD = NAMES | {"predictions/kernel", "predictions/bias"}
NET = {**BODY, **HEAD}


def _in(prefix, arrays):
    return {f"{prefix}{key}": array for key, array in arrays.items()}


def _found(stored):
    return set(rename_arrays(stored, "net.pth", torch=True, own=False).arrays)


@pytest.mark.parametrize(
    "prefix", ["", "model.", "net.", "backbone.", "encoder.", "module.model.", "_orig_mod.module.", "a.b.c."]
)
def test_names_are_found_behind_any_prefix(prefix):
    assert _found(_in(prefix, NET)) == WITH_HEAD
    assert _found(_in(prefix, BODY)) == NAMES


@pytest.mark.parametrize("head", ["fc", "head", "head.fc", "classifier", "linear", "cls_head.fc"])
def test_the_only_layer_beside_a_headless_network_is_its_head(head):
    outside = {f"{head}.weight": HEAD["fc.weight"], f"{head}.bias": HEAD["fc.bias"]}
    assert _found({**_in("backbone.", BODY), **outside}) == WITH_HEAD
    assert _found({**_in("backbone.", BODY), **outside, "loss.weight": _array(5)}) == WITH_HEAD


@pytest.mark.parametrize(
    "outside",
    [
        {"head.0.weight": _array(512, 512), "head.2.weight": _array(5, 512)},
        {"neck.weight": _array(512, 512), "fc.weight": _array(5, 512)},
        {"projector.weight": _array(5, 512)},
        {"fc.weight": _array(5, 512, 1, 1)},
    ],
)
def test_other_modules_are_left_out_and_named(outside, caplog):
    assert _found({**_in("encoder.", BODY), **outside}) == NAMES
    assert all(name in caplog.text for name in outside)


def test_a_network_cut_into_a_sequential_is_joined():
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer4": "7", "fc": "9"}

    def cut(arrays):
        return {
            f"{places[key.partition('.')[0]]}.{key.partition('.')[2]}": array for key, array in arrays.items()
        }

    assert _found(cut(NET)) == WITH_HEAD
    assert _found(_in("features.", cut(BODY)) | {"fc.weight": HEAD["fc.weight"]}) == NAMES | {
        "predictions/kernel"
    }


def test_names_of_cifar_networks_in_pytorch_are_known():
    other = {key.replace("downsample", "shortcut").replace("fc.", "linear."): one for key, one in NET.items()}
    assert _found(other) == WITH_HEAD


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (_in("query.", NET) | _in("key.", NET), "holds several ResNets"),
        ({"patch_embed.weight": _array(5, 5)}, "it has patch_embed.weight"),
        (
            {
                "conv1.weight": _array(16, 3, 3, 3),
                "layer1.0.conv1.weight": _array(16, 16, 3, 3),
                "layer2.0.conv1.weight": _array(32, 16, 3, 3),
                "linear.weight": _array(10, 64),
            },
            "not its three stages",
        ),
    ],
)
def test_others_are_refused_with_the_reason(stored, reason):
    with refused(value="net.pth") as caught:
        _found(stored)
    assert reason in caught.value.reason
