import io
import tracemalloc

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.pictures import PHOTOS, bomb, encoded, lying, small

from keras_resnet.data.images import augment
from keras_resnet.data.images.decode import decode_crop
from keras_resnet.data.images.pillow import preprocess_image
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.data.test_views import transform_image


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("crop_mode", ["squash", "center"])
@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_same_pixels_as_the_input_pipeline(kind, size, crop_mode, channels):
    """Pillow and TensorFlow: two resizers."""
    file = encoded(PHOTOS[1], kind)
    choose = augment.squash if crop_mode == "squash" else augment.center_crop
    wanted = decode_crop(tf.constant(file), lambda shape: choose(shape, size), size, channels).numpy()
    seen = preprocess_image(file, InputSpec(size, channels, crop_mode), name="photo")
    assert seen.shape == (size, size, channels)
    assert seen.dtype == np.uint8
    difference = np.abs(seen.astype(int) - wanted)
    # Pillow rounds between rows and columns, and makes gray of a JPEG after RGB.
    assert difference.mean() < 0.6
    assert difference.max() <= (6 if kind == "JPEG" and channels == 1 else 2)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_mode_becomes_the_models_channels(mode):
    file = encoded(small(0), "JPEG" if mode == "CMYK" else "PNG", mode)
    for channels in (1, 3):
        assert preprocess_image(file, InputSpec(32, channels), name="photo").shape == (32, 32, channels)


def test_sixteen_bits_are_scaled_and_not_clipped():
    pixels = np.arange(32 * 32, dtype="uint16").reshape(32, 32) * 64
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    seen = preprocess_image(file.getvalue(), InputSpec(32, 1), name="picture")
    wanted = tf.io.decode_png(tf.constant(file.getvalue()), 1)
    np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("crop_mode", ["squash", "center"])
def test_an_image_is_turned_upright_as_in_the_input_pipeline(orientation, crop_mode):
    file = lying(PHOTOS[0], orientation)
    seen = preprocess_image(file, InputSpec(64, 3, crop_mode), name="lying").astype(int)
    wanted = preprocess_image(encoded(PHOTOS[0], "PNG"), InputSpec(64, 3, crop_mode), name="upright")
    assert np.abs(seen - wanted).mean() < 2
    choose = augment.squash if crop_mode == "squash" else augment.center_crop
    tested = decode_crop(tf.constant(file), lambda shape: choose(shape, 64), 64, 3).numpy()
    assert np.abs(seen - tested).mean() < 2


def test_a_narrow_image_takes_no_more_memory_than_its_center():
    file = encoded(np.full((3, 20_000, 3), 200, "uint8"), "PNG")
    tracemalloc.start()
    seen = preprocess_image(file, InputSpec(224, 3, "center"), name="narrow")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert (seen == 200).all()


def test_an_image_of_the_models_size_stays_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), "uint8")
    PIL.Image.fromarray(pixels).save(tmp_path / "picture.png")
    np.testing.assert_array_equal(preprocess_image(tmp_path / "picture.png", InputSpec(32)), pixels)


@pytest.mark.parametrize(
    ("contents", "word"),
    [
        (b"", "decoded"),
        (b"text", "decoded"),
        (encoded(small(0))[:200], "decoded"),
        (bomb(), "178,956,970 pixels"),
        (encoded(small(0), "TIFF"), "JPEG, PNG, GIF, BMP or WebP"),
    ],
    ids=["empty", "text", "truncated", "bomb", "another format"],
)
def test_a_file_that_cannot_be_decoded_is_refused_by_name(tmp_path, contents, word):
    path = tmp_path / "picture.jpg"
    path.write_bytes(contents)
    with refused(None, str(path)) as caught:
        preprocess_image(path, InputSpec(32))
    assert word in caught.value.reason


def test_missing_file_is_refused(tmp_path):
    with refused(None, str(tmp_path / "none.jpg")):
        preprocess_image(tmp_path / "none.jpg", InputSpec(32))


def test_bytes_without_a_name_are_not_shown_in_the_message():
    with refused(None, "The image"):
        preprocess_image(b"no picture", InputSpec(32))


@pytest.mark.parametrize("crop_mode", ["squash", "center"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_prepared_as_their_file(crop_mode, channels):
    spec = InputSpec(64, channels, crop_mode)
    prepared = preprocess_image(PHOTOS[0], spec)
    np.testing.assert_array_equal(prepared, preprocess_image(encoded(PHOTOS[0], "PNG"), spec))
    gray = PHOTOS[0][..., :1]
    assert preprocess_image(gray, spec).shape == (64, 64, channels)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8), "uint8"),
        np.zeros((8, 8, 4), "uint8"),
        np.zeros((8, 8, 3)),
        np.zeros((0, 8, 3), "uint8"),
    ],
)
def test_arrays_that_are_not_pixels_are_refused(pixels):
    with refused(None, "The image"):
        preprocess_image(pixels, InputSpec(32))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_published_transforms_give_their_publishers_pixels(kind, interpolation):
    """As `transforms.Resize` and `CenterCrop` of torchvision work on a Pillow image."""
    spec = InputSpec(96, 3, "center", "published", resize_size=110, interpolation=interpolation)
    file = encoded(PHOTOS[1], kind)
    image = PIL.Image.open(io.BytesIO(file))
    width, height = (int(110 * side / min(image.size)) for side in image.size)
    resized = image.resize((width, height), getattr(PIL.Image.Resampling, interpolation.upper()))
    left, top = (round((side - 96) / 2) for side in (width, height))
    wanted = np.asarray(resized.crop((left, top, left + 96, top + 96)))
    np.testing.assert_array_equal(preprocess_image(file, spec), wanted)
    np.testing.assert_array_equal(transform_image(tf.constant(file), spec), wanted)
    gray = preprocess_image(file, InputSpec(96, 1, "center", "published", 110, interpolation))
    assert gray.shape == (96, 96, 1)
