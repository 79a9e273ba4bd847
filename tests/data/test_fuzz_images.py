"""Damaged images become pixels or are refused in one sentence, and never end a run in another way."""

import functools
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from helpers.damage import answer_or_none, budget, damaged, with_right_checksums
from helpers.pictures import animation, encoded, small
from hypothesis import event, given
from hypothesis import strategies as st

from keras_resnet.data.decode_errors import DecodeErrors
from keras_resnet.data.images import augment
from keras_resnet.data.images.decode import decode, decode_resize_box
from keras_resnet.data.images.pillow import preprocess_image
from keras_resnet.data.input_spec import InputSpec, InputTransform
from keras_resnet.data.load import load_dataset
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.test_views import five_crops, transform_image
from keras_resnet.data.tools.validate import find_issues

SIZE = 16
PHOTO = small(0, 24, 18)
WHOLE = st.sampled_from(
    [
        encoded(PHOTO),
        encoded(PHOTO, progressive=True, mode="L"),
        encoded(PHOTO, mode="CMYK"),
        encoded(PHOTO, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
        encoded(PHOTO, "PNG"),
        encoded(PHOTO, "PNG", "P", transparency=0),
        encoded(PHOTO, "PNG", "LA"),
        encoded(np.arange(18 * 24, dtype="uint16").reshape(18, 24) * 100, "PNG"),
        encoded(PHOTO, "GIF"),
        animation(),
        encoded(PHOTO, "BMP"),
        encoded(PHOTO, "BMP", "P"),
        encoded(PHOTO, "WEBP"),
        encoded(PHOTO, "WEBP", "RGBA", lossless=True),
    ]
)
DAMAGED = WHOLE.flatmap(damaged).flatmap(lambda file: st.sampled_from([file, with_right_checksums(file)]))


@budget(400)
@given(DAMAGED, st.sampled_from([1, 3]), st.booleans())
def test_a_picture_is_seen_or_refused(file, channels, whole):
    seen = answer_or_none(
        preprocess_image, file, InputSpec(SIZE, channels, "squash" if whole else "center"), name="it"
    )
    if seen is not None:
        assert seen.shape == (SIZE, SIZE, channels)
        assert seen.dtype == np.uint8


@budget(150, share=0.2)
@given(DAMAGED, st.sampled_from([".jpg", ".png", ".gif"]))
def test_validation_ends_with_findings(file, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"it{suffix}")
        path.write_bytes(file)
        found = find_issues(path)
    assert all(finding.path == path and finding.kind for finding in found)
    event("unusable" if any(finding.unusable for finding in found) else "usable")


@functools.cache
def _views():
    """What training and tests make of a file, and which shape it has, by name."""

    def box(shape):
        return augment.scale_jitter_box(shape, SIZE, tf.constant([0.3, 0.99, 0.5]))

    views = {
        "all of it": (lambda file: decode(file, 3), (None, None, 3)),
        "in grey": (lambda file: transform_image(file, InputSpec(SIZE, 1)), (SIZE, SIZE, 1)),
        "crop": (lambda file: decode_resize_box(file, box, SIZE, 3), (SIZE, SIZE, 3)),
        "five crops": (lambda file: five_crops(file, InputSpec(SIZE)), (5, SIZE, SIZE, 3)),
    }
    one_file = [tf.TensorSpec((), tf.string)]
    return {name: (tf.function(view, one_file), shape) for name, (view, shape) in views.items()}


@budget(60, share=0.5)
@given(DAMAGED)
def test_every_view_has_its_shape_or_is_an_error_of_its_operation(file):
    for name, (view, shape) in _views().items():
        try:
            seen = view(tf.constant(file))
        except tf.errors.OpError:
            event(f"{name}: refused")
        else:
            assert seen.shape.is_compatible_with(shape)
            event(f"{name}: seen")


def _seen_in_training_and_tests(folder, whole):
    """Shapes of an epoch's batches, how many they should be, images tested and left out of the tests."""
    images = Pipeline(
        load_dataset(folder),
        InputTransform(InputSpec(SIZE, 3, "squash" if whole else "center"), hflip=True),
        DecodeErrors("skip", 0.9),
    )
    mean = images.mean(per_pixel=False)
    with images.decode_errors.translate():
        shapes = [batch.shape for batch, _ in images.train_batches(2, 1, mean).as_numpy_iterator()]
    before = images.decode_errors.skipped
    with images.decode_errors.translate():
        tested = sum(len(labels) for _, labels in images.validation_batches(5).as_numpy_iterator())
    return shapes, images.steps_per_epoch(2), tested, images.decode_errors.skipped - before


@budget(1, share=1 / 500)
@given(st.lists(WHOLE | DAMAGED, min_size=24, max_size=24), st.booleans())
def test_training_and_tests_go_on_without_the_damaged_ones(files, whole):
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            part, label = "train" if number % 2 else "val", "ab"[number // 2 % 2]
            path = pathlib.Path(folder, part, label, f"{number}.jpg")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file)
        answer = answer_or_none(_seen_in_training_and_tests, folder, whole)
    if answer is not None:
        shapes, steps, tested, left_out = answer
        assert len(shapes) == steps
        assert {shape[:3] for shape in shapes} == {(2, SIZE, SIZE)}
        assert tested + left_out == len(files) / 2
