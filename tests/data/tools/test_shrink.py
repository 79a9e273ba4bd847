import io
import json
import logging
import os
import threading

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.pictures import LAID, PHOTOS, animation, encoded, lying, small

import keras_resnet
from keras_resnet._utils import progress
from keras_resnet._utils.lock import lock_folder
from keras_resnet.data.images import augment
from keras_resnet.data.images.decode import decode_resize_box
from keras_resnet.data.images.pixels import read_pixels
from keras_resnet.data.load import load_dataset
from keras_resnet.data.tools import shrink as module
from keras_resnet.data.tools.shrink import MANIFEST, shrink


def _write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def _tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _size(content):
    with PIL.Image.open(io.BytesIO(content)) as image:
        return image.size


def test_a_folder_is_copied_with_its_tree(tmp_path, caplog):
    """Large images become smaller in their format and under their name; others stay as they are."""
    photo, tiny = PHOTOS[0], small(0)
    files = {
        "train/cat/large.jpg": encoded(photo),
        "train/cat/großes Bild.JPEG": encoded(photo, mode="L"),
        "train/dog/large.png": encoded(photo, "PNG"),
        "train/dog/large.webp": encoded(photo, "WEBP"),
        "train/dog/large.bmp": encoded(photo, "BMP"),
        "train/dog/sub/cmyk.jpg": encoded(photo, mode="CMYK"),
        "train/dog/alpha.png": encoded(photo, "PNG", "RGBA"),
        "train/dog/png.jpg": encoded(photo, "PNG"),
        "val/cat/small.jpg": encoded(tiny),
        "val/dog/large.gif": encoded(photo, "GIF"),
        "val/dog/small.gif": animation(),
        "val/dog/damaged.jpg": encoded(photo)[:300],
        "val/dog/empty.jpg": b"",
        "val/dog/notes.txt": b"not an image",
    }
    source, out = _write(tmp_path / "in", files), tmp_path / "out"
    (source / "val" / "dog" / "lost.jpg").symlink_to(tmp_path / "nowhere")
    caplog.set_level(logging.WARNING)
    report = keras_resnet.data.shrink(source, out, shorter_side=100)
    del files["val/dog/notes.txt"]
    assert _tree(out) == sorted([*files, MANIFEST])
    assert (report.num_shrunk, report.num_copied, report.num_present) == (8, 5, 0)
    assert [path.name for path in report.unreadable] == ["damaged.jpg", "empty.jpg"]
    assert [path.name for path in report.missing] == ["lost.jpg"]
    assert report.other_files == {".txt": 1}
    assert any("damaged.jpg" in message for message in caplog.messages)
    assert any("lost.jpg" in message for message in caplog.messages)
    assert any(".txt" in message for message in caplog.messages)
    for name, content in files.items():
        written = (out / name).read_bytes()
        if name.startswith("val"):
            assert written == content
            continue
        with PIL.Image.open(io.BytesIO(written)) as image, PIL.Image.open(io.BytesIO(content)) as before:
            assert image.format == before.format
            assert image.size == (150, 100)
            assert image.mode == ("L" if before.mode == "L" else "RGB")
            expected = before.convert("RGB").resize((150, 100), PIL.Image.Resampling.BILINEAR)
            difference = abs(np.asarray(expected, "int") - np.asarray(image.convert("RGB"), "int"))
            assert difference.mean() < (1 if image.format in ("PNG", "BMP") else 4), name
    assert report.bytes_after < report.bytes_before == sum(map(len, files.values()))


@pytest.mark.parametrize("orientation", LAID)
def test_jpegs_become_upright(tmp_path, orientation):
    source = _write(tmp_path / "in", {"a/lying.jpg": lying(PHOTOS[1], orientation)})
    shrink(source, tmp_path / "out", shorter_side=64)
    content = (tmp_path / "out/a/lying.jpg").read_bytes()
    assert PIL.Image.open(io.BytesIO(content)).getexif() == {}
    expected = PIL.Image.fromarray(PHOTOS[1]).resize((96, 64), PIL.Image.Resampling.BILINEAR)
    assert abs(read_pixels(content).astype(int) - np.asarray(expected, "int")).mean() < 3


def test_a_profile_of_colors_stays_where_the_numbers_do(tmp_path):
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    files = {
        "a/rgb.jpg": encoded(PHOTOS[0], icc_profile=profile),
        "a/cmyk.jpg": encoded(PHOTOS[0], mode="CMYK", icc_profile=profile),
    }
    shrink(_write(tmp_path / "in", files), tmp_path / "out", shorter_side=64)
    found = {
        path.stem: PIL.Image.open(path).info.get("icc_profile") for path in (tmp_path / "out/a").iterdir()
    }
    assert found == {"rgb": profile, "cmyk": None}


@pytest.mark.parametrize("shape", [(600, 600), (2000, 30), (30, 2000), (101, 4000)])
def test_the_shorter_side_is_as_asked(tmp_path, shape):
    picture = np.zeros((*shape, 3), "uint8")
    shrink(_write(tmp_path / "in", {"a.png": encoded(picture, "PNG")}), tmp_path / "out", shorter_side=100)
    width, height = _size((tmp_path / "out/a.png").read_bytes())
    if min(shape) <= 100:
        assert (height, width) == shape
    else:
        assert (height, width) == tuple(round(side * 100 / min(shape)) for side in shape)


def test_the_same_images_are_held_out(tmp_path):
    files = {
        f"{name}/{number}.{suffix}": encoded(PHOTOS[label], kind)
        for label, name in enumerate(("cat", "dog"))
        for number in range(6)
        for suffix, kind in (("jpg", "JPEG"), ("png", "PNG"))
    }
    source = _write(tmp_path / "in", files)
    shrink(source, tmp_path / "out", shorter_side=32)

    def described(folder):
        dataset = load_dataset(str(folder), validation_fraction=0.3)
        return [
            [os.path.relpath(split.describe(index), folder) for index in range(split.size)]
            for split in (dataset.train, dataset.validation)
        ]

    assert described(tmp_path / "out") == described(source)


class TestAgain:
    @pytest.fixture
    def source(self, tmp_path):
        return _write(
            tmp_path / "in",
            {f"a/{number}.jpg": encoded(PHOTOS[number % 2]) for number in range(6)}
            | {"b/s.jpg": encoded(small(0))},
        )

    def test_nothing_is_written_twice(self, source, tmp_path):
        shrink(source, tmp_path / "out", shorter_side=64)
        before = {path: path.stat().st_ino for path in (tmp_path / "out").rglob("*.jpg")}
        report = shrink(source, tmp_path / "out", shorter_side=64)
        assert (report.num_shrunk, report.num_copied, report.num_present) == (0, 0, 7)
        assert {path: path.stat().st_ino for path in (tmp_path / "out").rglob("*.jpg")} == before

    def test_what_is_new_or_changed_is_written(self, source, tmp_path):
        shrink(source, tmp_path / "out", shorter_side=64)
        _write(source, {"a/new.jpg": encoded(PHOTOS[0])})
        (source / "a/0.jpg").write_bytes(encoded(PHOTOS[1]))
        os.utime(source / "a/0.jpg", ns=(0, 10**18))
        report = shrink(source, tmp_path / "out", shorter_side=64)
        assert (report.num_shrunk, report.num_present) == (2, 6)
        changed, other = ((tmp_path / "out/a" / name).read_bytes() for name in ("0.jpg", "1.jpg"))
        assert changed == other

    def test_an_interrupted_copy_continues(self, source, tmp_path, monkeypatch):
        uninterrupted = tmp_path / "whole"
        shrink(source, uninterrupted, shorter_side=64)
        calls, original = [], module._shrunk

        def stop(*arguments):
            calls.append(1)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return original(*arguments)

        monkeypatch.setattr(module, "_shrunk", stop)
        with pytest.raises(KeyboardInterrupt):
            shrink(source, tmp_path / "out", shorter_side=64, threads=1)
        monkeypatch.undo()
        written = len(list((tmp_path / "out").rglob("*.jpg")))
        assert 0 < written < 7
        (tmp_path / "out/a/.writing-killed").mkdir()
        (tmp_path / "out/a/.writing-killed/half.jpg").write_bytes(b"half")
        report = shrink(source, tmp_path / "out", shorter_side=64)
        assert report.num_present == written
        assert _tree(tmp_path / "out") == _tree(uninterrupted)
        for name in _tree(uninterrupted):
            assert (tmp_path / "out" / name).read_bytes() == (uninterrupted / name).read_bytes()

    def test_an_error_of_the_disk_ends_it_with_no_half_file(self, source, tmp_path, monkeypatch):
        original = os.replace

        def full(written, path):
            if str(path).endswith("3.jpg"):
                raise OSError(28, "No space left on device", str(path))
            original(written, path)

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            shrink(source, tmp_path / "out", shorter_side=64, threads=1)
        assert "a/3.jpg" not in _tree(tmp_path / "out")
        for name in _tree(tmp_path / "out"):
            if name.endswith(".jpg"):
                read_pixels((tmp_path / "out" / name).read_bytes())

    def test_a_folder_that_is_being_written_is_refused(self, source, tmp_path):
        with lock_folder(tmp_path / "out"), refused("out", None):
            shrink(source, tmp_path / "out")

    @pytest.mark.parametrize("threads", [1, 5])
    def test_any_number_of_threads_writes_the_same(self, source, tmp_path, threads):
        shrink(source, tmp_path / "out", shorter_side=64, threads=threads)
        shrink(source, tmp_path / "two", shorter_side=64, threads=2)
        for name in set(_tree(tmp_path / "two")) - {MANIFEST}:
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert threading.active_count() < 20

    def test_progress_is_logged(self, source, tmp_path, monkeypatch, caplog):
        monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1)
        caplog.set_level(logging.INFO)
        shrink(source, tmp_path / "out", shorter_side=64)
        assert any(message.startswith("3 of 7 files, about ") for message in caplog.messages)


class TestRefusals:
    @pytest.fixture
    def source(self, tmp_path):
        return _write(tmp_path / "in", {"a/0.jpg": encoded(small(0)), "b/inside/1.jpg": encoded(small(1))})

    @pytest.mark.parametrize("out", ["in", "in/copy", "in/a", ".", "other/../in", "link/copy"])
    def test_a_copy_inside_or_around_the_folder(self, source, tmp_path, out):
        (tmp_path / "link").symlink_to(source)
        before = _tree(tmp_path)
        with refused("out", tmp_path / out):
            shrink(source, tmp_path / out)
        assert _tree(tmp_path) == before

    def test_a_folder_with_other_files(self, source, tmp_path):
        _write(tmp_path / "out", {"mine.txt": b"keep"})
        with refused("out", tmp_path / "out"):
            shrink(source, tmp_path / "out")
        assert _tree(tmp_path / "out") == ["mine.txt"]

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"source": 3}', b"\xff"])
    def test_a_damaged_manifest(self, source, tmp_path, content):
        _write(tmp_path / "out", {MANIFEST: content})
        with refused("out", tmp_path / "out"):
            shrink(source, tmp_path / "out")

    def test_a_copy_of_another_folder_or_size(self, source, tmp_path):
        shrink(source, tmp_path / "out")
        with refused("out", tmp_path / "out") as caught:
            shrink(source, tmp_path / "out", shorter_side=256)
        assert "shorter_side=512" in caught.value.reason
        _write(tmp_path / "in2", {"0.jpg": encoded(small(0))})
        with refused("out", tmp_path / "out") as caught:
            shrink(tmp_path / "in2", tmp_path / "out")
        assert str(source.resolve()) in caught.value.reason
        manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
        assert manifest == {"source": str(source.resolve()), "shorter_side": 512}

    @pytest.mark.parametrize("name", ["nowhere", "empty", "file"])
    def test_what_is_no_folder_of_images(self, tmp_path, name):
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").touch()
        with refused("folder", tmp_path / name):
            shrink(tmp_path / name, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_side_of_no_pixels(self, source, tmp_path):
        with refused("shorter_side", 0):
            shrink(source, tmp_path / "out", shorter_side=0)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Files of 12 megapixels and their copies: one photograph enlarged, the other one tiled."""
    root = tmp_path_factory.mktemp("large")
    enlarged = PIL.Image.fromarray(PHOTOS[1]).resize((4000, 3000), PIL.Image.Resampling.BICUBIC)
    tiled = np.tile(PHOTOS[0], (8, 7, 1))[:3000, :4000]
    files = {
        "enlarged.jpg": encoded(np.asarray(enlarged), quality=90),
        "tiled.jpg": encoded(tiled, quality=90),
    }
    shrink(_write(root / "in", files), root / "out")
    return {name: (content, (root / "out" / name).read_bytes()) for name, content in files.items()}


def _difference(contents, boxes):
    one, other = (
        decode_resize_box(tf.constant(content), lambda shape, box=box: box(shape), 224, 3).numpy().astype(int)
        for content, box in zip(contents, boxes, strict=True)
    )
    return abs(one - other).mean()


@pytest.mark.parametrize(("name", "limit"), [("enlarged.jpg", 2), ("tiled.jpg", 3.5)])
def test_a_crop_of_the_copy_is_that_of_the_original(large, name, limit):
    """The same rectangles, of the smallest and the largest scale of the paper and one between."""
    assert _size(large[name][1]) == (683, 512)
    random = np.random.default_rng(0)
    for side in (239, 320, 448):
        box = np.array([random.integers(0, 512 - side), random.integers(0, 683 - side), side, side])
        of_original = np.round(box * 3000 / 512).astype("int32")
        boxes = (lambda _, one=of_original: tf.constant(one)), (lambda _, one=box: tf.constant(one, tf.int32))
        assert _difference(large[name], boxes) < limit


@pytest.mark.parametrize(("name", "limit"), [("enlarged.jpg", 4), ("tiled.jpg", 8)])
def test_random_crops_of_the_copy_are_those_of_the_original(large, name, limit):
    """They begin at a whole pixel of the copy, half of one away on average."""
    differences = []
    for uniforms in (
        np.random.default_rng(0).uniform(size=(8, augment.SCALE_JITTER_UNIFORMS)).astype("float32")
    ):

        def choose(shape, uniforms=uniforms):
            return augment.scale_jitter_box(shape, 224, tf.constant(uniforms))

        differences.append(_difference(large[name], (choose, choose)))
    assert np.mean(differences) < limit
