"""Public weights in our models: the publishers' predictions, or an unchanged model."""

import dataclasses
import functools
import hashlib
import pathlib
import re

import h5py
import keras
import numpy as np
import PIL.Image
import pytest
from helpers.errors import refused
from helpers.marks import slow
from helpers.public_files import keras_1_name, torch_state, with_random_weights, write_torch_file
from keras.src.legacy.saving import legacy_h5_format
from sklearn.datasets import load_sample_images

from keras_resnet.models import architectures, constructors, pretrained, resnet
from keras_resnet.models.preprocessing import Preprocessing
from keras_resnet.weights import registry
from keras_resnet.weights.eval_settings import STANDARD
from keras_resnet.weights.transform import eval_transform

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "public.npz"
SMALL = {"input_shape": (64, 64, 3), "classifier_activation": None}


@functools.cache
def photographs():
    """Prepared as for ImageNet's validation: (2, 224, 224, 3)."""
    pictures = map(PIL.Image.fromarray, load_sample_images().images)
    return np.stack([eval_transform(picture, STANDARD) for picture in pictures])


def _assert_parity(model, mode, expected):
    pixels = Preprocessing(mode)(photographs())
    logits = model.predict(pixels, verbose=0)
    assert np.ptp(expected) > 1
    assert abs(logits - expected).max() < 1e-4
    np.testing.assert_array_equal(logits.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.parametrize(
    ("library", "depth"),
    [
        ("torchvision", 18),
        slow("timm", 50),
        *(
            slow(library, depth)
            for library, depth in (
                ("torchvision", 34),
                ("torchvision", 50),
                ("torchvision", 101),
                ("torchvision", 152),
                ("timm", 18),
                ("timm", 34),
            )
        ),
    ],
)
def test_pytorchs_models_predict_the_same(library, depth, tmp_path):
    constructor = getattr(constructors, f"ResNet{depth}")
    path = tmp_path / "theirs.pth"
    state = torch_state(constructor(variant="v1.5"))
    write_torch_file(path, {"state_dict_ema": {f"module.{key}": value for key, value in state.items()}})
    model = constructor(weights=path, classifier_activation=None)
    _assert_parity(model, "torch", np.load(GOLDEN)[f"{library}_resnet{depth}"])


@pytest.mark.parametrize("depth", [50, slow(101), slow(152)])
def test_keras_applications_models_predict_the_same(depth, tmp_path):
    theirs = with_random_weights(
        getattr(keras.applications, f"ResNet{depth}")(weights=None, classifier_activation=None)
    )
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    pixels = keras.applications.resnet.preprocess_input(photographs().astype("float32"))
    expected = theirs.predict(pixels, verbose=0)
    ours = getattr(constructors, f"ResNet{depth}")(weights=path, classifier_activation=None)
    _assert_parity(ours, "caffe", expected)


@pytest.mark.slow
def test_the_older_generation_of_keras_applications_predicts_the_same(tmp_path):
    new = keras.applications.ResNet50(weights=None, **SMALL)
    # Its models had Keras' default epsilon and other layer names.
    old = with_random_weights(
        keras.models.clone_model(
            new,
            clone_function=lambda layer: type(layer).from_config(
                {**layer.get_config(), **({"epsilon": 1e-3} if layer.name.endswith("_bn") else {})}
            ),
        ),
        small_variances=True,
    )
    path = tmp_path / "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    with h5py.File(path, "w") as file:
        layers = [layer for layer in old.layers if layer.weights]
        file.attrs["layer_names"] = [keras_1_name(layer.name).encode() for layer in layers]
        for layer in layers:
            name = keras_1_name(layer.name)
            words = {
                "kernel": "W",
                "bias": "b",
                "moving_mean": "running_mean",
                "moving_variance": "running_std",
            }
            names = [f"{name}_{words.get(variable.name, variable.name)}:0" for variable in layer.weights]
            group = file.create_group(name)
            group.attrs["weight_names"] = [word.encode() for word in names]
            for word, variable in zip(names, layer.weights, strict=True):
                group[word] = variable.numpy()
    images = np.random.RandomState(1).standard_normal((2, 64, 64, 3)).astype("float32")
    expected = old.predict(images, verbose=0)
    ours = constructors.ResNet50(weights=path, **SMALL)
    np.testing.assert_allclose(ours.predict(images, verbose=0), expected, rtol=0, atol=1e-4)
    new.set_weights(old.get_weights())
    assert abs(new.predict(images, verbose=0) - expected).max() > 1e-3, "epsilon makes no difference here"


@pytest.fixture(scope="module")
def torch_18(tmp_path_factory):
    """(path, state dict) of a ResNet-18."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    state = torch_state(constructors.ResNet18())
    write_torch_file(path, state)
    return path, state


def _without(state, *keys):
    return {key: value for key, value in state.items() if key not in keys}


def test_every_missing_extra_and_wrong_weight_is_reported_and_nothing_changes(torch_18, tmp_path):
    path, state = tmp_path / "other.pth", dict(torch_18[1])
    state = _without(state, "bn1.bias", "layer1.0.conv1.weight")
    state["layer5.0.conv1.weight"] = np.zeros((1, 1, 1, 1), "float32")
    state["layer4.1.bn2.weight"] = np.zeros(7, "float32")
    write_torch_file(path, state)
    model = constructors.ResNet18(**SMALL)
    before = model.get_weights()
    with refused("weights", path) as caught:
        pretrained.load_weights(model, path, architectures.IMAGENET[18])
    for problem in (
        "conv1_bn/beta is missing",
        "conv2_block1_1_conv/kernel is missing",
        "conv6_block1_1_conv/kernel is not part of it",
        "conv5_block2_2_bn/gamma is 7 and should be 512",
    ):
        assert problem in caught.value.reason
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_of_many_problems_ten_are_listed(torch_18):
    with refused("weights", torch_18[0]) as caught:
        constructors.ResNet34(weights=torch_18[0])
    assert re.search(r"and \d+ more", caught.value.reason)
    assert caught.value.reason.count(" is missing") == 10


def test_other_classes_keep_the_backbone_and_get_a_new_head(torch_18):
    path, state = torch_18
    model = constructors.ResNet18(weights=path, classes=7, **SMALL)
    kernel = model.get_layer("conv5_block2_2_conv").kernel.numpy()
    np.testing.assert_array_equal(kernel, state["layer4.1.conv2.weight"].transpose(2, 3, 1, 0))
    head = model.get_layer("predictions")
    assert head.kernel.shape == (512, 7)
    assert not head.bias.numpy().any()


def test_without_the_top_the_head_is_skipped(torch_18):
    path, state = torch_18
    model = constructors.ResNet18(include_top=False, weights=path)
    gamma = model.get_layer("conv1_bn").gamma.numpy()
    np.testing.assert_array_equal(gamma, state["bn1.weight"])


def test_a_file_without_a_head_cannot_fill_one(torch_18, tmp_path):
    path = tmp_path / "headless.pth"
    write_torch_file(path, _without(torch_18[1], "fc.weight", "fc.bias"))
    constructors.ResNet18(include_top=False, weights=path)
    with refused("weights", path) as caught:
        constructors.ResNet18(weights=path)
    assert "predictions/kernel is missing" in caught.value.reason
    model = constructors.ResNet18(weights=path, classes=5)  # a number that says that the head is new
    np.testing.assert_array_equal(model.get_layer("conv1_bn").gamma.numpy(), torch_18[1]["bn1.weight"])
    assert model.output_shape == (None, 5)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_networks_of_keras_applications_are_read_as_keras_3_saves_them(suffix, tmp_path):
    base = with_random_weights(
        keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))
    )
    image = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(base(image))
    model = keras.Model(image, keras.layers.Dense(5, "softmax")(pooled))
    path = tmp_path / f"net{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    ours = constructors.ResNet50(weights=path, classes=5, input_shape=(32, 32, 3))
    pixels = np.random.RandomState(0).uniform(-100, 100, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(ours(pixels), model(pixels), rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, slow(4)])
def test_gray_images_get_the_same_prediction_with_other_channels(channels, torch_18):
    path = torch_18[0]
    gray = np.random.RandomState(2).standard_normal((2, 64, 64, 1)).astype("float32")
    colored = constructors.ResNet18(weights=path, **SMALL)
    other = constructors.ResNet18(weights=path, **{**SMALL, "input_shape": (64, 64, channels)})
    expected = colored.predict(np.repeat(gray, 3, axis=3), verbose=0)
    predictions = other.predict(np.repeat(gray, channels, axis=3), verbose=0)
    np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", [slow(".weights.h5"), ".keras"])
def test_our_own_files_restore_the_model(suffix, torch_18, tmp_path):
    model = constructors.ResNet18(weights=torch_18[0], **SMALL)
    path = tmp_path / f"ours{suffix}"
    (model.save if suffix == ".keras" else model.save_weights)(path)
    again = constructors.ResNet18(weights=path, **SMALL)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_variant_comes_with_the_weights(tmp_path):
    path = tmp_path / "resnet50.pth"
    write_torch_file(path, torch_state(constructors.ResNet50(variant="v1.5")))
    model = constructors.ResNet50(weights=path)
    assert model.get_layer("conv3_block1_2_conv").strides == (2, 2)
    with refused("variant", "v1") as caught:
        constructors.ResNet50(weights=path, variant="v1")
    assert "on its 3x3 convolution" in caught.value.reason
    assert "variant=v1.5" in caught.value.reason
    with refused("variant", "v1"):
        resnet.ResNet(architectures.IMAGENET[50], weights=path)


@pytest.mark.parametrize(
    ("mistake", "parameter", "value", "reason"),
    [
        ({"weights": "imagenot"}, "weights", "imagenot", "torchvision-v1"),
        ({"weights": "torchvision-v2"}, "weights", "torchvision-v2", "it has those of resnet50, resnet101"),
        ({"weights": "imagenet", "shortcut": "A"}, "weights", "imagenet", "not with shortcut A"),
        ({"weights": "imagenet", "shortcut": None}, "weights", "imagenet", "with no shortcuts"),
        (
            {"weights": "imagenet", "classifier_activation": "relu"},
            "classifier_activation",
            "relu",
            "None or 'softmax'",
        ),
    ],
)
def test_mistakes_are_refused_before_anything_is_downloaded(mistake, parameter, value, reason, monkeypatch):
    monkeypatch.setattr(registry.RemoteFile, "fetch", lambda *_: pytest.fail("downloaded"))
    with refused(parameter, value) as caught:
        constructors.ResNet18(**mistake)
    assert reason in caught.value.reason


def test_contradicting_the_variant_of_public_weights_is_refused(monkeypatch):
    monkeypatch.setattr(registry.RemoteFile, "fetch", lambda *_: pytest.fail("downloaded"))
    with refused("variant", "v1.5") as caught:
        constructors.ResNet50(weights="keras-imagenet", variant="v1.5")
    assert "weights=keras-imagenet" in caught.value.reason
    assert "first 1x1" in caught.value.reason
    with refused("variant", "v1") as caught:
        constructors.ResNet50(weights="torchvision-v2", variant="v1")
    assert "weights=torchvision-v2" in caught.value.reason


@pytest.fixture
def published(torch_18, tmp_path, monkeypatch):
    """Puts a stand-in for torchvision's ResNet-18 into the cache."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    content = torch_18[0].read_bytes()
    entry = registry.get_weights("torchvision-v1", 18)
    file = dataclasses.replace(entry.file, sha256=hashlib.sha256(content).hexdigest()[:8])
    key = ("torchvision-v1", "resnet18")
    monkeypatch.setitem(registry._BY_NAME, key, dataclasses.replace(entry, file=file))
    cached = tmp_path / "models" / "resnet18-f37072fd.pth"
    cached.parent.mkdir()
    cached.write_bytes(content)
    return cached


@pytest.mark.parametrize("name", ["torchvision-v1", "imagenet"])
def test_public_weights_are_taken_from_keras_cache(name, published, torch_18):
    model = constructors.ResNet18(weights=name, **SMALL)
    np.testing.assert_array_equal(model.get_layer("conv1_bn").beta.numpy(), torch_18[1]["bn1.bias"])


def test_a_tampered_file_is_refused(published):
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 1
    published.write_bytes(content)
    with refused(value=published):
        constructors.ResNet18(weights="torchvision-v1", **SMALL)


def test_a_weight_that_is_there_twice_is_refused(torch_18, tmp_path):
    path = tmp_path / "twice.pth"
    write_torch_file(path, {**torch_18[1], "conv1_bn/gamma": np.ones(64, "float32")})
    with refused(value=str(path)) as caught:
        constructors.ResNet18(weights=path)
    assert "conv1_bn/gamma" in caught.value.reason
