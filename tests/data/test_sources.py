import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_resnet.data import sources
from keras_resnet.errors import UserError

SHAPES = np.random.default_rng(0).integers(0, 256, (30, 12, 12, 3), "uint8")


def _store(data_dir, name, splits, **features):
    """A TFDS dataset on disk, as `tfds build` leaves one, of the first images of SHAPES."""
    features = features or {"label": tfds.features.ClassLabel(names=["circle", "square"])}
    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        version="1.0.0",
        data_dir=data_dir,
        features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(12, 12, 3)), **features}),
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices(
                {"image": SHAPES[:size], **{key: np.arange(size) % 2 for key in features}}
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
    _store(folder, "no_train", {"test": 10})
    _store(folder, "regression", {"train": 10}, angle=tfds.features.Scalar(tf.int64))
    return str(folder)


def test_tfds_dataset_is_described_and_read(data_dir):
    source = sources.find("shapes", data_dir)
    assert source.class_names == ("circle", "square")
    assert source.image_shape == (12, 12, 3)
    assert (source.train_size, source.test_size, source.test_split) == (20, 10, "test")
    assert source.mirrored
    images, labels = zip(*source.read("test").as_numpy_iterator(), strict=True)
    order = [next(i for i in range(10) if np.array_equal(SHAPES[i], image)) for image in images]
    assert sorted(order) == list(range(10))
    assert [i % 2 for i in order] == list(labels)


@pytest.mark.parametrize(
    ("name", "sizes", "split"),
    [("three_splits", (20, 6), "validation"), ("train_only", (27, 3), "train[-10%:]")],
)
def test_split_that_tests(data_dir, name, sizes, split):
    source = sources.find(name, data_dir)
    assert (source.train_size, source.test_size, source.test_split) == (*sizes, split)
    seen = {
        part: {bytes(image) for image, _ in source.read(part).as_numpy_iterator()}
        for part in ("train", "test")
    }
    assert tuple(len(seen[part]) for part in ("train", "test")) == sizes
    if name == "train_only":
        assert not seen["train"] & seen["test"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_train", "no split 'train' but test"),
        ("regression", "needs the features 'image' and 'label'"),
        ("cifarr10", "did you mean cifar10"),
        ("glue", "not an image classification dataset"),
        ("mnist:99.*.*", "only: 3.0.1"),
        ("../etc", "neither 'digits' nor"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(data_dir, name, says):
    with pytest.raises(UserError, match=r"--dataset=") as refusal:
        sources.find(name, data_dir)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_characters_are_not_mirrored():
    assert not sources.find("digits").mirrored
