"""Weights in public formats in our nets: the answers of those who publish them, or nothing changed at all."""

import dataclasses
import functools
import hashlib
import pathlib

import h5py
import keras
import numpy as np
import PIL.Image
import pytest
from keras.src.legacy.saving import legacy_h5_format
from public_files import keras_1_name, torch_state, with_random_weights, write_torch_file
from sklearn.datasets import load_sample_images

from keras_resnet.errors import UserError
from keras_resnet.models import architectures, origin, pretrained, resnet
from keras_resnet.models.preprocessing import Preprocessing
from keras_resnet.weights import registry
from keras_resnet.weights.pixels import PIXELS
from keras_resnet.weights.published import published_view
from keras_resnet.weights.read import open_weights

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "public.npz"
SMALL = {"input_shape": (64, 64, 3), "classifier_activation": None}


@functools.cache
def photographs():
    """As ImageNet's tests see them: (2, 224, 224, 3)."""
    pictures = map(PIL.Image.fromarray, load_sample_images().images)
    return np.stack([published_view(picture, 224, 256, "bilinear") for picture in pictures])


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
        ("timm", 50),
        *(
            pytest.param(library, depth, marks=pytest.mark.slow)
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
def test_pytorchs_nets_answer_alike(library, depth, tmp_path):
    constructor = getattr(resnet, f"ResNet{depth}")
    path = tmp_path / "theirs.pth"
    state = torch_state(constructor(variant="v1.5"))
    write_torch_file(path, {"state_dict_ema": {f"module.{key}": value for key, value in state.items()}})
    model = constructor(weights=path, classifier_activation=None)
    _assert_parity(model, "torch", np.load(GOLDEN)[f"{library}_resnet{depth}"])


@pytest.mark.parametrize(
    "depth", [50, pytest.param(101, marks=pytest.mark.slow), pytest.param(152, marks=pytest.mark.slow)]
)
def test_keras_applications_nets_answer_alike(depth, tmp_path):
    theirs = with_random_weights(
        getattr(keras.applications, f"ResNet{depth}")(weights=None, classifier_activation=None)
    )
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    pixels = keras.applications.resnet.preprocess_input(photographs().astype("float32"))
    # Of so large inputs, answers in proportion to what the weights make of them.
    expected = theirs.predict(pixels, verbose=0)
    ours = getattr(resnet, f"ResNet{depth}")(weights=path, classifier_activation=None)
    _assert_parity(ours, "caffe", expected)


@pytest.mark.slow
def test_the_older_generation_of_keras_applications_answers_alike(tmp_path):
    new = keras.applications.ResNet50(weights=None, **SMALL)
    # Its nets had Keras' own epsilon, and layers called otherwise.
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
    ours = resnet.ResNet50(weights=path, **SMALL)
    np.testing.assert_allclose(ours.predict(images, verbose=0), expected, rtol=0, atol=1e-4)
    new.set_weights(old.get_weights())
    assert abs(new.predict(images, verbose=0) - expected).max() > 1e-3, "epsilon makes no difference here"


@pytest.fixture(scope="module")
def torch_18(tmp_path_factory):
    """(path, state dict) of a ResNet-18."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    state = torch_state(resnet.ResNet18())
    write_torch_file(path, state)
    return path, state


def _without(state, *keys):
    return {key: value for key, value in state.items() if key not in keys}


def test_every_missing_extra_and_wrong_weight_is_told_and_nothing_changes(torch_18, tmp_path):
    path, state = tmp_path / "other.pth", dict(torch_18[1])
    state = _without(state, "bn1.bias", "layer1.0.conv1.weight")
    state["layer5.0.conv1.weight"] = np.zeros((1, 1, 1, 1), "float32")
    state["layer4.1.bn2.weight"] = np.zeros(7, "float32")
    write_torch_file(path, state)
    model = resnet.ResNet18(**SMALL)
    before = model.get_weights()
    with pytest.raises(UserError) as refused:
        pretrained.load_weights(model, path, architectures.IMAGENET[18])
    for told in (
        "conv1_bn/beta is missing",
        "conv2_block1_1_conv/kernel is missing",
        "conv6_block1_1_conv/kernel has no place in it",
        "conv5_block2_2_bn/gamma is 7 and should be 512",
        "nothing was changed",
    ):
        assert told in str(refused.value)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_of_many_that_do_not_fit_ten_are_told(torch_18):
    with pytest.raises(UserError, match=r"and \d+ more") as refused:
        resnet.ResNet34(weights=torch_18[0])
    assert str(refused.value).count(" is missing") == 10


def test_other_classes_keep_the_backbone_and_get_a_new_head(torch_18):
    path, state = torch_18
    model = resnet.ResNet18(weights=path, classes=7, **SMALL)
    kernel = model.get_layer("conv5_block2_2_conv").kernel.numpy()
    np.testing.assert_array_equal(kernel, state["layer4.1.conv2.weight"].transpose(2, 3, 1, 0))
    head = model.get_layer("predictions")
    assert head.kernel.shape == (512, 7)
    assert not head.bias.numpy().any()


def test_without_the_top_the_head_is_left_out(torch_18):
    path, state = torch_18
    model = resnet.ResNet18(include_top=False, weights=path)
    gamma = model.get_layer("conv1_bn").gamma.numpy()
    np.testing.assert_array_equal(gamma, state["bn1.weight"])


def test_a_file_without_a_head_cannot_fill_one(torch_18, tmp_path):
    path = tmp_path / "headless.pth"
    write_torch_file(path, _without(torch_18[1], "fc.weight", "fc.bias"))
    resnet.ResNet18(include_top=False, weights=path)
    with pytest.raises(UserError, match="predictions/kernel is missing"):
        resnet.ResNet18(weights=path)


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_pictures_get_the_same_answer_on_other_channels(channels, torch_18):
    path = torch_18[0]
    grey = np.random.RandomState(2).standard_normal((2, 64, 64, 1)).astype("float32")
    coloured = resnet.ResNet18(weights=path, **SMALL)
    other = resnet.ResNet18(weights=path, **{**SMALL, "input_shape": (64, 64, channels)})
    expected = coloured.predict(np.repeat(grey, 3, axis=3), verbose=0)
    answers = other.predict(np.repeat(grey, channels, axis=3), verbose=0)
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_our_own_files_come_back(suffix, torch_18, tmp_path):
    model = resnet.ResNet18(weights=torch_18[0], **SMALL)
    path = tmp_path / f"ours{suffix}"
    (model.save if suffix == ".keras" else model.save_weights)(path)
    again = resnet.ResNet18(weights=path, **SMALL)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_variant_comes_with_the_weights(tmp_path):
    path = tmp_path / "resnet50.pth"
    write_torch_file(path, torch_state(resnet.ResNet50(variant="v1.5")))
    model = resnet.ResNet50(weights=path)
    assert model.get_layer("conv3_block1_2_conv").strides == (2, 2)
    with pytest.raises(UserError, match=r"trained with variant 'v1\.5'.*on its 3x3.*give variant='v1\.5'"):
        resnet.ResNet50(weights=path, variant="v1")
    with pytest.raises(UserError, match=r"trained with variant 'v1\.5'"):
        resnet.ResNet(architectures.IMAGENET[50], weights=path)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ({"weights": "imagenot"}, "name of public weights .*torchvision-v1"),
        ({"weights": "torchvision-v2"}, "no weights of a ResNet-18; it has those of 50, 101, 152"),
        ({"weights": "imagenet", "shortcut": "A"}, "shortcut 'B' for ImageNet; resnet18 with shortcut 'A'"),
        ({"weights": "imagenet", "shortcut": None}, "with no shortcuts has none"),
        ({"weights": "imagenet", "classifier_activation": "relu"}, "can only be None or 'softmax'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_downloaded(mistake, told, monkeypatch):
    monkeypatch.setattr(registry.File, "fetch", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(ValueError, match=told):
        resnet.ResNet18(**mistake)


def test_contradicting_the_variant_of_public_weights_is_refused(monkeypatch):
    monkeypatch.setattr(registry.File, "fetch", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(UserError, match=r"keras-imagenet were trained with variant 'v1', .*first 1x1"):
        resnet.ResNet50(weights="keras-imagenet", variant="v1.5")
    with pytest.raises(UserError, match=r"torchvision-v2 were trained with variant 'v1\.5'"):
        resnet.ResNet50(weights="torchvision-v2", variant="v1")


@pytest.fixture
def published(torch_18, tmp_path, monkeypatch):
    """A stand-in for torchvision's ResNet-18, in the cache."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    content = torch_18[0].read_bytes()
    entry = registry.find("torchvision-v1", 18)
    file = dataclasses.replace(entry.file, sha256=hashlib.sha256(content).hexdigest()[:8])
    monkeypatch.setitem(registry._BY_NAME, ("torchvision-v1", 18), dataclasses.replace(entry, file=file))
    cached = tmp_path / "models" / "resnet18-f37072fd.pth"
    cached.parent.mkdir()
    cached.write_bytes(content)
    return cached


@pytest.mark.parametrize("name", ["torchvision-v1", "imagenet"])
def test_public_weights_are_taken_from_keras_cache(name, published, torch_18):
    model = resnet.ResNet18(weights=name, **SMALL)
    np.testing.assert_array_equal(model.get_layer("conv1_bn").beta.numpy(), torch_18[1]["bn1.bias"])


def test_a_tampered_file_is_refused(published):
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 1
    published.write_bytes(content)
    with pytest.raises(UserError, match=r"resnet18-f37072fd\.pth is not the published file"):
        resnet.ResNet18(weights="torchvision-v1", **SMALL)


@pytest.mark.parametrize(
    "net",
    [
        architectures.cifar(8, "B"),
        architectures.cifar(8, "C"),
        architectures.cifar(14, "C"),
        architectures.IMAGENET[18],
        dataclasses.replace(architectures.IMAGENET[34], shortcut="C"),
    ],
    ids=lambda net: f"{net.name}-{net.shortcut}",
)
def test_a_file_tells_its_net(net, tmp_path):
    path = tmp_path / "net.weights.h5"
    resnet.ResNet(net, input_shape=(32, 32, 1), classes=6).save_weights(path)
    with open_weights(path) as named:
        assert origin.architecture_of(named, path) == (net, 1, 6)


def test_another_net_is_not_taken_for_one_of_the_papers(tmp_path):
    path = tmp_path / "net.weights.h5"
    net = dataclasses.replace(architectures.IMAGENET[18], blocks_per_stage=(1, 2, 3, 4))
    resnet.ResNet(net, include_top=False).save_weights(path)
    with open_weights(path) as named, pytest.raises(UserError, match=r"no net of the paper: 1-2-3-4 blocks"):
        origin.architecture_of(named, path)


def _small_bottleneck(**options):
    return resnet.ResNet50(include_top=False, input_shape=(32, 32, 3), **options)


def test_a_keras_file_tells_the_variant(tmp_path):
    path = tmp_path / "net.keras"
    _small_bottleneck(variant="v1.5").save(path)
    assert _small_bottleneck(weights=path).get_layer("conv3_block1_2_conv").strides == (2, 2)
    with pytest.raises(UserError, match=r"trained with variant 'v1\.5'"):
        _small_bottleneck(weights=path, variant="v1")


def test_a_file_that_cannot_tell_the_variant_is_not_guessed_at(tmp_path):
    path = tmp_path / "net.weights.h5"
    model = _small_bottleneck(variant="v1.5")
    model.save_weights(path)
    with pytest.raises(UserError, match=r"give variant='v1', as new nets have it, or 'v1\.5'"):
        _small_bottleneck(weights=path)
    again = _small_bottleneck(weights=path, variant="v1.5")
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


def test_weights_alone_do_not_tell_whether_there_are_shortcuts_or_where_the_stride_is(tmp_path):
    path = tmp_path / "net.weights.h5"
    resnet.CifarResNet(8).save_weights(path)
    with open_weights(path) as named:
        with pytest.raises(UserError, match=r"net\.weights\.h5 does not tell whether its net has shortcuts"):
            origin.architecture_of(named, str(path))
        for plain in (False, True):
            net, _, _ = origin.architecture_of(named, str(path), plain=plain)
            assert net == architectures.cifar(8, None if plain else "A")
    _small_bottleneck(variant="v1.5").save_weights(path)
    with open_weights(path) as named:
        with pytest.raises(UserError, match=r"net\.weights\.h5 does not tell where its bottlenecks"):
            origin.architecture_of(named, str(path))
        assert origin.architecture_of(named, str(path), variant="v1.5")[0].variant == "v1.5"


def test_our_net_in_the_older_format_is_not_taken_for_keras_applications(tmp_path):
    path = tmp_path / "net.h5"
    _small_bottleneck(variant="v1.5").save(path)
    with open_weights(path) as named:
        assert named.layout.name == "this package"


@pytest.mark.parametrize("plain", [False, True])
def test_a_keras_file_tells_whether_it_has_shortcuts(plain, tmp_path):
    path = tmp_path / "net.keras"
    net = architectures.cifar(8, None if plain else "A")
    resnet.ResNet(net, input_shape=(32, 32, 1)).save(path)
    with open_weights(path) as named:
        assert origin.architecture_of(named, path)[0] == net


def test_a_plain_net_of_bottlenecks_is_known(tmp_path):
    path = tmp_path / "net.keras"
    net = dataclasses.replace(architectures.IMAGENET[50], shortcut=None)
    resnet.ResNet(net, include_top=False, input_shape=(32, 32, 3)).save(path)
    with open_weights(path) as named:
        assert origin.architecture_of(named, path)[0] == net


def test_a_keras_file_tells_its_preprocessing(tmp_path):
    path = tmp_path / "net.keras"
    image = keras.Input((48, 48, 3), dtype="uint8")
    net = architectures.cifar(8)
    resnet.ResNet(net, input_tensor=Preprocessing("caffe", name="preprocessing")(image)).save(path)
    with open_weights(path) as named:
        assert named.layout.pixels == PIXELS["caffe"]
        assert named.size == 48


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_keras_file_tells_the_size_of_its_images(data_format, tmp_path):
    path = tmp_path / "net.keras"
    keras.config.set_image_data_format(data_format)
    try:
        shape = (3, 48, 48) if data_format == "channels_first" else (48, 48, 3)
        resnet.CifarResNet(8, input_shape=shape).save(path)
    finally:
        keras.config.set_image_data_format("channels_last")
    with open_weights(path) as named:
        assert named.size == 48


def test_a_weight_that_is_there_twice_is_refused(torch_18, tmp_path):
    path = tmp_path / "twice.pth"
    write_torch_file(path, {**torch_18[1], "conv1_bn/gamma": np.ones(64, "float32")})
    with pytest.raises(UserError, match="conv1_bn/gamma twice"):
        resnet.ResNet18(weights=path)


def test_a_net_of_billions_of_blocks_is_refused_at_once(tmp_path):
    path = tmp_path / "deep.pth"
    kernel = np.ones((16, 16, 3, 3), "float32")
    state = {f"layer{stage}.{block}.conv1.weight": kernel for stage in (1, 2, 3) for block in (0, 998)}
    write_torch_file(path, {"conv1.weight": kernel[:, :3].copy(), **state})
    with open_weights(path) as named, pytest.raises(UserError, match="no net of the paper"):
        origin.architecture_of(named, "deep.pth")
