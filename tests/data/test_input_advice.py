import dataclasses

import numpy as np
import pytest
from helpers.pictures import encoded

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.input_advice import input_advice
from keras_resnet.data.input_spec import InputSpec, InputTransform
from keras_resnet.data.load import load_dataset

CROP = InputTransform(InputSpec(64, 3, "center"), hflip=True)
SHRINK = (
    "train on a smaller copy of the images, whose shorter side is 300 pixels: keras-resnet data "
    "shrink {} OUT --shorter_side="
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for number in range(3):
            pixels = np.full((300, 500, 3), number, "uint8")
            (root / name / f"{number}.jpg").write_bytes(encoded(pixels))
    (root / "dog" / "damaged.jpg").write_bytes(b"no picture")
    return load_dataset(str(root))


@pytest.mark.parametrize(
    ("transform", "batch_augment", "advice"),
    [
        (CROP, {}, "{shrink}146."),  # 64 * 512 / 224
        (
            dataclasses.replace(CROP, trivial_augment=True),
            {},
            "{shrink}146; or train without trivial_augment.",
        ),
        (
            dataclasses.replace(CROP, spec=InputSpec(128, 3, "center"), trivial_augment=True),
            {"randaugment": 0.3},
            "train without trivial_augment and randaugment.",
        ),
        (
            InputTransform(InputSpec(128, 3, "center"), hflip=True),
            {"mixup": 0.2},
            "use more CPU cores, or a disk that is read faster.",
        ),
        (InputTransform(InputSpec(64), hflip=True), {}, "use more CPU cores, or a disk that is read faster."),
    ],
    ids=["large", "large and augmented", "augmented", "neither", "squashed"],
)
def test_what_would_help_is_said(photos, transform, batch_augment, advice):
    found = input_advice(photos, transform, BatchAugment(**batch_augment))
    assert found == f"To wait less, {advice.format(shrink=SHRINK.format(photos.name))}"


def test_images_that_are_no_files_are_not_large():
    assert "CPU cores" in input_advice(load_dataset("digits"), CROP, BatchAugment())
