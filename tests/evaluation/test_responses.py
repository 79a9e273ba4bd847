import keras
import numpy as np
import pytest
from helpers.errors import refused
from helpers.nets import ARCHITECTURES, trained_model

from keras_resnet.data.sources import digits
from keras_resnet.evaluation import layer_responses
from keras_resnet.models.architectures import cifar_architecture

IMAGES = digits.load("train")[0][:90]


@pytest.mark.parametrize("name", ["A", "bottleneck-A"])
def test_responses_are_standard_deviations_behind_bn(name):
    model = trained_model(ARCHITECTURES[name])
    responses = layer_responses(model, np.split(IMAGES, [40, 80]))
    for response in responses:
        bn = response.layer.replace("_conv", "_bn")
        tapped = keras.Model(model.inputs, model.get_layer(bn).output)
        values = tapped.predict(IMAGES, verbose=0)
        assert response.std == pytest.approx(values.std(dtype="float64"), rel=1e-4)
    per_block = {"A": 2, "bottleneck-A": 1}[name]  # 3x3 layers
    assert len(responses) == 1 + per_block * sum(ARCHITECTURES[name].blocks_per_stage)


def test_cifar_models_have_one_response_per_layer():
    """As Fig. 7 counts: every layer but the classifier."""
    model = trained_model(cifar_architecture(14))
    assert len(layer_responses(model, [IMAGES[:4]])) == 13


def test_models_and_batches_without_a_response_are_refused():
    with refused("batches"):
        layer_responses(trained_model(ARCHITECTURES["A"]), [])
    plain = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)], name="plain")
    with refused("model", "plain"):
        layer_responses(plain, [IMAGES])
