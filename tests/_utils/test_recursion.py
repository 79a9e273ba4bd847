"""The paper's deepest net, 1202 layers (section 4.2), from its first step to its files."""

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet import export
from keras_resnet.models import architectures
from keras_resnet.models.classifier import build_classifier
from keras_resnet.training.engines import default_engine
from keras_resnet.training.recipes import RECIPES

RNG = np.random.default_rng(0)


@pytest.mark.slow
def test_1202_layers_train_save_load_fold_and_export(tmp_path):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    net = build_classifier(
        architectures.cifar_architecture(1202), (32, 32, 3), 10, np.full((32, 32, 3), 128, "float32")
    )
    # Table 6 says 19.4M.
    assert round(keras_resnet.complexity(net).parameters / 1e6, 1) == 19.4
    images, labels = RNG.integers(0, 256, (2, 32, 32, 3), dtype="uint8"), np.array([3, 7])
    before = net.get_layer("conv4_block200_2_conv").get_weights()[0]
    loss, *_ = (
        default_engine()
        .make_steps(net, RECIPES["cifar110"])
        .train_step(tf.constant(images), tf.constant(labels))
    )
    assert np.isfinite(loss)
    assert not np.array_equal(net.get_layer("conv4_block200_2_conv").get_weights()[0], before)

    # Averages as of a trained net: those it was born with let 600 blocks add up to infinity.
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, 50, "float32"))
    expected = net.predict_on_batch(images)
    assert np.isfinite(expected).all()

    net.save(tmp_path / "model.keras")
    again = keras_resnet.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict_on_batch(images), expected, atol=1e-6)
    folded = keras_resnet.fold_batch_norm(net)
    np.testing.assert_allclose(folded.predict_on_batch(images), expected, atol=1e-4)
    export.export_saved_model(net, tmp_path / "saved_model")
    served = tf.saved_model.load(str(tmp_path / "saved_model"))
    np.testing.assert_allclose(served.serve(images)["probabilities"], expected, atol=1e-4)
    export.export_tflite(net, tmp_path / "model.tflite")
    run = Interpreter(str(tmp_path / "model.tflite")).get_signature_runner()
    np.testing.assert_allclose(run(image=images[:1])["probabilities"], expected[:1], atol=1e-4)
