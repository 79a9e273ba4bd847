import dataclasses
import hashlib
import json
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest
from ai_edge_litert.interpreter import Interpreter
from helpers.errors import refused
from helpers.marks import slow
from helpers.nets import ARCHITECTURES, trained_model
from sklearn.datasets import load_sample_images

from keras_resnet import export
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.data.sources import digits
from keras_resnet.errors import UserError
from keras_resnet.inference import load_predictor
from keras_resnet.models import architectures

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _calibration(channels=1):
    return [np.repeat(digits.load("train")[0][start : start + 50], channels, -1) for start in (0, 50)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Every kind of file of one model."""
    folder = tmp_path_factory.mktemp("tflite")
    model = trained_model(ARCHITECTURES["A"])
    for kind in ("float32", "float16", "dynamic", "int8"):
        calibration = _calibration() if kind == "int8" else None
        export.export_tflite(
            model, folder / f"{kind}.tflite", kind=kind, class_names=NAMES, calibration=calibration
        )
    return model, folder


def _operations(path):
    return [operation["op_name"] for operation in Interpreter(str(path))._get_ops_details()]


def _photographs(size, count):
    random, parts = np.random.default_rng(1), []
    photos = [PIL.Image.fromarray(photo) for photo in load_sample_images().images]
    for number in range(count):
        photo, side = photos[number % 2], random.integers(60, 400)
        left, top = random.integers(0, photo.width - side), random.integers(0, photo.height - side)
        box = (left, top, left + side, top + side)
        parts.append(np.asarray(photo.resize((size, size), PIL.Image.Resampling.BILINEAR, box)))
    return np.stack(parts)


def _images(size, channels, count=8):
    return np.random.default_rng(1).integers(0, 256, (count, size, size, channels), "uint8")


@pytest.mark.parametrize(
    ("kind", "tolerance", "share"),
    [("float32", 1e-5, 1.0), ("float16", 1e-2, 0.55), ("dynamic", 0.2, 0.35), ("int8", 0.25, 0.35)],
)
def test_every_kind_has_the_models_predictions(exported, kind, tolerance, share):
    model, folder = exported
    images, _ = digits.load("test")
    predictor = load_predictor(folder / f"{kind}.tflite")
    expected = model.predict(images[:100], verbose=0)
    np.testing.assert_allclose(predictor.predict(images[:100]), expected, atol=tolerance)
    sizes = [(folder / f"{name}.tflite").stat().st_size for name in (kind, "float32")]
    assert sizes[0] <= share * sizes[1]
    assert predictor.class_names == NAMES
    assert predictor.spec == InputSpec(8, 3)


@pytest.mark.parametrize("kind", ["float32", "float16", "dynamic", "int8"])
def test_builtin_operations_and_one_signature_with_names(exported, kind):
    path = exported[1] / f"{kind}.tflite"
    operations = _operations(path)
    assert not [name for name in operations if name.startswith("Flex") or name == "CUSTOM"]
    # Batch normalization is folded into the convolutions.
    assert not {"MUL", "RSQRT", "SUB", "BATCH_NORM"} & set(operations)
    interpreter = Interpreter(str(path))
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}
    }
    (image,) = interpreter.get_input_details()
    assert image["shape"].tolist() == image["shape_signature"].tolist() == [1, 8, 8, 3]
    assert image["dtype"] == np.uint8


def test_int8_is_integer_throughout_and_takes_pixels_as_they_are(exported):
    interpreter = Interpreter(str(exported[1] / "int8.tflite"))
    types = {tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    assert types <= {np.uint8, np.int8, np.int32}
    assert interpreter.get_input_details()[0]["quantization"] == (1.0, 0)
    assert interpreter.get_output_details()[0]["quantization"] == (1 / 256, 0)
    kernels = [
        tensor["quantization_parameters"]["scales"]
        for tensor in interpreter.get_tensor_details()
        if tensor["name"].startswith("conv4_block1_2_conv") and tensor["dtype"] == np.int8
    ]
    assert max(map(len, kernels)) == 64  # a scale for each channel


def test_same_weights_give_the_same_bytes(exported, tmp_path):
    model, folder = exported
    for kind in ("float32", "int8"):
        calibration = _calibration() if kind == "int8" else None
        again = tmp_path / "again.tflite"
        export.export_tflite(model, again, kind=kind, class_names=NAMES, calibration=calibration)
        digests = [hashlib.sha256(path.read_bytes()).digest() for path in (again, folder / f"{kind}.tflite")]
        assert digests[0] == digests[1]


def _tensor_names(path):
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graphs = [model.Subgraphs(index) for index in range(model.SubgraphsLength())]
    return [
        graph.Tensors(index).Name().decode() for graph in graphs for index in range(graph.TensorsLength())
    ]


@pytest.fixture(scope="module")
def layers_of():
    """Models with the layers of real ones by depth; ResNet-50 with few filters, which do not change names."""
    narrow = dataclasses.replace(architectures.get_architecture(50), filters=(4, 8, 8, 8))
    return {20: trained_model(architectures.get_architecture(20)), 50: trained_model(narrow, 32, 3)}


@pytest.mark.parametrize("kind", ["float32", slow("float16"), slow("dynamic"), "int8"])
@pytest.mark.parametrize("depth", [20, slow(50)])
def test_every_tensor_has_a_name_of_its_own(layers_of, depth, kind, tmp_path):
    """Other tools refuse files in which two tensors share one."""
    model = layers_of[depth]
    calibration = _images(*model.inputs[0].shape[2:]) if kind == "int8" else None
    export.export_tflite(model, tmp_path / "net.tflite", kind=kind, calibration=calibration)
    names = _tensor_names(tmp_path / "net.tflite")
    assert len(names) > depth
    assert len(names) == len(set(names))
    assert all(name.isprintable() and ";" not in name for name in names)
    # Named after the layers.
    last = {20: "conv4_block3_2_conv", 50: "conv5_block3_3_conv"}[depth]
    assert any(name.startswith(last) for name in names)


def test_buffers_are_aligned_as_the_schema_asks(exported):
    from tensorflow.lite.python import schema_py_generated as schema

    content = (exported[1] / "float32.tflite").read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    places = []
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            places.append(buffer._tab.Vector(buffer._tab.Offset(4)))
    assert len(places) > 10
    assert {place % 16 for place in places} == {0}


@pytest.mark.parametrize("kind", [slow("float32"), "int8"])
@pytest.mark.parametrize(
    "name",
    ["plain", slow("C"), slow("bottleneck-A"), slow("bottleneck-v1.5"), "imagenet-stem"],
)
def test_every_architecture_is_converted(name, kind, tmp_path):
    size = max(ARCHITECTURES[name].total_stride, 8)
    model = trained_model(ARCHITECTURES[name], size, 3)
    images = _images(size, 3)
    export.export_tflite(
        model, tmp_path / "net.tflite", kind=kind, calibration=[images] if kind == "int8" else None
    )
    expected = model.predict(images, verbose=0)
    probabilities = load_predictor(tmp_path / "net.tflite").predict(images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4 if kind == "float32" else 0.15)


@pytest.mark.parametrize("policy", [slow("mixed_bfloat16"), "mixed_float16"])
def test_a_model_of_mixed_precision_becomes_a_float32_file(policy, tmp_path):
    model = trained_model(ARCHITECTURES["A"], policy=policy)
    plain = trained_model(ARCHITECTURES["A"])
    plain.set_weights(model.get_weights())
    export.export_tflite(model, tmp_path / "net.tflite")
    images = digits.load("test")[0][:8]
    probabilities = load_predictor(tmp_path / "net.tflite").predict(images)
    np.testing.assert_allclose(probabilities, plain.predict(images, verbose=0), atol=1e-5)


def test_a_gray_model_gets_the_gray_of_colors(exported):
    """As Pillow and JPEG decoders turn colors into gray (ITU-R BT.601)."""
    model, folder = exported
    colors = _images(8, 3)
    gray = (colors @ np.array([0.299, 0.587, 0.114]))[..., None].astype("float32")
    floats = keras.models.clone_model(model, keras.Input((8, 8, 1), name="image"))
    floats.set_weights(model.get_weights())
    probabilities = load_predictor(folder / "float32.tflite").predict(colors)
    np.testing.assert_allclose(probabilities, floats.predict(gray, verbose=0), atol=1e-4)


def test_a_larger_batch_size(exported, tmp_path):
    model, _ = exported
    export.export_tflite(model, tmp_path / "net.tflite", batch_size=4)
    run = Interpreter(str(tmp_path / "net.tflite")).get_signature_runner()
    images = digits.load("test")[0][:4]
    probabilities = run(image=np.repeat(images, 3, -1))["probabilities"]
    np.testing.assert_allclose(probabilities, model.predict(images, verbose=0), atol=1e-5)


_INTERPRETER_ONLY = """
import json, sys
for name in ("keras_resnet", "keras", "tensorflow"):
    sys.modules[name] = None  # an import of it fails
import numpy as np
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(sys.argv[1]).get_signature_runner()
print(json.dumps([run(image=image[None])["probabilities"][0].tolist() for image in np.load(sys.argv[2])]))
"""


def test_a_file_needs_only_the_interpreter(exported, tmp_path):
    model, folder = exported
    images = digits.load("test")[0][:5]
    np.save(tmp_path / "images.npy", np.repeat(images, 3, -1))
    command = [sys.executable, "-c", _INTERPRETER_ONLY, folder / "float32.tflite", tmp_path / "images.npy"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    probabilities = json.loads(result.stdout.splitlines()[-1])
    np.testing.assert_allclose(probabilities, model.predict(images, verbose=0), atol=1e-5)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_mediapipe_names_the_classes(exported, kind):
    """The library that Android and iOS developers use, without any further configuration."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions

    _, folder = exported
    path = folder / f"{kind}.tflite"
    images = np.repeat(digits.load("test")[0][:10], 3, -1)
    expected = load_predictor(path).predict(images)
    options = ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(path)))
    with ImageClassifier.create_from_options(options) as classifier:
        for image, probabilities in zip(images, expected, strict=True):
            result = classifier.classify(mediapipe.Image(mediapipe.ImageFormat.SRGB, image))
            scores = {
                category.category_name: category.score for category in result.classifications[0].categories
            }
            assert scores.keys() == set(NAMES)
            np.testing.assert_allclose([scores[name] for name in NAMES], probabilities, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "parameter", "value"),
    [
        ({"kind": "int4"}, "kind", "int4"),
        ({"kind": "int8"}, "calibration", None),
        ({"calibration": [np.zeros((1, 8, 8, 1))]}, "calibration", None),
        ({"class_names": ["one"]}, "class_names", None),
        ({"class_names": ["two\nlines"] * 10}, "class_names", r"'two\nlines'"),
        ({"batch_size": 0}, "batch_size", 0),
        (
            {"kind": "int8", "batch_size": 9, "calibration": [np.zeros((8, 8, 8, 1), "uint8")]},
            "calibration",
            None,
        ),
    ],
    ids=["kind", "no calibration", "useless calibration", "names", "lines", "batch", "too few"],
)
def test_wrong_arguments_are_refused(exported, tmp_path, options, parameter, value):
    with refused(parameter, value):
        export.export_tflite(exported[0], tmp_path / "net.tflite", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(None, None, 3), (8, 6, 3), (8, 8, 4)], ids=str)
def test_a_model_of_other_images_is_refused(tmp_path, shape):
    image = keras.Input(shape)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image), name="other")
    with refused("model", "other"):
        export.export_tflite(model, tmp_path / "net.tflite")


@keras.saving.register_keras_serializable("tests")
class _Unconvertible(keras.layers.Layer):
    def call(self, x):
        import tensorflow as tf

        return tf.ensure_shape(tf.py_function(lambda value: value, [x], tf.float32), x.shape)

    def compute_output_shape(self, shape):
        return shape


def test_the_error_of_the_converter_is_passed_on(tmp_path):
    image = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(_Unconvertible()(image))
    model = keras.Model(image, keras.layers.Softmax()(pooled), name="odd")
    with pytest.raises(UserError) as caught:
        export.export_tflite(model, tmp_path / "net.tflite")
    assert (caught.value.parameter, caught.value.value) == ("model", "odd")
    assert "PyFunc" in caught.value.reason
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "float16", "dynamic", "int8"])
@pytest.mark.parametrize(
    ("architecture", "size", "policy"),
    [
        (architectures.cifar_architecture(20), 32, None),
        (architectures.cifar_architecture(20, shortcut=None), 32, None),
        (architectures.cifar_architecture(20, shortcut="C"), 32, None),
        (architectures.cifar_architecture(20), 32, "mixed_bfloat16"),
        (architectures.IMAGENET[18], 224, None),
        (architectures.get_architecture(50, variant="v1.5"), 224, None),
    ],
    ids=["resnet20-A", "plain20", "resnet20-C", "resnet20-bfloat16", "resnet18-B", "resnet50-v1.5"],
)
def test_real_architectures_in_every_kind(architecture, size, policy, kind, tmp_path):
    """On photographs: images of noise are so alike to a model that integers cannot tell them apart."""
    images = _photographs(size, 16)
    model = trained_model(architecture, size, 3, policy, images)
    export.export_tflite(
        model, tmp_path / "net.tflite", kind=kind, calibration=[images] if kind == "int8" else None
    )
    float32 = trained_model(architecture, size, 3, images=images)
    float32.set_weights(model.get_weights())
    expected = float32.predict(images, verbose=0)
    probabilities = load_predictor(tmp_path / "net.tflite").predict(images)
    names = _tensor_names(tmp_path / "net.tflite")
    assert len(names) == len(set(names))
    tolerances = {"float32": 1e-3, "float16": 0.02, "dynamic": 0.3, "int8": 0.4}
    np.testing.assert_allclose(probabilities, expected, atol=tolerances[kind])
