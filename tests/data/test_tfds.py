import re
import shutil
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_resnet.commands import main
from keras_resnet.data import sources
from keras_resnet.errors import UserError

SHAPES = np.random.default_rng(0).integers(0, 256, (30, 12, 12, 3), "uint8")


def _pixels(image):
    return tf.io.decode_image(image).numpy()


def _store(data_dir, name, splits, files=1, **features):
    """A TFDS dataset on disk, as `tfds build` leaves one, of the first images of SHAPES."""
    features = features or {"label": tfds.features.ClassLabel(names=["circle", "square"])}
    features = {"image": tfds.features.Image(shape=(12, 12, 3)), **features}
    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        version="1.0.0",
        data_dir=data_dir,
        download_config=tfds.download.DownloadConfig(num_shards=files),
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices(
                {
                    **{key: np.arange(size) % 2 for key in features},
                    "image": SHAPES[:size, ..., np.arange(features["image"].shape[-1]) % 3],
                }
            )
            for split, size in splits.items()
        },
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    _store(folder, "shapes", {"train": 20, "test": 10})
    _store(folder, "three_splits", {"train": 20, "validation": 6, "test": 4})
    _store(folder, "train_only", {"train": 30})
    # Four files, as large datasets have.
    _store(folder, "many_files", {"train": 30, "test": 10}, files=4)
    _store(folder, "no_train", {"test": 10})
    _store(
        folder,
        "transparent",
        {"train": 10},
        image=tfds.features.Image(shape=(12, 12, 4)),
        label=tfds.features.ClassLabel(names=["circle", "square"]),
    )
    _store(folder, "regression", {"train": 10}, angle=tfds.features.Scalar(tf.int64))
    return str(folder)


def test_tfds_dataset_is_described_and_read(data_dir):
    source = sources.find("shapes", data_dir)
    assert source.class_names == ("circle", "square")
    assert source.image_shape == (12, 12, 3)
    assert (source.train.size, source.test.size, source.test.name) == (20, 10, "test")
    assert source.mirrored
    indices, images, labels = zip(*source.test.read(None).as_numpy_iterator(), strict=True)
    order = [next(i for i in range(10) if np.array_equal(SHAPES[i], _pixels(image))) for image in images]
    assert sorted(order) == list(range(10))
    assert [i % 2 for i in order] == list(labels)
    assert sorted(indices) == list(range(10))
    assert (
        source.test.describe(3) == f"image 3 of {data_dir}/shapes/1.0.0/shapes-test.tfrecord-00000-of-00001"
    )


def test_order_is_the_keys(data_dir):
    split = sources.find("many_files", data_dir).train

    def order(key):
        stream = split.read(tf.constant(key)).as_numpy_iterator()
        return [(int(index), _pixels(image).tobytes()) for index, image, _ in stream]

    one, two = order([1, 2]), order([1, 3])
    assert one != two
    assert one == order([1, 2])
    assert sorted(one) == sorted(two)
    assert dict(one) == dict(two)  # an index is the same image in every order
    assert sorted(index for index, _ in one) == list(range(split.size))


def test_a_damaged_record_moves_no_other_in_a_part_of_an_order(data_dir, tmp_path):
    copy = tmp_path / "many_files"
    shutil.copytree(f"{data_dir}/many_files", copy)
    split = sources.find("many_files", str(tmp_path)).train
    order = [int(index) for index, _, _ in split.read(None).as_numpy_iterator()]
    file, place = split.describe(order[0]).removeprefix("image ").split(" of ")[::-1]
    records = list(tf.data.TFRecordDataset(file).as_numpy_iterator())
    records[int(place)] = b"no example"
    with tf.io.TFRecordWriter(file) as written:
        for record in records:
            written.write(record)
    assert [int(index) for index, _, _ in split.read(None, 2, 3).as_numpy_iterator()] == order[2::3]


def test_parts_of_splits_and_versions(data_dir):
    source = sources.find(
        "many_files:1.*.*", data_dir, train_split="train[:50%]", validation_split="train[75%:]"
    )
    assert (source.train.size, source.test.size, source.test.name) == (15, 8, "train[75%:]")
    seen = [
        {bytes(image) for _, image, _ in split.read(None).as_numpy_iterator()}
        for split in (source.train, source.test)
    ]
    assert [len(images) for images in seen] == [15, 8]
    assert not seen[0] & seen[1]


@pytest.mark.parametrize(
    ("name", "sizes", "split"),
    [("three_splits", (20, 6), "validation"), ("train_only", (27, 3), "train[-10%:]")],
)
def test_split_that_tests(data_dir, name, sizes, split):
    source = sources.find(name, data_dir)
    assert (source.train.size, source.test.size, source.test.name) == (*sizes, split)
    train, test = (
        {bytes(image) for _, image, _ in part.read(None).as_numpy_iterator()}
        for part in (source.train, source.test)
    )
    assert (len(train), len(test)) == sizes
    if name == "train_only":
        assert not train & test


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_train", "no split 'train' but test"),
        ("transparent", "has images of 4 channels; nets are trained on those of 1 or 3"),
        ("regression", "needs the features 'image', of uint8, and 'label'"),
        ("cifarr10", "did you mean cifar10"),
        ("glue", "not an image classification dataset"),
        ("mnist:99.*.*", "only: 3.0.1"),
        ("a.b", "neither 'digits' nor a folder nor"),
        ("../etc", "there is no such folder"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(data_dir, name, says):
    with pytest.raises(UserError, match=r"--dataset=") as refusal:
        sources.find(name, data_dir)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("splits", "shared", "works"),
    [
        ((None, "train[90%:]"), 3, "train[:90%]"),
        (("train[:95%]", "train[:20%]"), 6, "train[20%:]"),
        (("train", "train[20%:70%]"), 15, "train[:20%]+train[70%:]"),
        (("train", "train[-10:]"), 10, "train[:-10]"),
        (("train+test", None), 10, "train[:90%] --validation_split=train[90%:]"),
        ((None, "train"), 30, "train[:90%] --validation_split=train[90%:]"),
    ],
)
def test_a_training_that_would_test_on_its_own_images_is_refused(data_dir, splits, shared, works):
    asked = dict(zip(("train_split", "validation_split"), splits, strict=True))
    with pytest.raises(UserError, match=f"share {shared} images") as refusal:
        sources.find("many_files", data_dir, trains=True, **asked)
    given = re.search(r"--train_split=(\S+)( --validation_split=(\S+))?\.$", str(refusal.value))
    assert given[0] == f"--train_split={works}."
    asked = {"train_split": given[1], "validation_split": given[3] or asked["validation_split"]}
    assert sources.find("many_files", data_dir, trains=True, **asked).train.size
    # A test on what was trained on may be asked for.
    assert sources.find("many_files", data_dir, validation_split="train").test.size == 30


def test_train_refuses_to_test_on_its_own_images(data_dir, capsys):
    flags = ["--dataset=many_files", f"--data_dir={data_dir}", "--validation_split=train[90%:]"]
    assert main.main(["train", *flags, "--dry_run"]) == 2
    assert "--train_split=train[:90%]." in capsys.readouterr().err


def test_characters_are_not_mirrored():
    assert not sources.find("digits").mirrored


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cifar10", ["is not prepared in", "cifar10/3.", "170 MB", "--download", "tfds build cifar10"]),
        (
            "imagenet2012",
            [
                "downloads/manual",
                "ILSVRC2012_img_train.tar",
                "ILSVRC2012_img_val.tar",
                "tfds build imagenet2012",
            ],
        ),
    ],
)
def test_what_is_not_prepared_is_explained_at_once(tmp_path, name, says):
    with (
        mock.patch("socket.socket.connect", side_effect=AssertionError("the network was asked")),
        pytest.raises(UserError, match=f"--dataset={name}") as refusal,
    ):
        sources.find(name, str(tmp_path))
    for words in (*says, str(tmp_path)):
        assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("flag", ["train_split", "validation_split"])
def test_unknown_split_is_refused(data_dir, flag):
    with pytest.raises(UserError, match=rf"--{flag}=best: shapes has no such split; it has"):
        sources.find("shapes", data_dir, **{flag: "best"})
    with pytest.raises(UserError, match=rf"--{flag}=x is for datasets of TFDS"):
        sources.find("digits", **{flag: "x"})


def test_splits_that_cannot_be_tested_on_are_refused_with_those_there_are(data_dir):
    with pytest.raises(UserError, match=r"train_only has no split to validate on but train; name one, or"):
        sources.find("train_only", data_dir, train_split="train[:50%]")
    with pytest.raises(
        UserError, match=r"--train_split=train\[:0\] of shapes holds no images; it has train, t"
    ):
        sources.find("shapes", data_dir, train_split="train[:0]")


def test_a_dataset_that_cannot_be_prepared_is_told_with_the_reason(tmp_path):
    failing = mock.patch.object(
        tfds.core.DatasetBuilder, "download_and_prepare", side_effect=OSError("no route to host")
    )
    with failing, pytest.raises(UserError, match=r"--dataset=mnist could not be prepared in .*mnist") as told:
        sources.find("mnist", str(tmp_path), download=True)
    assert "(no route to host); prepare it where there is a network" in str(told.value)
