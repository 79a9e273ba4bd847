"""Small nets of every kind, as training leaves them."""

import keras
import numpy as np

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


def trained(net, size=8, channels=1, policy=None, images=None):
    """A net whose BN statistics are those of no fresh net, and whose answers are not all sure.

    Args:
        images: whose answers differ; by default noise, (n, size, size, channels) uint8.
    """
    keras.utils.set_random_seed(0)
    mean = np.full((size, size, channels), 100.0, "float32")
    model = build_classifier(net, size, channels, 10, mean, policy)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(random.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(random.uniform(0.5, 2, layer.moving_variance.shape))
    # Answers that differ from image to image: logits of mean 0 and deviation 2.
    if images is None:
        images = random.integers(0, 256, (8, size, size, channels), "uint8")
    features = keras.Model(model.inputs, model.get_layer("avg_pool").output).predict_on_batch(images)
    classifier = model.get_layer("predictions")
    logits = features.astype("float32") @ keras.ops.convert_to_numpy(classifier.kernel)
    scale = 2 / logits.std(axis=0)
    classifier.set_weights(
        [classifier.get_weights()[0] * scale, (-logits.mean(axis=0) * scale).astype("float32")]
    )
    return model
