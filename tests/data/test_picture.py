import io
import tracemalloc

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from pictures import PHOTOS, bomb, encoded, lying, small

from keras_resnet.data import augment
from keras_resnet.data.decode import crop_view
from keras_resnet.data.picture import seen_picture
from keras_resnet.errors import UserError


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "centre"])
@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_same_as_what_tests_see(kind, size, whole, channels):
    """Pillow and TensorFlow: two decoders and two resizers."""
    file = encoded(PHOTOS[1], kind)
    choose = augment.whole if whole else augment.centre_crop
    wanted = crop_view(tf.constant(file), lambda shape: choose(shape, size), size, channels).numpy()
    seen = seen_picture(file, size, channels, whole=whole, name="photo")
    assert seen.shape == (size, size, channels)
    assert seen.dtype == np.uint8
    difference = np.abs(seen.astype(int) - wanted)
    # Pillow rounds between rows and columns; TensorFlow decodes JPEG by a faster, coarser transform.
    assert difference.mean() < (1.2 if kind == "JPEG" else 0.6)
    assert difference.max() <= (12 if kind == "JPEG" else 2)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_kind_of_pixels_becomes_what_the_net_sees(mode):
    file = encoded(small(0), "JPEG" if mode == "CMYK" else "PNG", mode)
    for channels in (1, 3):
        assert seen_picture(file, 32, channels, whole=True, name="photo").shape == (32, 32, channels)


def test_sixteen_bits_are_scaled_and_not_cut_off():
    pixels = np.arange(32 * 32, dtype="uint16").reshape(32, 32) * 64
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    seen = seen_picture(file.getvalue(), 32, 1, whole=True, name="picture")
    wanted = tf.io.decode_png(tf.constant(file.getvalue()), 1)
    np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "centre"])
def test_a_picture_taken_lying_is_seen_upright_and_as_tests_see_it(orientation, whole):
    file = lying(PHOTOS[0], orientation)
    seen = seen_picture(file, 64, 3, whole=whole, name="lying").astype(int)
    wanted = seen_picture(encoded(PHOTOS[0], "PNG"), 64, 3, whole=whole, name="upright")
    assert np.abs(seen - wanted).mean() < 2
    choose = augment.whole if whole else augment.centre_crop
    tested = crop_view(tf.constant(file), lambda shape: choose(shape, 64), 64, 3).numpy()
    assert np.abs(seen - tested).mean() < 2


def test_a_narrow_picture_takes_no_more_memory_than_its_centre():
    file = encoded(np.full((3, 20_000, 3), 200, "uint8"), "PNG")
    tracemalloc.start()
    seen = seen_picture(file, 224, 3, whole=False, name="narrow")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert (seen == 200).all()


def test_a_picture_of_the_nets_size_stays_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), "uint8")
    PIL.Image.fromarray(pixels).save(tmp_path / "picture.png")
    np.testing.assert_array_equal(seen_picture(tmp_path / "picture.png", 32, 3, whole=True), pixels)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "is no picture that can be decoded"),
        (b"text", "is no picture that can be decoded"),
        (encoded(small(0))[:200], "is no picture that can be decoded"),
        (bomb(), "has more than 178,956,970 pixels"),
        (encoded(small(0), "TIFF"), "is no picture that can be decoded; JPEG, PNG, GIF, BMP and WebP can"),
    ],
    ids=["empty", "text", "cut", "bomb", "another kind"],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path, contents, message):
    path = tmp_path / "picture.jpg"
    path.write_bytes(contents)
    with pytest.raises(UserError, match=rf"picture\.jpg ({message})"):
        seen_picture(path, 32, 3, whole=True)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.jpg cannot be read \(No such file"):
        seen_picture(tmp_path / "none.jpg", 32, 3, whole=True)


def test_bytes_without_a_name_are_not_shown_in_the_message():
    with pytest.raises(UserError, match=r"^The picture is no picture that can be decoded"):
        seen_picture(b"no picture", 32, 3, whole=True)
