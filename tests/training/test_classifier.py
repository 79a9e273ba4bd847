import keras
import numpy as np
import pytest

from keras_resnet.errors import UserError
from keras_resnet.models import architectures
from keras_resnet.training.classifier import build_classifier


def test_channels_first_is_refused_in_a_sentence():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(UserError, match=r'channels_first.*write "channels_last" into keras\.json\.$'):
            build_classifier(architectures.cifar(8), 8, 1, 10, np.zeros((8, 8, 1), "float32"))
    finally:
        keras.config.set_image_data_format("channels_last")
