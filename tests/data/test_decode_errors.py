import dataclasses
import functools
import re

import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.marks import slow
from helpers.pictures import encoded, kinds, small, write_folder

from keras_resnet.data import pipeline, test_views
from keras_resnet.data.decode_errors import DecodeErrors
from keras_resnet.data.images.decode import decode
from keras_resnet.data.input_spec import InputSpec, InputTransform, TestViews
from keras_resnet.data.load import load_dataset
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.test_views import iterate_views

CROP = InputTransform(InputSpec(32, 3, "center"), hflip=True)
UNUSABLE = [name for name, (_, unusable, _) in kinds().items() if unusable]
NO_MEAN = np.zeros(3, "float32")


@functools.cache
def _decode(channels):
    """Traced once, because graphs take most of the time here."""
    return tf.function(
        lambda contents: tf.cast(tf.image.resize(decode(contents, channels), (32, 32)), tf.uint8),
        [tf.TensorSpec((), tf.string)],
        autograph=False,
    )


@pytest.fixture
def real_graphs():
    """For a test that needs what users run."""


@pytest.fixture(autouse=True)
def _short_graphs(request, monkeypatch):
    """What is decoded here is not looked at: all of it in one graph, without crops."""
    if "real_graphs" in request.fixturenames:
        return

    def resized(image, choose, size, channels, *_):
        return tf.ensure_shape(_decode(channels)(image)[:size, :size], (size, size, channels))

    monkeypatch.setattr(pipeline, "decode_resize_box", resized)
    monkeypatch.setattr(test_views, "decode_crop", resized)


def _pipeline(folder, *policy, transform=CROP):
    return Pipeline(load_dataset(str(folder)), transform, DecodeErrors(*policy))


def _read(images, batch_size=4, epochs=1):
    with images.decode_errors.translate():
        return [labels for _, labels in images.train_batches(batch_size, epochs, NO_MEAN).as_numpy_iterator()]


def _spoil(folder, names, part="train"):
    contents = kinds()
    for name in names:
        (folder / part / "church" / f"bad-{name}").write_bytes(contents[name][2])


@pytest.mark.parametrize("name", [*UNUSABLE[:2], *map(slow, UNUSABLE[2:])])
def test_raise_names_the_file(tmp_path, name):
    _spoil(write_folder(tmp_path), [name])
    with refused(None, str(tmp_path / "train" / "church" / f"bad-{name}")) as caught:
        _read(_pipeline(tmp_path, "raise"))
    assert "bad_images=skip" in caught.value.reason


@pytest.mark.usefixtures("real_graphs")
def test_every_usable_kind_is_read(tmp_path):
    usable = [name for name, (_, unusable, _) in kinds().items() if not unusable]
    _spoil(write_folder(tmp_path), usable)
    assert sum(map(len, _read(_pipeline(tmp_path, "raise"), batch_size=1))) == 20 + len(usable)


def test_skip_leaves_out_warns_and_keeps_the_number_of_steps(tmp_path, caplog):
    _spoil(write_folder(tmp_path), ["empty.jpg", "text.jpg", "truncated.png"])
    images = _pipeline(tmp_path, "skip", 0.2)
    batches = _read(images, batch_size=4, epochs=3)
    assert [len(labels) for labels in batches] == [4] * 5 * 3
    assert images.decode_errors.skipped == 3
    assert len(caplog.messages) == 3  # once each, not once an epoch
    assert all("bad-" in line for line in caplog.messages)


@pytest.mark.parametrize(
    ("max_fraction", "bad"), [(0.05, ["text.jpg", "empty.jpg"]), slow(0.0, ["text.jpg", "empty.jpg"])]
)
def test_skip_gives_up_past_its_cap(tmp_path, max_fraction, bad):
    _spoil(write_folder(tmp_path), bad)
    with refused("max_bad_images", max_fraction) as caught:
        _read(_pipeline(tmp_path, "skip", max_fraction), epochs=2)
    assert "2 of the 22 images of train" in caught.value.reason


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ("raise", "a-first.jpg"),
        ("skip", "z-last.jpg"),
        slow("raise", "z-last.jpg"),
        slow("skip", "a-first.jpg"),
    ],
)
def test_bad_validation_images_are_found_at_either_end(tmp_path, policy, name):
    write_folder(tmp_path)
    bad = tmp_path / "val" / ("church" if name.startswith("a") else "flower") / name
    bad.write_bytes(b"no picture")
    images = _pipeline(tmp_path, policy, 0.5)
    if policy == "skip":
        with images.decode_errors.translate():
            count = sum(len(labels) for _, labels in images.validation_batches(2).as_numpy_iterator())
        assert count == 4
        assert images.decode_errors.skipped == 1
        return
    with refused(None, str(bad)), images.decode_errors.translate():
        list(images.validation_batches(2))


@pytest.mark.parametrize("policy", ["raise", "skip"])
def test_bad_images_among_small_ones(tmp_path, policy):
    for label, folder in enumerate(("train/a", "train/b", "val/a", "val/b")):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(6):
            content = encoded(small(label % 2, 16, 16), "PNG")
            (tmp_path / folder / f"{i}.png").write_bytes(content)
    (tmp_path / "train" / "a" / "bad.png").write_bytes(b"no picture")
    images = _pipeline(tmp_path, policy, transform=InputTransform(InputSpec(16), hflip=False))
    if policy == "raise":
        with refused(None, str(tmp_path / "train" / "a" / "bad.png")):
            images.steps_per_epoch(4)
        return
    assert images.steps_per_epoch(4) == 3
    labels = np.concatenate(_read(images))
    assert np.bincount(labels).tolist() == [6, 6]


def test_file_that_vanishes_is_named(tmp_path):
    write_folder(tmp_path)
    images = _pipeline(tmp_path, "raise")
    lost = tmp_path / "train" / "flower" / "03.jpg"
    lost.unlink()
    with refused(None, "an image of train") as caught:
        _read(images)
    assert f"{lost}; No such file" in caught.value.reason


def test_resumed_run_finds_bad_images_too(tmp_path):
    _spoil(write_folder(tmp_path), ["text.jpg"])
    images = _pipeline(tmp_path, "skip", 0.1)
    uninterrupted = _read(images)
    again = _pipeline(tmp_path, "skip", 0.1)
    with again.decode_errors.translate():
        rest = [labels for _, labels in again.train_batches(4, 1, NO_MEAN, first_step=2).as_numpy_iterator()]
    assert len(rest) == len(uninterrupted) - 2


def test_a_file_that_cannot_be_read_moves_no_other_in_the_part_of_a_resumed_run(tmp_path):
    for number in range(16):
        (tmp_path / "train" / f"{number:02}").mkdir(parents=True)
        (tmp_path / "train" / f"{number:02}" / "a.jpg").write_bytes(encoded(small(0)))
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "00").symlink_to(tmp_path / "train" / "00")
    images = _pipeline(tmp_path, "skip", 0.1)

    def batches(**options):
        with images.decode_errors.translate():
            stream = images.train_batches(4, 1, NO_MEAN, **options)
            return [labels.tolist() for _, labels in stream.as_numpy_iterator()]

    complete = batches()
    (tmp_path / "train" / f"{complete[0][0]:02}" / "a.jpg").unlink()
    for worker in (0, 1):
        assert batches(first_step=2, worker=worker, workers=2) == [
            labels[worker::2] for labels in complete[2:]
        ]
    assert images.decode_errors.skipped == 0  # it is before all of these


def test_a_file_that_cannot_be_read_is_lost_to_its_own_worker(tmp_path, caplog):
    for number in range(6):
        (tmp_path / f"{number}").mkdir()
        for name in "ab":
            (tmp_path / f"{number}" / f"{name}.jpg").write_bytes(encoded(small(0)))
    images = _pipeline(tmp_path, "skip", 0.5)
    lost = tmp_path / images.dataset.validation.describe(2)
    lost.unlink()
    batches = [images.validation_batches(2, worker=worker, workers=2) for worker in (0, 1)]
    for _ in range(2):
        with images.decode_errors.translate():
            found = [[int(label) for _, labels in part for label in labels] for part in batches]
        assert found == [[0, 4], [1, 3, 5]]
    assert images.decode_errors.skipped == 1
    (warning,) = caplog.messages
    assert str(lost) in warning


def test_each_file_that_cannot_be_read_counts(tmp_path):
    write_folder(tmp_path)
    images = _pipeline(tmp_path, "skip", 0.1)
    for name in ("03", "04", "05"):
        (tmp_path / "train" / "flower" / f"{name}.jpg").unlink()
    with refused("max_bad_images", 0.1) as caught:
        _read(images)
    assert "3 of the 20 images of train" in caught.value.reason


def test_a_lost_image_is_explained_without_reading_others_and_once(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "val" / "flower" / "01.jpg").write_bytes(b"no picture")
    dataset = load_dataset(str(tmp_path))
    read, starts = dataset.validation.read, []

    def watched(key, start=0, step=1):
        starts.append(int(start))
        return read(key, start, step)

    validation = dataclasses.replace(dataset.validation, read=watched)
    images = Pipeline(dataclasses.replace(dataset, validation=validation), CROP, DecodeErrors("skip", 0.5))
    batches = images.validation_batches(2)
    for _ in range(3):
        assert sum(len(labels) for _, labels in batches) == 3
    assert starts == [0, 3]


@pytest.mark.parametrize("part", ["train", "val"])
def test_not_all_images_of_a_split_are_left_out(tmp_path, part):
    write_folder(tmp_path, images=2)
    for path in (tmp_path / part).rglob("*.jpg"):
        path.write_bytes(b"no picture")
    images = _pipeline(tmp_path, "skip", 1.0)
    use = {"train": lambda: images.mean(per_pixel=False), "val": lambda: list(images.validation_batches(2))}
    with refused("max_bad_images", 1.0) as caught, images.decode_errors.translate():
        use[part]()
    assert "4 of the 4 images of" in caught.value.reason


def test_an_epoch_without_enough_replacements_for_bad_images_is_refused(tmp_path):
    write_folder(tmp_path, images=8)
    for path in sorted((tmp_path / "train").rglob("*.jpg"))[:13]:
        path.write_bytes(b"no picture")
    with refused(None, None) as caught:
        _read(_pipeline(tmp_path, "skip", 0.9))
    assert "13 images of train" in caught.value.reason


def test_a_dataset_with_fewer_images_than_it_declares_is_refused(tmp_path):
    dataset = load_dataset(str(write_folder(tmp_path)))
    images = Pipeline(dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, size=90)), CROP)
    with refused(None, None) as caught:
        _read(images)
    assert re.search(r"train \(90 images from .*train.* on\)", caught.value.reason)


def test_an_image_too_large_for_one_view_is_reported_with_the_reason(tmp_path, caplog):
    write_folder(tmp_path)
    (tmp_path / "val" / "church" / "line.png").write_bytes(encoded(np.zeros((60_000, 2, 3), "uint8"), "PNG"))
    split = load_dataset(str(tmp_path)).validation
    batches = iterate_views(split, [TestViews("ten_crop", InputSpec(224))], 2, DecodeErrors("skip", 0.5))
    assert sum(len(batch.labels) for batch in batches) == 4
    (line,) = caplog.messages
    assert re.search(
        r"line\.png.*\(scaled to a shorter side of 256 it has more than 178,956,970 pixels\)", line
    )


def test_a_batch_larger_than_what_can_be_decoded_is_refused(tmp_path):
    _spoil(write_folder(tmp_path, images=2), ["text.jpg"])
    images = _pipeline(tmp_path, "skip", 0.5, transform=InputTransform(InputSpec(16), hflip=False))
    with refused("batch_size", 6) as caught:
        _read(images, batch_size=6)
    assert "the 4 training images" in caught.value.reason


def test_errors_of_something_else_stay_what_they_are():
    with pytest.raises(tf.errors.NotFoundError), DecodeErrors().translate():
        raise tf.errors.NotFoundError(None, None, "of something else")


def test_an_undecodable_image_of_a_published_transform_is_named_with_the_reason(tmp_path):
    _spoil(write_folder(tmp_path), ["text.jpg"], part="val")
    spec = InputSpec(32, 3, "center", "published", resize_size=40)
    images = _pipeline(tmp_path, transform=InputTransform(spec, hflip=False))
    bad = str(tmp_path / "val" / "church" / "bad-text.jpg")
    with refused(None, bad) as caught, images.decode_errors.translate():
        list(images.validation_batches(2))
    assert caught.value.reason.startswith("cannot be decoded (it is not a JPEG, PNG, GIF, BMP or WebP file)")
