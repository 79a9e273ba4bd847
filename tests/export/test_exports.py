import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_resnet.data import digits
from keras_resnet.export.check import check_exports
from keras_resnet.export.saved_model import export_saved_model
from keras_resnet.export.tflite import export_tflite
from keras_resnet.models import architectures
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.classifier import build_classifier

# A stage more than the paper's small nets, so that one net has every kind of block at a test's price.
NETS = {
    "A": architectures.cifar(8),
    "plain": architectures.cifar(8, shortcut=None),
    "C": architectures.cifar(8, shortcut="C"),
    "bottleneck-A": Architecture("small", (1, 1), (8, 16), block="bottleneck", stem="cifar", shortcut="A"),
    "bottleneck-v1.5": Architecture(
        "small", (1, 1), (8, 16), block="bottleneck", stem="cifar", variant="v1.5"
    ),
    "imagenet-stem": Architecture("small", (1, 1), (8, 16)),
}


def _classifier(net, size=8, channels=1):
    """A net whose BN statistics are those of no fresh net, as after training."""
    keras.utils.set_random_seed(0)
    mean = np.full((size, size, channels), 100.0, "float32")
    model = build_classifier(net, size, channels, 10, mean)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(random.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(random.uniform(0.5, 2, layer.moving_variance.shape))
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    model = _classifier(NETS["A"])
    export_saved_model(model, folder / "saved_model")
    export_tflite(model, folder / "model.tflite")
    return model, folder


def _batches():
    images, labels = digits.load("test")
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(128)


def test_files_give_the_models_probabilities(exported):
    model, folder = exported
    count, parities = check_exports(model, folder / "saved_model", folder / "model.tflite", _batches())
    assert count == 355
    assert [parity.file for parity in parities] == ["cifar_resnet8", "saved_model", "model.tflite"]
    images, labels = digits.load("test")
    accuracy = np.mean(model.predict(images, verbose=0).argmax(-1) == labels)
    for parity in parities:
        assert parity.accuracy == pytest.approx(accuracy)
        assert parity.difference < 1e-4


@pytest.mark.parametrize("factor", [1.2, np.nan])
def test_file_of_another_net_does_not_pass(exported, tmp_path, factor):
    model, folder = exported
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    classifier = other.get_layer("predictions")
    classifier.kernel.assign(classifier.kernel * factor)
    export_tflite(other, tmp_path / "model.tflite")
    with pytest.raises(RuntimeError, match=r"model\.tflite differs from the model"):
        check_exports(model, folder / "saved_model", tmp_path / "model.tflite", _batches())


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_tflite_has_builtin_operations_and_a_batch_of_one(net, tmp_path):
    size = max(net.total_stride, 8)
    model = _classifier(net, size, 3)
    export_tflite(model, tmp_path / "model.tflite")
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    (image,) = interpreter.get_input_details()
    assert image["shape"].tolist() == image["shape_signature"].tolist() == [1, size, size, 3]
    assert image["dtype"] == np.uint8
    operations = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert "CONV_2D" in operations
    assert not [name for name in operations if name.startswith("Flex") or name == "CUSTOM"]
    images = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), "uint8")
    run = interpreter.get_signature_runner()
    outputs = [
        next(iter(run(**{next(iter(run.get_input_details())): image[None]}).values())) for image in images
    ]
    np.testing.assert_allclose(np.concatenate(outputs), model.predict(images, verbose=0), atol=1e-4)


def test_saved_model_takes_any_batch(exported):
    model, folder = exported
    loaded = tf.saved_model.load(folder / "saved_model")
    signature = loaded.signatures["serving_default"]
    images, _ = digits.load("test")
    for count in (1, 7):
        (output,) = signature(tf.constant(images[:count])).values()
        np.testing.assert_allclose(output, model.predict(images[:count], verbose=0), atol=1e-6)


_STRANGER = """
import json, sys
sys.modules["keras_resnet"] = None  # an import of it fails
sys.modules["keras"] = None
import numpy as np
folder, images = sys.argv[1], np.load(sys.argv[2])
if sys.argv[3] == "saved_model":
    import tensorflow as tf
    net = tf.saved_model.load(folder + "/saved_model")
    output = net.serve(images).numpy()
else:
    sys.modules["tensorflow"] = None
    from ai_edge_litert.interpreter import Interpreter
    run = Interpreter(folder + "/model.tflite").get_signature_runner()
    (name,) = run.get_input_details()
    output = np.concatenate([next(iter(run(**{name: image[None]}).values())) for image in images])
print(json.dumps(output.tolist()))
"""


@pytest.mark.parametrize("file", ["saved_model", "model.tflite"])
def test_files_load_without_this_package(exported, tmp_path, file):
    model, folder = exported
    images = digits.load("test")[0][:5]
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", _STRANGER, folder, tmp_path / "images.npy", file]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    output = json.loads(result.stdout.splitlines()[-1])
    np.testing.assert_allclose(output, model.predict(images, verbose=0), atol=1e-5)


def test_tflite_of_no_fixed_size_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match="any size"):
        export_tflite(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())
