"""The networks after the paper: their publishers' sizes and logits, and all that takes a network."""

import dataclasses
import inspect
import math
import pathlib

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.marks import slow
from helpers.public_files import with_random_weights, write_torch_file
from torchvision_weights import images, make, make_layer

import keras_resnet
from keras_resnet.export import export_tflite
from keras_resnet.models.architectures import LATER, Architecture, cifar_architecture, name_of
from keras_resnet.models.complexity import complexity
from keras_resnet.models.deepen import deepen
from keras_resnet.models.infer import infer_architecture
from keras_resnet.models.pyramid import feature_pyramid
from keras_resnet.models.resnet import ResNet
from keras_resnet.models.surgery import fold_batch_norm, residual_blocks
from keras_resnet.training import Recipe, train
from keras_resnet.weights.read import open_weights

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "later.npz"
OF_TORCH = [name for name in LATER if not name.endswith("v2")]
CONSTRUCTORS = {
    name.replace("_", "").lower(): getattr(keras_resnet, name)
    for name in keras_resnet.__all__
    if name.startswith(("ResNe", "Wide")) and name != "ResNet"
}
# One of each kind, small.
KINDS = {
    "v2": Architecture("v2", (2, 2), (8, 16), "bottleneck", variant="v2", preactivation=True),
    "preactivation": Architecture("pre", (2, 2), (8, 16), "bottleneck", variant="v1.5", preactivation=True),
    "basic preactivation": cifar_architecture(8, "B", preactivation=True),
    "groups": Architecture("x", (2, 2), (16, 32), "bottleneck", groups=4, width_per_group=32, variant="v1.5"),
    "wide": Architecture("wide", (2, 2), (8, 16), "bottleneck", width_per_group=128, variant="v1.5"),
    "d": Architecture("d", (2, 2), (8, 16), "bottleneck", "deep", projection="average", variant="v1.5"),
}
every_kind = pytest.mark.parametrize(
    "kind", [kind if kind in ("v2", "groups", "d") else slow(kind) for kind in KINDS]
)


def _small(kind, size=32, **options):
    return with_random_weights(ResNet(KINDS[kind], input_shape=(size, size, 3), classes=5, **options))


def _images(size=32, count=2):
    return np.random.default_rng(0).normal(size=(count, size, size, 3)).astype("float32")


def _constructor(name):
    return CONSTRUCTORS[name.replace("_", "")]


@pytest.fixture
def state(tmp_path):
    """Writes random weights of a network under its publisher's names."""

    def write(name):
        golden = np.load(GOLDEN)
        shapes = [tuple(filter(None, shape.tolist())) for shape in golden[f"{name}_shapes"]]
        path = tmp_path / f"{name}.pth"
        keys = golden[f"{name}_keys"].tolist()
        write_torch_file(path, {key: make(key, shape) for key, shape in zip(keys, shapes, strict=True)})
        return path

    return write


FAST = ("resnet18d", "resnext50_32x4d")


@pytest.mark.parametrize("name", [name if name in FAST else slow(name) for name in OF_TORCH])
def test_logits_are_those_of_the_publisher(name, state):
    golden, path = np.load(GOLDEN), state(name)
    for height, width in ((64, 96), (65, 47)):
        shape = {"input_shape": (height, width, 3), "classifier_activation": None}
        logits = _constructor(name)(weights=path, **shape).predict(images(height, width), verbose=0)
        expected = golden[f"{name}_{height}x{width}"]
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(logits[:, : expected.shape[1]], expected, atol=1e-4 * np.ptp(expected))
    with open_weights(path) as named:
        architecture, channels, classes = infer_architecture(named, str(path))
    assert (architecture, channels, classes) == (LATER[name], 3, 1000)


@pytest.mark.parametrize("name", [name if name in FAST else slow(name) for name in OF_TORCH])
def test_sizes_are_those_that_pytorch_counts(name):
    golden = np.load(GOLDEN)
    counted = complexity(_constructor(name)())
    assert counted.parameters == golden[f"{name}_parameters"]
    assert counted.macs == golden[f"{name}_macs"]


@pytest.mark.parametrize("name", ["resnet18", slow("resnet50v2"), slow("resnet50d")])
def test_features_are_those_of_keras_hub(name, tmp_path):
    golden, path = np.load(GOLDEN.with_name("keras_hub.npz")), tmp_path / "model.weights.h5"
    described = zip(golden[f"{name}_layers"].tolist(), golden[f"{name}_shapes"].tolist(), strict=True)
    with h5py.File(path, "w") as file:
        for number, (layer, (count, *shape)) in enumerate(described):
            group = file.create_group(f"layers/layer_{number}/vars")
            group.attrs["name"] = layer
            shapes = [tuple(filter(None, shape))] * count
            for index, value in enumerate(make_layer(layer, shapes)):
                group[str(index)] = value
    size = (64, 47)
    model = _constructor(name)(
        include_top=False, weights=path, input_shape=(*size, 3), pooling="avg", variant="v1.5"
    )
    expected = golden[f"{name}_features"]
    features = model.predict(images(*size), verbose=0)[:, : expected.shape[1]]
    np.testing.assert_allclose(features, expected, atol=1e-4 * np.ptp(expected))


V2 = pytest.mark.parametrize("depth", [50, slow(101), slow(152)])


@V2
def test_v2_is_that_of_keras_applications(depth, tmp_path):
    theirs = getattr(keras.applications, f"ResNet{depth}V2")
    ours = getattr(keras_resnet, f"ResNet{depth}V2")
    for size, options in (
        (64, {"include_top": True, "classifier_activation": None}),
        (75, {"include_top": False}),
    ):
        made = with_random_weights(theirs(weights=None, input_shape=(size, size, 3), **options))
        for suffix in (".h5", ".weights.h5", ".keras"):
            path = tmp_path / f"theirs{suffix}"
            (made.save_weights if suffix == ".weights.h5" else made.save)(path)
            model = ours(weights=path, input_shape=(size, size, 3), **options)
            expected = made.predict(_images(size), verbose=0)
            tolerance = 1e-4 * np.ptp(expected)
            np.testing.assert_allclose(model.predict(_images(size), verbose=0), expected, atol=tolerance)
            assert model.count_params() == made.count_params()
        assert [layer.name for layer in model.layers if layer.weights] == [
            layer.name for layer in made.layers if layer.weights
        ]
    assert complexity(ours()).macs == complexity(theirs(weights=None)).macs


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_v2_has_the_signature_of_keras_applications(depth):
    ours = inspect.signature(getattr(keras_resnet, f"ResNet{depth}V2")).parameters
    theirs = inspect.signature(getattr(keras.applications, f"ResNet{depth}V2")).parameters
    for name, parameter in theirs.items():
        assert name in ours
        assert name == "weights" or ours[name].default == parameter.default
    assert all(ours[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ours if name not in theirs)


@pytest.mark.parametrize(
    ("architecture", "millions"),
    [
        # He et al. 2016, Table 4; ResNet-110 of 2015, Table 6.
        (cifar_architecture(110, preactivation=True), 1.7),
        (cifar_architecture(164, preactivation=True), 1.7),
        slow(cifar_architecture(1001, preactivation=True), 10.2),
        # Zagoruyko and Komodakis 2016, Table 5.
        (
            Architecture(
                "wrn16_8", (2,) * 3, (16, 32, 64), stem="cifar", width_per_group=512, preactivation=True
            ),
            11.0,
        ),
        (
            Architecture(
                "wrn40_4", (6,) * 3, (16, 32, 64), stem="cifar", width_per_group=256, preactivation=True
            ),
            8.9,
        ),
        (
            Architecture(
                "wrn28_10", (4,) * 3, (16, 32, 64), stem="cifar", width_per_group=640, preactivation=True
            ),
            36.5,
        ),
    ],
)
@pytest.mark.usefixtures("no_values")
def test_sizes_of_cifar_networks_are_those_of_their_papers(architecture, millions):
    model = ResNet(architecture, classes=10)
    parameters = complexity(model).parameters
    if architecture.depth == 1001:
        # 10.33 with batch norm; the paper's number is that of the kernels.
        kernels = (layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel"))
        parameters = sum(map(math.prod, kernels))
    assert parameters / 1e6 == pytest.approx(millions, abs=0.06)


def test_depths_of_pre_activation_networks_for_cifar():
    assert keras_resnet.CifarResNet(8, preactivation=True).name == "cifar_preact_resnet8"
    assert [cifar_architecture(depth, preactivation=True).block for depth in (110, 164, 1001)] == [
        "basic",
        "bottleneck",
        "bottleneck",
    ]
    assert cifar_architecture(164, block="bottleneck").shortcut == "B"
    with refused("depth", 165) as caught:
        cifar_architecture(165, block="bottleneck")
    assert "9n+2" in caught.value.reason


@pytest.mark.parametrize("shortcut", ["A", "B", None])
def test_pre_activation_is_the_equation_of_the_paper(shortcut):
    """x + F(relu(bn(x))), the first activation before the first shortcut, another behind the last sum."""
    model = with_random_weights(
        keras_resnet.CifarResNet(
            8, shortcut=shortcut, preactivation=True, input_shape=(8, 8, 3), classifier_activation=None
        )
    )
    layers = {layer.name: layer for layer in model.layers}

    def conv(x, name, stride=1):
        kernel = layers[f"{name}_conv"].kernel
        pad = kernel.shape[0] // 2
        x = tf.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
        return tf.nn.conv2d(x, kernel, stride, "VALID")

    def activated(x, name):
        bn = layers[f"{name}_bn"]
        x = (x - bn.moving_mean) / tf.sqrt(bn.moving_variance + bn.epsilon) * bn.gamma + bn.beta
        return tf.nn.relu(x)

    x = conv(tf.constant(_images(8)), "conv1")
    for stage, filters in ((2, 16), (3, 32), (4, 64)):
        name, stride = f"conv{stage}_block1", 1 if stage == 2 else 2
        first = activated(x, f"{name}_preact")
        branch = conv(activated(conv(first, f"{name}_1", stride), f"{name}_1"), f"{name}_2")
        if shortcut is None:
            x = branch
        elif stage == 2:
            x = first + branch
        elif shortcut == "B":
            x = conv(first, f"{name}_0", 2) + branch
        else:
            x = tf.pad(x[:, ::2, ::2], [(0, 0)] * 3 + [(0, filters - x.shape[-1])]) + branch
    pooled = tf.reduce_mean(activated(x, "post"), (1, 2))
    expected = pooled @ layers["predictions"].kernel + layers["predictions"].bias
    np.testing.assert_allclose(model.predict(_images(8), verbose=0), expected, rtol=1e-4, atol=1e-4)


@every_kind
def test_folding_keeps_the_predictions_and_takes_what_follows_a_convolution(kind):
    model = _small(kind)
    folded = fold_batch_norm(model)
    np.testing.assert_allclose(
        folded.predict(_images(), verbose=0), model.predict(_images(), verbose=0), atol=1e-5
    )
    left = [layer.name for layer in folded.layers if layer.name.endswith("_bn")]
    others = [layer.name for layer in model.layers if layer.name.endswith(("preact_bn", "post_bn"))]
    if KINDS[kind].stem == "cifar":
        others.remove("conv2_block1_preact_bn")  # it follows the stem's convolution, without a pool between
    assert left == others


@every_kind
def test_output_stride_keeps_the_features(kind):
    filters = KINDS[kind].filters[0]
    stages = {"blocks_per_stage": (1, 2, 2), "filters": (filters, 2 * filters, 2 * filters)}
    architecture = dataclasses.replace(KINDS[kind], **stages)
    stride = architecture.total_stride
    whole = with_random_weights(ResNet(architecture, include_top=False, input_shape=(33, 33, 3)))
    dilated = ResNet(architecture, include_top=False, input_shape=(33, 33, 3), output_stride=stride // 2)
    dilated.set_weights(whole.get_weights())
    every_second = dilated.predict(_images(33), verbose=0)[:, ::2, ::2]
    np.testing.assert_allclose(whole.predict(_images(33), verbose=0), every_second, atol=1e-4)


def test_averages_that_no_layer_computes_are_refused():
    with refused("output_stride", 8) as caught:
        keras_resnet.ResNet18D(include_top=False, output_stride=8)
    assert "16, 32" in caught.value.reason


@every_kind
def test_zero_gamma_makes_each_block_its_shortcut_and_lets_gradients_through(kind):
    model = ResNet(KINDS[kind], input_shape=(32, 32, 3), classes=5, zero_gamma=True)
    blocks = residual_blocks(model)
    assert len(blocks) == sum(KINDS[kind].blocks_per_stage)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(_images(), training=True)[:, 0])
    zero = [weight for weight in model.trainable_variables if not np.any(weight.numpy())]
    zero = [weight for weight in zero if weight.path.endswith(("gamma", "kernel"))]
    assert len(zero) == len(blocks)
    assert all(np.any(gradient.numpy()) for gradient in tape.gradient(loss, [one.value for one in zero]))


@every_kind
def test_levels_of_a_pyramid(kind):
    levels = feature_pyramid(_small(kind)).output
    sides = {name: tensor.shape[1] for name, tensor in levels.items()}
    expected = {"C1": 16, "C2": 8, "C3": 4}
    if KINDS[kind].stem == "cifar":
        expected = {"C1": 32, "C2": 32, "C3": 16, "C4": 8}
    elif kind == "v2":
        expected["C2"] = 4
    assert sides == expected


@every_kind
@pytest.mark.parametrize("rematerialize", [(), slow(("conv2", "conv3"))])
def test_a_training_step_and_an_int8_file(kind, rematerialize, tmp_path):
    model = ResNet(KINDS[kind], input_shape=(32, 32, 3), classes=5, drop_path=0.1)
    before = model.get_weights()
    labels = np.arange(16) % 5
    recipe = Recipe("this test", batch_size=8, epochs=1, learning_rate=0.01)
    data = (_images(count=16), labels)
    state = train(model, data, data, recipe, callbacks=[], rematerialize=rematerialize)
    assert np.isfinite(state.history["loss"]).all()
    changed = sum(np.any(new != old) for new, old in zip(model.get_weights(), before, strict=True))
    assert changed == len(before)
    if rematerialize:
        return
    path = tmp_path / "model.tflite"
    export_tflite(model, path, kind="int8", calibration=np.uint8(128 + 40 * _images(count=16)))
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    assert interpreter.get_output_details()[0]["shape"].tolist() == [1, 5]


def test_deeper_networks_of_the_same_kind_compute_the_same():
    shape = {"input_shape": (16, 16, 3), "classes": 5}
    for shallow, depth, where in (
        (keras_resnet.CifarResNet(8, preactivation=True, **shape), 14, "middle"),
        (keras_resnet.CifarResNet(11, block="bottleneck", preactivation=True, **shape), 20, "end"),
    ):
        with_random_weights(shallow)
        deeper = deepen(shallow, depth, where=where)
        expected = shallow.predict(_images(16), verbose=0)
        np.testing.assert_allclose(deeper.predict(_images(16), verbose=0), expected, atol=1e-5)
        assert len(residual_blocks(deeper)) > len(residual_blocks(shallow))


@pytest.mark.parametrize("name", [slow("ResNet50V2"), slow("WideResNet50_2"), slow("ResNet18D")])
def test_published_networks_deepen_into_the_next(name):
    shallow = with_random_weights(getattr(keras_resnet, name)(input_shape=(64, 64, 3), classes=5))
    depth = 34 if "18" in name else 101
    deeper = deepen(shallow, depth)
    expected = shallow.predict(_images(64), verbose=0)
    np.testing.assert_allclose(deeper.predict(_images(64), verbose=0), expected, atol=1e-5)
    next_one = getattr(keras_resnet, name.replace("50", "101").replace("18", "34"))
    made = next_one(input_shape=(64, 64, 3), classes=5)
    assert deeper.count_params() == made.count_params()


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"groups": 32}, "groups"),
        ({"groups": 0, "block": "bottleneck"}, "groups"),
        ({"width_per_group": 0}, "width_per_group"),
        ({"projection": "average", "shortcut": "A"}, "projection"),
        ({"projection": "max"}, "projection"),
        ({"variant": "v2", "block": "bottleneck"}, "variant"),
        ({"variant": "v2", "preactivation": True}, "variant"),
        ({"stem": "deeper"}, "stem"),
    ],
    ids=str,
)
def test_impossible_combinations_are_refused(fields, parameter):
    with refused(parameter, fields[parameter]):
        Architecture("any", (1,), (64,), **fields)


def test_architectures_have_the_names_they_are_published_under():
    assert [name_of(architecture) for architecture in LATER.values()] == list(LATER)
    assert name_of(cifar_architecture(20, "B")) == "cifar_resnet20"
    assert set(CONSTRUCTORS) == {name.replace("_", "") for name in LATER} | {
        f"resnet{depth}" for depth in (18, 34, 50, 101, 152)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LATER))
def test_constructors_build_their_architecture(name):
    model = _constructor(name)(include_top=False, input_shape=(64, 64, 3), pooling="avg")
    assert model.name == name
    assert model.output_shape == (None, 2048 if LATER[name].block == "bottleneck" else 512)
