"""Names and axes of other packages' files, written out by hand."""

import numpy as np
import pytest

from keras_resnet.weights import conventions
from keras_resnet.weights.lazy_array import LazyArray


def _stored(*names):
    """Returns arrays of four values, a different one for each name."""
    return {
        name: LazyArray((4,), lambda number=number: np.full(4, float(number)))
        for number, name in enumerate(names, start=1)
    }


def test_names_of_keras_1_are_translated():
    """keras.applications had them until 2019: stage, letter of the block, letter of the branch."""
    read = conventions.rename_arrays(
        _stored(
            "conv1/conv1_W",
            "bn_conv1/bn_conv1_gamma",
            "res2a_branch1/res2a_branch1_W",
            "bn2a_branch1/bn2a_branch1_beta",
            "res4f_branch2c/res4f_branch2c_W",
            "bn5c_branch2b/bn5c_branch2b_running_std",
            "fc1000/fc1000_W",
            "fc1000/fc1000_b",
        ),
        "old.h5",
        torch=False,
        own=False,
    )
    assert read.convention is conventions.KERAS_1
    assert list(read.arrays) == [
        "conv1_conv/kernel",
        "conv1_bn/gamma",
        "conv2_block1_0_conv/kernel",
        "conv2_block1_0_bn/beta",
        "conv4_block6_3_conv/kernel",
        "conv5_block3_2_bn/moving_variance",
        "predictions/kernel",
        "predictions/bias",
    ]


def test_a_bias_before_batch_norm_is_subtracted_from_its_mean():
    stored = _stored("conv1_conv/kernel", "conv1_conv/bias", "conv1_bn/moving_mean", "predictions/bias")
    read = conventions.rename_arrays(stored, "theirs.h5", torch=False, own=False)
    assert set(read.arrays) == {"conv1_conv/kernel", "conv1_bn/moving_mean", "predictions/bias"}
    np.testing.assert_array_equal(read.arrays["conv1_bn/moving_mean"].read(), np.full(4, 3.0 - 2.0))


def test_a_bias_of_another_size_stays_to_be_reported():
    stored = _stored("conv1_bn/moving_mean") | {"conv1_conv/bias": LazyArray((5,), lambda: np.zeros(5))}
    assert "conv1_conv/bias" in conventions.rename_arrays(stored, "theirs.h5", torch=False, own=False).arrays


@pytest.mark.parametrize("own", [True, False])
def test_own_files_keep_their_names(own):
    stored = _stored("conv1_conv/kernel", "conv1_bn/gamma")
    read = conventions.rename_arrays(stored, "ours.h5", torch=False, own=own)
    assert read.convention is conventions.OWN
    assert read.arrays == stored


def test_each_convention_says_how_its_images_are_evaluated():
    """torchvision's first weights and keras.applications': 224 of 256, bilinear."""
    for convention in (conventions.TORCH, conventions.KERAS, conventions.KERAS_1):
        settings = convention.eval
        assert (settings.crop_size, settings.resize_size, settings.interpolation) == (224, 256, "bilinear")
        assert settings.top1 is settings.top5 is None
    assert conventions.OWN.eval is None
