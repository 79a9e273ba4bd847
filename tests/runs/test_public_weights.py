"""Public weights, evaluated and used as their publisher does."""

import pathlib

import numpy as np
import PIL.Image
import pytest
from helpers.errors import refused
from helpers.marks import slow
from helpers.public_files import torch_state, write_torch_file
from sklearn.datasets import load_sample_images

import keras_resnet
from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.data.sources.arrays import split_from_arrays

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "public.npz"
LABELS = (3, 700)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file in torchvision's format, with the random weights of the golden file."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    write_torch_file(path, torch_state(keras_resnet.ResNet18()))
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    paths = [folder / f"{number}.png" for number in range(2)]
    for path, image in zip(paths, load_sample_images().images, strict=True):
        PIL.Image.fromarray(image).save(path)
    return paths


@pytest.fixture(scope="module")
def expected():
    """Probabilities of torchvision's model behind torchvision's own transforms."""
    logits = np.load(GOLDEN)["torchvision_resnet18"].astype("float64")
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _encoded(paths):
    """The photographs as files, two of a thousand classes."""
    import tensorflow as tf

    contents = [path.read_bytes() for path in paths]

    def read(key, start=0, step=1):
        indices = tf.data.Dataset.range(2)
        examples = tf.data.Dataset.from_tensor_slices((contents, np.array(LABELS, "int64")))
        return tf.data.Dataset.zip(indices, examples).map(lambda i, e: (i, *e)).skip(start).shard(step, 0)

    split = Split("validation", 2, read, lambda index: paths[index].name)
    return Dataset("photographs", tuple(f"n{i:08}" for i in range(1000)), (None, None, 3), split, split, True)


def _pixels(paths):
    """The same as pixels; of one size, which the two photographs have."""
    images = np.stack([np.asarray(PIL.Image.open(path)) for path in paths])
    split = split_from_arrays("validation", images, np.array(LABELS))
    shape = images.shape[1:]
    return Dataset("pixels", tuple(f"n{i:08}" for i in range(1000)), shape, split, split, True)


def test_a_predictor_prepares_images_as_the_publisher(weights, photographs, expected):
    predictor = keras_resnet.load_predictor(weights)
    assert (predictor.spec.size, predictor.spec.resize_size, predictor.spec.interpolation) == (
        224,
        256,
        "bilinear",
    )
    np.testing.assert_allclose(predictor.predict(photographs), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("make_dataset", [_encoded, slow(_pixels)], ids=["files", "pixels"])
def test_an_evaluation_repeats_the_publishers(weights, photographs, expected, make_dataset, tmp_path):
    results = keras_resnet.evaluate(
        weights=str(weights), dataset=make_dataset(photographs), output_dir=tmp_path
    )
    (evaluation,) = results.evaluations.values()
    own = expected[range(2), LABELS]
    assert evaluation.loss == pytest.approx(-np.log(own).mean(), abs=1e-3)
    assert evaluation.error == np.mean(expected.argmax(axis=1) != LABELS)
    assert (tmp_path / "evaluation.json").is_file()


def test_architecture_of_a_file_is_refused_where_it_says_another(weights):
    with refused("depth", 34):
        keras_resnet.load_predictor(weights, depth=34)


def test_architecture_is_not_for_runs_and_models(quick_run):
    with refused("depth", 50):
        keras_resnet.load_predictor(quick_run.path, depth=50)


def test_public_names_need_a_depth():
    with refused("depth"):
        keras_resnet.load_predictor("torchvision-v2")


def test_weights_that_do_not_say_their_preprocessing_are_refused(tmp_path):
    model = keras_resnet.CifarResNet(8, shortcut="B")
    model.save_weights(tmp_path / "own.weights.h5")
    with refused(None, tmp_path / "own.weights.h5"):
        keras_resnet.load_predictor(tmp_path / "own.weights.h5")
