import re
import shutil
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from helpers.errors import refused

from keras_resnet import TrainConfig
from keras_resnet.data.load import load_dataset
from keras_resnet.runs.resolve import resolve

SHAPES = np.random.default_rng(0).integers(0, 256, (30, 12, 12, 3), "uint8")


def _pixels(image):
    return tf.io.decode_image(image).numpy()


def _store(data_dir, name, splits, files=1, unlabeled=(), **features):
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
                    **{
                        key: np.full(size, -1) if split in unlabeled else np.arange(size) % 2
                        for key in features
                    },
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
    # As i_naturalist2021, among others.
    _store(folder, "other_names", {"train": 20, "val": 6, "test": 4})
    # As imagenet2012, whose test labels are withheld.
    _store(folder, "withheld", {"train": 20, "validation": 6, "test": 4}, unlabeled={"test"})
    _store(folder, "only_withheld", {"train": 20, "test": 4}, unlabeled={"test"})
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
    dataset = load_dataset("shapes", data_dir)
    assert dataset.class_names == ("circle", "square")
    assert dataset.image_shape == (12, 12, 3)
    assert (dataset.train.size, dataset.validation.size, dataset.validation.name) == (20, 10, "test")
    assert dataset.hflip
    indices, images, labels = zip(*dataset.validation.read(None).as_numpy_iterator(), strict=True)
    order = [next(i for i in range(10) if np.array_equal(SHAPES[i], _pixels(image))) for image in images]
    assert sorted(order) == list(range(10))
    assert [i % 2 for i in order] == list(labels)
    assert sorted(indices) == list(range(10))
    assert (
        dataset.validation.describe(3)
        == f"image 3 of {data_dir}/shapes/1.0.0/shapes-test.tfrecord-00000-of-00001"
    )


def test_order_is_the_keys(data_dir):
    split = load_dataset("many_files", data_dir).train

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
    split = load_dataset("many_files", str(tmp_path)).train
    order = [int(index) for index, _, _ in split.read(None).as_numpy_iterator()]
    file, place = split.describe(order[0]).removeprefix("image ").split(" of ")[::-1]
    records = list(tf.data.TFRecordDataset(file).as_numpy_iterator())
    records[int(place)] = b"no example"
    with tf.io.TFRecordWriter(file) as written:
        for record in records:
            written.write(record)
    assert [int(index) for index, _, _ in split.read(None, 2, 3).as_numpy_iterator()] == order[2::3]


def test_parts_of_splits_and_versions(data_dir):
    dataset = load_dataset(
        "many_files:1.*.*", data_dir, train_split="train[:50%]", validation_split="train[75%:]"
    )
    assert (dataset.train.size, dataset.validation.size, dataset.validation.name) == (15, 8, "train[75%:]")
    images = [
        {bytes(image) for _, image, _ in split.read(None).as_numpy_iterator()}
        for split in (dataset.train, dataset.validation)
    ]
    assert [len(part) for part in images] == [15, 8]
    assert not images[0] & images[1]


def _images(split):
    return {bytes(image) for _, image, _ in split.read(None).as_numpy_iterator()}


@pytest.mark.parametrize(
    ("name", "options", "train", "validation", "test"),
    [
        ("shapes", {}, "train", "test", None),
        ("three_splits", {}, "train", "validation", "test"),
        ("train_only", {}, "train[:-10%]", "train[-10%:]", None),
        ("withheld", {}, "train", "validation", None),
        ("only_withheld", {}, "train[:-10%]", "train[-10%:]", None),
        # An explicit validation split leaves "test" for the reported figure, unless it uses or trains on it.
        ("shapes", {"validation_split": "train[90%:]"}, "train", "train[90%:]", "test"),
        ("shapes", {"validation_split": "test[:50%]"}, "train", "test[:50%]", None),
        ("three_splits", {"train_split": "train+test"}, "train+test", "validation", None),
        ("three_splits", {"validation_split": "test"}, "train", "test", None),
        ("withheld", {"validation_split": "train[90%:]"}, "train", "train[90%:]", None),
        # An explicit test split does not validate as well.
        ("shapes", {"test_split": "test"}, "train[:-10%]", "train[-10%:]", "test"),
        ("three_splits", {"test_split": "test[:50%]"}, "train", "validation", "test[:50%]"),
        ("three_splits", {"test_split": "validation"}, "train", "test", "validation"),
        ("other_names", {}, "train", "val", "test"),
        ("withheld", {"test_split": "validation"}, "train[:-10%]", "train[-10%:]", "validation"),
    ],
)
def test_which_splits_train_validate_and_test(data_dir, name, options, train, validation, test):
    dataset = load_dataset(name, data_dir, **options)
    splits = (dataset.train, dataset.validation, dataset.test)
    assert tuple(split and split.name for split in splits) == (train, validation, test)
    for split in splits:
        if split is not None:
            assert sum(1 for _ in split.read(None)) == split.size


def test_what_is_held_out_is_not_trained_on(data_dir):
    dataset = load_dataset("train_only", data_dir)
    assert (dataset.train.size, dataset.validation.size) == (27, 3)
    assert not _images(dataset.train) & _images(dataset.validation)


def test_withheld_labels_are_logged(data_dir, caplog):
    with caplog.at_level("INFO"):
        load_dataset("withheld", data_dir)
    assert "withheld" in caplog.text


@pytest.mark.parametrize("parameter", ["validation_split", "test_split"])
def test_an_explicit_split_without_labels_is_refused(data_dir, parameter):
    with refused(parameter, "test[:2]"):
        load_dataset("withheld", data_dir, **{parameter: "test[:2]"})


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("no_train", "no split 'train' but test"),
        ("transparent", "4 channels"),
        ("regression", "'label'"),
        ("cifarr10", "did you mean cifar10"),
        ("glue", "image classification"),
        ("mnist:99.*.*", "only: 3.0.1"),
        ("a.b", "cifar10"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused(data_dir, name, word):
    with refused("dataset", name) as caught:
        load_dataset(name, data_dir)
    assert word in caught.value.reason


@pytest.mark.parametrize(
    ("splits", "shared", "works"),
    [
        ((None, "train[90%:]"), 3, "train[:90%]"),
        (("train[:95%]", "train[:20%]"), 6, "train[20%:]"),
        (("train", "train[20%:70%]"), 15, "train[:20%]+train[70%:]"),
        (("train", "train[-10:]"), 10, "train[:-10]"),
        (("train+test", None), 10, "train[:90%] validation_split=train[90%:]"),
        ((None, "train"), 30, "train[:90%] validation_split=train[90%:]"),
    ],
)
def test_a_training_that_would_validate_on_its_own_images_is_refused(data_dir, splits, shared, works):
    options = dict(zip(("train_split", "validation_split"), splits, strict=True))
    with refused("train_split", splits[0] or "train") as caught:
        load_dataset("many_files", data_dir, require_disjoint=True, test_split=None, **options)
    assert f"shares {shared} images" in caught.value.reason
    with refused("train_split", splits[0] or "train"):
        resolve(TrainConfig(dataset="many_files", data_dir=data_dir, **options))
    suggestion = re.search(r"train_split=(\S+)( validation_split=(\S+))?\.$", caught.value.reason)
    assert suggestion[0] == f"train_split={works}."
    options = {
        "train_split": suggestion[1],
        "validation_split": suggestion[3] or options["validation_split"],
    }
    assert load_dataset("many_files", data_dir, require_disjoint=True, **options).train.size
    # Validation on training images is possible where nothing is trained.
    assert load_dataset("many_files", data_dir, validation_split="train").validation.size == 30


@pytest.mark.parametrize(
    ("splits", "parameter", "works"),
    [
        (("train[:80%]", "train[80%:]", "train[90%:]"), "validation_split", "test_split=train[90%:]"),
        (("train[:80%]", "train[80%:]", "train[:10%]"), "train_split", "test_split=train[90%:]"),
        (("train", "validation", "train[:10%]"), "train_split", "train_split=train[10%:]"),
        (("train", "validation", "validation"), "validation_split", "validation_split=train[90%:]"),
    ],
)
def test_a_test_split_that_shares_images_is_refused(data_dir, splits, parameter, works):
    options = dict(zip(("train_split", "validation_split", "test_split"), splits, strict=True))
    with refused(parameter, options[parameter]) as caught:
        load_dataset("three_splits", data_dir, require_disjoint=True, **options)
    assert re.search(r"(\S+)\.$", caught.value.reason)[1] == works
    assert load_dataset("three_splits", data_dir, **options).test.name == splits[2]


def test_a_missing_folder_is_refused():
    with refused("dataset", "../etc"):
        load_dataset("../etc")


def test_characters_are_not_flipped():
    assert not load_dataset("digits").hflip


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cifar10", ["cifar10/3.", "170 MB", "download=true", "tfds build cifar10"]),
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
def test_how_to_prepare_a_dataset_is_explained_at_once(tmp_path, name, words):
    offline = mock.patch("socket.socket.connect", side_effect=AssertionError("a connection was opened"))
    with offline, refused("dataset", name) as caught:
        load_dataset(name, str(tmp_path))
    for word in (*words, str(tmp_path)):
        assert word in caught.value.reason


@pytest.mark.parametrize("parameter", ["train_split", "validation_split", "test_split"])
def test_unknown_split_is_refused(data_dir, parameter):
    with refused(parameter, "best") as caught:
        load_dataset("shapes", data_dir, **{parameter: "best"})
    assert "train, test" in caught.value.reason
    with refused(parameter, "x"):
        load_dataset("digits", **{parameter: "x"})


def test_missing_and_empty_splits_are_refused_with_those_that_exist(data_dir):
    with refused("dataset", "train_only") as caught:
        load_dataset("train_only", data_dir, train_split="train[:50%]")
    assert "validation_split" in caught.value.reason
    with refused("train_split", "train[:0]") as caught:
        load_dataset("shapes", data_dir, train_split="train[:0]")
    assert "train, test" in caught.value.reason


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_validation_fraction_is_between_0_and_1(fraction):
    with refused("validation_fraction"):
        load_dataset("digits", validation_fraction=fraction)


def test_a_failed_preparation_is_explained_with_its_reason(tmp_path):
    failing = mock.patch.object(
        tfds.core.DatasetBuilder, "download_and_prepare", side_effect=OSError("no route to host")
    )
    with failing, refused("dataset", "mnist") as caught:
        load_dataset("mnist", str(tmp_path), download=True)
    assert "no route to host" in caught.value.reason
