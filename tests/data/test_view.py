import dataclasses

import pytest

from keras_resnet.data import sources
from keras_resnet.data.view import View, choose_view
from keras_resnet.errors import UserError

IMAGENET = {"default_size": 224, "smallest_size": 32}
CIFAR = {"default_size": 32, "smallest_size": 4}


@pytest.mark.parametrize(
    ("shape", "net", "chosen", "view"),
    [
        ((8, 8, 1), CIFAR, None, View(8, whole=True, mirrored=False)),
        ((8, 8, 1), IMAGENET, None, View(32, whole=True, mirrored=False)),
        ((28, 28, 1), CIFAR, 32, View(32, whole=True, mirrored=False)),
        ((None, None, 3), IMAGENET, None, View(224, whole=False, mirrored=False)),
        ((None, None, 3), CIFAR, None, View(32, whole=False, mirrored=False)),
        ((300, 300, 3), IMAGENET, 160, View(160, whole=False, mirrored=False)),
    ],
)
def test_size_suits_net_and_images(shape, net, chosen, view):
    source = dataclasses.replace(sources.find("digits"), image_shape=shape)
    assert choose_view(source, image_size=chosen, **net) == view


def test_padding_is_the_papers_for_its_size():
    assert View(32, whole=True, mirrored=True).padding == 4


def test_size_below_the_nets_smallest_is_refused():
    with pytest.raises(UserError, match=r"--image_size=16 .* 32 or more"):
        choose_view(sources.find("digits"), image_size=16, **IMAGENET)


def test_users_own_choices_hold():
    photos = dataclasses.replace(sources.find("digits"), image_shape=(None, None, 3))
    view = choose_view(photos, mirrored=True, augmentation="inception", **IMAGENET)
    assert view == View(224, whole=False, mirrored=True, augmentation="inception")


def test_rectangles_of_small_images_are_refused():
    with pytest.raises(UserError, match=r"--augmentation=inception .* digits are seen whole"):
        choose_view(sources.find("digits"), augmentation="inception", **CIFAR)


def test_shift_is_of_small_images():
    assert choose_view(sources.find("digits"), shift=2, **CIFAR).padding == 2
    assert choose_view(sources.find("digits"), shift=0, **CIFAR).padding == 0
    photos = dataclasses.replace(sources.find("digits"), image_shape=(None, None, 3))
    with pytest.raises(UserError, match=r"--shift=2 is for images up to 64x64"):
        choose_view(photos, shift=2, **IMAGENET)
    with pytest.raises(UserError, match=r"--shift=8 must be less than the 8 pixels"):
        choose_view(sources.find("digits"), shift=8, **CIFAR)
