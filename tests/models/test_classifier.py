import keras
import numpy as np
from helpers.errors import refused

from keras_resnet.models import architectures
from keras_resnet.models.classifier import build_classifier


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with refused("image_data_format", "channels_first"):
            build_classifier(
                architectures.cifar_architecture(8), (8, 8, 1), 10, np.zeros((8, 8, 1), "float32")
            )
    finally:
        keras.config.set_image_data_format("channels_last")


def test_drop_path_reaches_the_blocks():
    mean = np.zeros((8, 8, 1), "float32")
    architecture = architectures.cifar_architecture(8)
    model = build_classifier(architecture, (8, 8, 1), 10, mean, drop_path=0.3)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    np.testing.assert_allclose(rates, [0.15, 0.3])
    plain = build_classifier(architecture, (8, 8, 1), 10, mean)
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.Dropout)]


def test_images_need_not_be_square():
    mean = np.zeros(3, "float32")
    model = build_classifier(architectures.cifar_architecture(8), (8, 12, 3), 5, mean)
    assert model.input_shape == (None, 8, 12, 3)
    assert model.predict(np.zeros((2, 8, 12, 3), "uint8"), verbose=0).shape == (2, 5)
