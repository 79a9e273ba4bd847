import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf
from pictures import encoded, kinds, small, write_folder

from keras_resnet.data import sources
from keras_resnet.data.bad_images import BadImages
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.shown import shown_images
from keras_resnet.data.view import View, Views
from keras_resnet.errors import UserError

CROP = View(32, whole=False, mirrored=True)
UNUSABLE = [name for name, (_, unusable, _) in kinds().items() if unusable]
NO_MEAN = np.zeros(3, "float32")


def _pipeline(folder, *policy, view=CROP):
    return Pipeline(sources.find(str(folder)), view, BadImages(*policy))


def _read(images, batch_size=4, epochs=1):
    with images.bad_images.told():
        return [
            labels for _, labels in images.training_batches(batch_size, epochs, NO_MEAN).as_numpy_iterator()
        ]


def _spoil(folder, names, part="train"):
    contents = kinds()
    for name in names:
        (folder / part / "church" / f"bad-{name}").write_bytes(contents[name][2])


@pytest.mark.parametrize("name", UNUSABLE)
def test_raise_names_the_file(tmp_path, name):
    _spoil(write_folder(tmp_path), [name])
    with pytest.raises(UserError, match="cannot be decoded") as refusal:
        _read(_pipeline(tmp_path, "raise"))
    assert str(tmp_path / "train" / "church" / f"bad-{name}") in str(refusal.value)
    assert "--bad_images=skip" in str(refusal.value)


def test_every_usable_kind_is_read(tmp_path):
    usable = [name for name, (_, unusable, _) in kinds().items() if not unusable]
    _spoil(write_folder(tmp_path), usable)
    assert sum(map(len, _read(_pipeline(tmp_path, "raise"), batch_size=1))) == 20 + len(usable)


def test_skip_leaves_out_warns_and_keeps_the_number_of_steps(tmp_path, capsys):
    _spoil(write_folder(tmp_path), ["empty.jpg", "text.jpg", "truncated.png"])
    images = _pipeline(tmp_path, "skip", 0.2)
    batches = _read(images, batch_size=4, epochs=3)
    assert [len(labels) for labels in batches] == [4] * 5 * 3
    assert images.bad_images.skipped == 3
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 3  # once each, not once an epoch
    assert all("bad-" in line for line in warnings)


@pytest.mark.parametrize(
    ("most", "bad"), [(0.05, ["text.jpg", "empty.jpg"]), (0.0, ["text.jpg", "empty.jpg"])]
)
def test_skip_gives_up_past_its_cap(tmp_path, most, bad):
    _spoil(write_folder(tmp_path), bad)
    with pytest.raises(UserError, match=r"2 of the 22 images of train cannot be decoded.*--max_bad_images"):
        _read(_pipeline(tmp_path, "skip", most), epochs=2)


@pytest.mark.parametrize("policy", ["raise", "skip"])
@pytest.mark.parametrize("name", ["a-first.jpg", "z-last.jpg"])
def test_bad_validation_images_are_found_at_either_end(tmp_path, policy, name):
    write_folder(tmp_path)
    bad = tmp_path / "val" / ("church" if name.startswith("a") else "flower") / name
    bad.write_bytes(b"no picture")
    images = _pipeline(tmp_path, policy, 0.5)
    if policy == "skip":
        with images.bad_images.told():
            count = sum(len(labels) for _, labels in images.evaluation_batches(2).as_numpy_iterator())
        assert count == 4
        assert images.bad_images.skipped == 1
        return
    with pytest.raises(UserError, match=name), images.bad_images.told():
        list(images.evaluation_batches(2))


@pytest.mark.parametrize("policy", ["raise", "skip"])
def test_bad_images_among_small_ones(tmp_path, policy):
    for label, folder in enumerate(("train/a", "train/b", "val/a", "val/b")):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(6):
            content = encoded(small(label % 2, 16, 16), "PNG")
            (tmp_path / folder / f"{i}.png").write_bytes(content)
    (tmp_path / "train" / "a" / "bad.png").write_bytes(b"no picture")
    images = _pipeline(tmp_path, policy, view=View(16, whole=True, mirrored=False))
    if policy == "raise":
        with pytest.raises(UserError, match=r"bad\.png"):
            images.steps_per_epoch(4)
        return
    assert images.steps_per_epoch(4) == 3
    labels = np.concatenate(_read(images))
    assert np.bincount(labels).tolist() == [6, 6]


def test_file_that_vanishes_is_named(tmp_path):
    write_folder(tmp_path)
    images = _pipeline(tmp_path, "raise")
    (tmp_path / "train" / "flower" / "03.jpg").unlink()
    with pytest.raises(UserError, match=r"flower/03\.jpg; No such file"):
        _read(images)


def test_resumed_run_finds_bad_images_too(tmp_path):
    _spoil(write_folder(tmp_path), ["text.jpg"])
    images = _pipeline(tmp_path, "skip", 0.1)
    whole = _read(images)
    again = _pipeline(tmp_path, "skip", 0.1)
    with again.bad_images.told():
        rest = [
            labels for _, labels in again.training_batches(4, 1, NO_MEAN, first_step=2).as_numpy_iterator()
        ]
    assert len(rest) == len(whole) - 2


def test_a_file_that_cannot_be_read_moves_no_other_in_the_part_of_a_resumed_run(tmp_path):
    for number in range(16):
        (tmp_path / "train" / f"{number:02}").mkdir(parents=True)
        (tmp_path / "train" / f"{number:02}" / "a.jpg").write_bytes(encoded(small(0)))
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "00").symlink_to(tmp_path / "train" / "00")
    images = _pipeline(tmp_path, "skip", 0.1)

    def batches(**where):
        with images.bad_images.told():
            seen = images.training_batches(4, 1, NO_MEAN, **where)
            return [labels.tolist() for _, labels in seen.as_numpy_iterator()]

    whole = batches()
    (tmp_path / "train" / f"{whole[0][0]:02}" / "a.jpg").unlink()
    for worker in (0, 1):
        assert batches(first_step=2, worker=worker, workers=2) == [labels[worker::2] for labels in whole[2:]]
    assert images.bad_images.skipped == 0  # it is before all of these


def test_a_file_that_cannot_be_read_is_lost_to_its_own_worker(tmp_path, capsys):
    for number in range(6):
        (tmp_path / f"{number}").mkdir()
        for name in "ab":
            (tmp_path / f"{number}" / f"{name}.jpg").write_bytes(encoded(small(0)))
    images = _pipeline(tmp_path, "skip", 0.5)
    lost = tmp_path / images.source.test.describe(2)
    lost.unlink()
    batches = [images.evaluation_batches(2, worker=worker, workers=2) for worker in (0, 1)]
    for _ in range(2):
        with images.bad_images.told():
            shown = [[int(label) for _, labels in part for label in labels] for part in batches]
        assert shown == [[0, 4], [1, 3, 5]]
    assert images.bad_images.skipped == 1
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if line]
    assert str(lost) in warning


def test_each_file_that_cannot_be_read_counts(tmp_path):
    write_folder(tmp_path)
    images = _pipeline(tmp_path, "skip", 0.1)
    for name in ("03", "04", "05"):
        (tmp_path / "train" / "flower" / f"{name}.jpg").unlink()
    with pytest.raises(UserError, match="3 of the 20 images of train cannot be decoded"):
        _read(images)


def test_a_lost_image_is_explained_without_reading_others_and_once(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "val" / "flower" / "01.jpg").write_bytes(b"no picture")
    source = sources.find(str(tmp_path))
    read, starts = source.test.read, []

    def watched(key, start=0, step=1):
        starts.append(int(start))
        return read(key, start, step)

    test = dataclasses.replace(source.test, read=watched)
    images = Pipeline(dataclasses.replace(source, test=test), CROP, BadImages("skip", 0.5))
    batches = images.evaluation_batches(2)
    for _ in range(3):
        assert sum(len(labels) for _, labels in batches) == 3
    assert starts == [0, 3]


@pytest.mark.parametrize("part", ["train", "val"])
def test_not_all_images_of_a_split_are_left_out(tmp_path, part):
    write_folder(tmp_path, images=2)
    for path in (tmp_path / part).rglob("*.jpg"):
        path.write_bytes(b"no picture")
    images = _pipeline(tmp_path, "skip", 1.0)
    use = {"train": lambda: images.mean(per_pixel=False), "val": lambda: list(images.evaluation_batches(2))}
    with pytest.raises(UserError, match="4 of the 4 images of"), images.bad_images.told():
        use[part]()


def test_an_epoch_without_enough_others_in_the_place_of_bad_images_is_refused(tmp_path):
    write_folder(tmp_path, images=8)
    for path in sorted((tmp_path / "train").rglob("*.jpg"))[:13]:
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="13 images of train cannot be decoded, and too few others"):
        _read(_pipeline(tmp_path, "skip", 0.9))


def test_a_dataset_with_fewer_images_than_it_says_is_told(tmp_path):
    source = sources.find(str(write_folder(tmp_path)))
    images = Pipeline(dataclasses.replace(source, train=dataclasses.replace(source.train, size=90)), CROP)
    with pytest.raises(UserError, match=r"split train, of 90 images from .*train.* on, holds fewer"):
        _read(images)


def test_what_one_view_cannot_show_is_told_with_the_reason(tmp_path, capsys):
    write_folder(tmp_path)
    (tmp_path / "val" / "church" / "line.png").write_bytes(encoded(np.zeros((60_000, 2, 3), "uint8"), "PNG"))
    split = sources.find(str(tmp_path)).test
    batches = shown_images(split, [Views("ten_crop", 224, 3)], 2, BadImages("skip", 0.5))
    assert sum(len(batch.labels) for batch in batches) == 4
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line]
    assert re.search(
        r"line\.png.*\(scaled to a shorter side of 256 it has more than 178,956,970 pixels\)", line
    )


def test_a_batch_larger_than_what_can_be_decoded_is_refused(tmp_path):
    _spoil(write_folder(tmp_path, images=2), ["text.jpg"])
    images = _pipeline(tmp_path, "skip", 0.5, view=View(64, whole=True, mirrored=False))
    with pytest.raises(UserError, match=r"--batch_size=6 is more than the 4 training images of .* that can"):
        _read(images, batch_size=6)


def test_errors_of_something_else_stay_what_they_are():
    with pytest.raises(tf.errors.NotFoundError), BadImages().told():
        raise tf.errors.NotFoundError(None, None, "of something else")
