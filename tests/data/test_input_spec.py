import dataclasses

import pytest
from helpers.errors import refused

from keras_resnet.data.input_spec import InputSpec, InputTransform, choose_transform
from keras_resnet.data.load import load_dataset

IMAGENET = {"default_size": 224, "smallest_size": 32}
CIFAR = {"default_size": 32, "smallest_size": 4}


@pytest.mark.parametrize(
    ("shape", "architecture", "chosen", "transform"),
    [
        ((8, 8, 1), CIFAR, None, InputTransform(InputSpec(8, 1), hflip=False)),
        ((8, 8, 1), IMAGENET, None, InputTransform(InputSpec(32, 1), hflip=False)),
        ((28, 28, 1), CIFAR, 32, InputTransform(InputSpec(32, 1), hflip=False)),
        (
            (None, None, 3),
            IMAGENET,
            None,
            InputTransform(InputSpec(224, 3, "center", "per_channel_mean"), hflip=False),
        ),
        (
            (None, None, 3),
            CIFAR,
            None,
            InputTransform(InputSpec(32, 3, "center", "per_channel_mean"), hflip=False),
        ),
        (
            (300, 300, 3),
            IMAGENET,
            160,
            InputTransform(InputSpec(160, 3, "center", "per_channel_mean"), hflip=False),
        ),
    ],
)
def test_transform_suits_images_and_architecture(shape, architecture, chosen, transform):
    dataset = dataclasses.replace(load_dataset("digits"), image_shape=shape)
    assert choose_transform(dataset, image_size=chosen, **architecture) == transform


def test_padding_is_the_papers_for_its_size():
    assert InputTransform(InputSpec(32, 1), hflip=True).padding == 4


def test_size_below_the_architectures_smallest_is_refused():
    with refused("image_size", 16):
        choose_transform(load_dataset("digits"), image_size=16, **IMAGENET)


def test_explicit_choices_hold():
    photos = dataclasses.replace(load_dataset("digits"), image_shape=(None, None, 3))
    transform = choose_transform(photos, hflip=True, augmentation="random_resized_crop", **IMAGENET)
    assert transform == InputTransform(
        InputSpec(224, 3, "center", "per_channel_mean"), hflip=True, augmentation="random_resized_crop"
    )


def test_augmentations_that_no_training_has_by_default():
    digits = load_dataset("digits")
    assert choose_transform(digits, **CIFAR).optional == {}
    chosen = choose_transform(digits, vflip=True, rotate90=True, trivial_augment=True, **CIFAR)
    assert chosen.optional == {"vflip": True, "rotate90": True, "trivial_augment": True}
    assert choose_transform(digits, rotate90=True, **CIFAR).optional == {"rotate90": True}


def test_rectangular_crops_of_small_images_are_refused():
    with refused("augmentation", "random_resized_crop"):
        choose_transform(load_dataset("digits"), augmentation="random_resized_crop", **CIFAR)


def test_training_crops_may_be_smaller_than_the_input():
    photos = dataclasses.replace(load_dataset("digits"), image_shape=(None, None, 1))
    assert choose_transform(photos, image_size=160, train_size=128, **IMAGENET).train_size == 128
    assert choose_transform(photos, train_size=224, **IMAGENET).train_size is None
    for size in (225, 16):
        with refused("train_size", size):
            choose_transform(photos, train_size=size, **IMAGENET)
    with refused("train_size", 8):
        choose_transform(load_dataset("digits"), train_size=8, **CIFAR)


def test_crop_padding_is_for_small_images():
    assert choose_transform(load_dataset("digits"), crop_padding=2, **CIFAR).padding == 2
    assert choose_transform(load_dataset("digits"), crop_padding=0, **CIFAR).padding == 0
    photos = dataclasses.replace(load_dataset("digits"), image_shape=(None, None, 3))
    with refused("crop_padding", 2):
        choose_transform(photos, crop_padding=2, **IMAGENET)
    with refused("crop_padding", 8):
        choose_transform(load_dataset("digits"), crop_padding=8, **CIFAR)
