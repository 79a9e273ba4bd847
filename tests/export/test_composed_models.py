"""Files of models with operations, nested models and layers of others in their graph."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from helpers.errors import refused
from helpers.marks import slow

from keras_resnet import CifarResNet, export
from keras_resnet.evaluation import grad_cam
from keras_resnet.inference import load_predictor
from keras_resnet.models.preprocessing import preprocess_input

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), "uint8")


_SMALL = {"input_shape": (8, 8, 3), "classes": 4}


def _adapted(layer):
    layer.adapt(IMAGES.astype("float32"))
    return layer


def _composed(policy="float32"):
    """Two networks of the same layers on an image that operations and an adapted layer prepare."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input((8, 8, 3))
        left = keras.Sequential(
            [_adapted(keras.layers.Normalization()), CifarResNet(8, name="net", **_SMALL)]
        )
        right = CifarResNet(8, name="right", **_SMALL)
        outputs = [left(image), right(preprocess_input(image) / 128.0)]
        model = keras.Model(image, keras.layers.Average(dtype="float32")(outputs), name="composed")
    finally:
        keras.config.set_dtype_policy("float32")
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(layer.moving_variance * 2)
    return model


def _expected(model):
    return np.asarray(model(IMAGES.astype("float32"), training=False))


@pytest.fixture(scope="module")
def model():
    return _composed()


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("float32", 1e-5), slow("float16", 1e-2), slow("dynamic", 0.1), ("int8", 0.1)]
)
def test_every_kind_of_tflite_file_predicts_as_the_model_and_has_each_name_once(
    model, kind, tolerance, tmp_path
):
    path = tmp_path / "net.tflite"
    export.export_tflite(model, path, kind=kind, calibration=IMAGES if kind == "int8" else None)
    np.testing.assert_allclose(load_predictor(path).predict(IMAGES), _expected(model), atol=tolerance)
    interpreter = Interpreter(str(path))
    operations = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert not {"RSQRT", "BATCH_NORM"} & operations
    names = [tensor["name"] for tensor in interpreter.get_tensor_details() if tensor["name"]]
    assert len(names) > 20
    assert len(names) == len(set(names))


@pytest.mark.parametrize("policy", [slow("float32"), slow("mixed_bfloat16")])
def test_a_saved_model_predicts_as_the_model(policy, tmp_path):
    model = _composed(policy)
    export.export_saved_model(model, tmp_path / "net")
    tolerance = 1e-5 if policy == "float32" else 2e-2
    predictor = load_predictor(tmp_path / "net")
    np.testing.assert_allclose(predictor.predict(IMAGES), _expected(model), atol=tolerance)


def test_a_saved_and_loaded_model_predicts_as_before(model, tmp_path):
    model.save(tmp_path / "net.keras")
    predictor = load_predictor(tmp_path / "net.keras")
    np.testing.assert_allclose(predictor.predict(IMAGES), _expected(model), atol=1e-5)


def test_a_saved_and_loaded_model_is_explained(tmp_path):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, CifarResNet(8, **_SMALL)(preprocess_input(image) / 128.0))
    model.save(tmp_path / "net.keras")
    loaded = load_predictor(tmp_path / "net.keras").model
    np.testing.assert_allclose(grad_cam(loaded, IMAGES), grad_cam(model, IMAGES), rtol=1e-4, atol=1e-6)


def _classified(x):
    return keras.layers.Dense(4, "softmax")(keras.layers.GlobalAveragePooling2D()(x))


def test_lookup_tables_are_in_a_saved_model(tmp_path):
    image = keras.Input((8, 8, 3))
    lookup = keras.layers.IntegerLookup()
    lookup.adapt(IMAGES.astype("int64").ravel()[:300])
    found = keras.ops.cast(lookup(keras.ops.cast(image, "int64")), "float32")
    model = keras.Model(image, _classified(found / 200.0), name="table")
    export.export_saved_model(model, tmp_path / "net")
    np.testing.assert_allclose(load_predictor(tmp_path / "net").predict(IMAGES), _expected(model), atol=1e-5)


def test_operations_that_tflite_has_not_are_named_in_a_short_message(tmp_path):
    image = keras.Input((8, 8, 3), dtype="uint8")
    model = keras.Model(image, _classified((image * 2) / 255), name="bytes")
    with refused("model", "bytes") as caught:
        export.export_tflite(model, tmp_path / "net.tflite")
    assert "tf.Mul" in caught.value.reason
    assert len(str(caught.value)) < 500


def test_a_quantized_layer_that_tflite_has_not_is_refused_with_the_cure(tmp_path):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, _classified(image / 255.0), name="quantized")
    model.quantize("int8", filters=lambda layer: isinstance(layer, keras.layers.Dense))
    with refused("model", "quantized") as caught:
        export.export_tflite(model, tmp_path / "net.tflite")
    assert "kind=int8" in caught.value.reason
