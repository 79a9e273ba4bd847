import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused

from keras_resnet.data import from_arrays
from keras_resnet.data.input_spec import choose_transform
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.resolve import resolve

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (60, 8, 8, 3), "uint8")
LABELS = np.arange(60) % 3


def _pairs(split):
    return [(bytes(image), int(label)) for _, image, label in split.read(None).as_numpy_iterator()]


def test_three_splits():
    parts = [(IMAGES[part::3], np.arange(20) % 3) for part in range(3)]
    dataset = from_arrays(*parts, class_names=["a", "b", "c"], name="mine", hflip=False)
    assert (dataset.name, dataset.class_names, dataset.image_shape) == ("mine", ("a", "b", "c"), (8, 8, 3))
    assert not dataset.hflip
    for split, (images, labels) in zip((dataset.train, dataset.validation, dataset.test), parts, strict=True):
        assert split.size == 20
        assert _pairs(split) == list(zip(map(bytes, images), labels.tolist(), strict=True))
    assert dataset.validation.describe(3) == "image 3 of validation"


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, np.newaxis], LABELS.astype("uint8")])
def test_gray_images_and_columns_of_labels(labels):
    dataset = from_arrays((IMAGES[..., 0], labels))
    assert dataset.image_shape == (8, 8, 1)
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.test is None


def test_a_part_of_each_class_is_held_out_and_always_the_same():
    dataset, again = (from_arrays((IMAGES, LABELS), validation_fraction=0.2) for _ in range(2))
    assert (dataset.train.size, dataset.validation.size) == (48, 12)
    held_out, train = _pairs(dataset.validation), _pairs(dataset.train)
    assert held_out == _pairs(again.validation)
    assert np.bincount([label for _, label in held_out]).tolist() == [4, 4, 4]
    assert sorted(held_out + train) == sorted(zip(map(bytes, IMAGES), LABELS.tolist(), strict=True))
    # Not the first or last ones, nor every fifth.
    members = [bytes(image) for image in IMAGES[LABELS == 0]]
    positions = sorted(members.index(image) for image, label in held_out if label == 0)
    assert len(set(np.diff(positions))) > 1
    larger = _pairs(from_arrays((IMAGES, LABELS), validation_fraction=0.4).validation)
    assert set(held_out) < set(larger)


def test_the_last_image_of_a_class_is_trained_on():
    images, labels = IMAGES[:5], [0, 0, 0, 0, 1]
    dataset = from_arrays((images, labels), validation_fraction=0.9)
    assert [label for _, label in _pairs(dataset.train)] == [0, 1]


def test_batches_of_arrays():
    dataset = from_arrays((IMAGES, LABELS))
    transform = choose_transform(dataset, default_size=32, smallest_size=4)
    batches = list(Pipeline(dataset, transform).train_batches(8, 1, np.zeros(3)))
    assert [images.shape for images, _ in batches] == [(8, 8, 8, 3)] * 6


def test_a_graph_that_reads_arrays_does_not_hold_them():
    split = from_arrays((np.zeros((60, 100, 100, 3), "uint8"), LABELS)).train
    function = tf.function(lambda key: split.read(key).reduce(0, lambda count, _: count + 1))
    graph = function.get_concrete_function(tf.TensorSpec(2, tf.int32)).graph
    assert graph.as_graph_def().ByteSize() < 100_000


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (None, "pair"),
        (IMAGES, "pair"),
        ((IMAGES / 255, LABELS), "scaled"),
        ((IMAGES / 127.5 - 1, LABELS), "scaled"),
        ((IMAGES * 0.9, LABELS), "fractions"),
        ((IMAGES.astype("int64") - 200, LABELS), "0 to 255"),
        ((np.full(IMAGES.shape, np.nan), LABELS), "0 to 255"),
        ((IMAGES > 9, LABELS), "bool"),
        ((IMAGES.astype(str), LABELS), "<U3"),
        (([IMAGES[0], IMAGES[1, :4]], LABELS[:2]), "one size"),
        ((IMAGES, LABELS, np.ones(60)), "sample weights"),
        (iter(IMAGES), "pair"),
        ((IMAGES[0, 0], LABELS), "(8, 3)"),
        ((IMAGES[..., :2], LABELS), "(60, 8, 8, 2)"),
        ((IMAGES[:0], LABELS[:0]), "(0, 8, 8, 3)"),
        ((IMAGES, LABELS + 0.5), "float64"),
        ((IMAGES, LABELS * np.nan), "float64"),
        ((IMAGES, LABELS.astype(str)), "<U"),
        ((IMAGES, np.full((60, 3), 1 / 3)), "(60, 3)"),
        ((IMAGES, np.ones((60, 3), int)), "(60, 3)"),
        ((IMAGES, LABELS[1:]), "60 images and 59 labels"),
        ((IMAGES, LABELS - 1), "-1"),
        ((IMAGES, LABELS * 2), "'1'"),
    ],
)
def test_what_is_wrong_with_arrays_is_named(arrays, words):
    with refused("train") as caught:
        from_arrays(arrays)
    assert words in caught.value.reason


def test_what_is_wrong_with_another_split_is_named():
    for parameter in ("validation", "test"):
        splits = {"validation": (IMAGES, LABELS), "test": (IMAGES, LABELS)}
        with refused(parameter):
            from_arrays((IMAGES, LABELS), **{**splits, parameter: (IMAGES[..., :1], LABELS)})
        with refused(parameter):
            from_arrays((IMAGES, LABELS), class_names="abc", **{**splits, parameter: (IMAGES, LABELS + 1)})


@pytest.mark.parametrize("names", [["a"], ["a", "a", "b"], ["a", "", "b"], ["a", "b\n", "c"], [1, 2, 3]])
def test_wrong_class_names_are_refused(names):
    with refused("class_names"):
        from_arrays((IMAGES, np.minimum(LABELS, len(names) - 1)), class_names=names)


def test_one_class_is_refused():
    with refused("class_names"):
        from_arrays((IMAGES, np.zeros(60, int)))


def test_nothing_to_hold_out_is_refused():
    with refused("train") as caught:
        from_arrays((IMAGES[:3], LABELS[:3]))
    assert "validation" in caught.value.reason
    with refused("validation_fraction", 1.0):
        from_arrays((IMAGES, LABELS), validation_fraction=1.0)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (IMAGES.astype("float32"), LABELS.astype("float32")),
        (IMAGES.astype("int64"), LABELS[:, np.newaxis]),
        (IMAGES.tolist(), LABELS.tolist()),
        (tf.constant(IMAGES), tf.one_hot(LABELS, 3)),
        (IMAGES, np.eye(3, dtype="uint8")[LABELS]),
    ],
    ids=["float", "int64", "lists", "tensors", "one-hot"],
)
def test_the_same_images_and_labels_in_other_types_are_the_same_dataset(images, labels):
    expected, found = (_pairs(from_arrays(pair).validation) for pair in ((IMAGES, LABELS), (images, labels)))
    assert [label for _, label in found] == [label for _, label in expected]
    np.testing.assert_array_equal([image for image, _ in found], [image for image, _ in expected])


def test_other_images_or_labels_make_another_run(tmp_path):
    """Of the same name, sizes and classes."""
    brighter = np.clip(IMAGES, 1, None)
    assert (brighter != IMAGES).any()
    swapped = LABELS.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    settings = [
        resolve(TrainConfig(dataset=from_arrays(pair), depth=8, output_dir=tmp_path)).folder.settings
        for pair in (
            (IMAGES, LABELS),
            (IMAGES.copy(), LABELS.tolist()),
            (brighter, LABELS),
            (IMAGES, swapped),
        )
    ]
    assert settings[0] == settings[1]
    assert settings[0] != settings[2] != settings[3] != settings[0]
