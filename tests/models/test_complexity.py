import keras
from helpers.errors import refused

from keras_resnet.models import constructors
from keras_resnet.models.complexity import complexity


def test_a_model_for_any_size_is_counted_at_a_requested_size():
    model = constructors.CifarResNet(8, input_shape=(None, None, 3))
    with refused("input_shape") as caught:
        complexity(model)
    assert "conv1_conv" in caught.value.reason
    assert complexity(model, (32, 32, 3)).macs == complexity(constructors.CifarResNet(8)).macs


def test_a_layer_with_unknown_multiply_adds_is_named():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2DTranspose(2, 3, name="up")(image))
    with refused("model") as caught:
        complexity(model)
    assert "up (Conv2DTranspose)" in caught.value.reason
