import keras
import pytest

from keras_resnet.models import resnet
from keras_resnet.models.complexity import complexity


def test_a_net_for_any_size_is_counted_at_a_size_that_is_given():
    net = resnet.CifarResNet(8, input_shape=(None, None, 3))
    with pytest.raises(
        ValueError, match=r"The output of conv1_conv has no fixed size: .*give complexity\(\)"
    ):
        complexity(net)
    assert complexity(net, (32, 32, 3)).macs == complexity(resnet.CifarResNet(8)).macs


def test_a_layer_whose_work_is_not_known_is_named():
    image = keras.Input((8, 8, 3))
    net = keras.Model(image, keras.layers.Conv2DTranspose(2, 3, name="up")(image))
    with pytest.raises(
        ValueError, match=r"multiply-adds of up \(Conv2DTranspose\) are not known; give a net"
    ):
        complexity(net)
