"""Small models of every kind, with weights as training leaves them."""

import keras
import numpy as np

from keras_resnet.models.architectures import Architecture, cifar_architecture
from keras_resnet.models.classifier import build_classifier

# A stage more than the paper's small architectures, so that one model has every kind of block at a test's
# price.
ARCHITECTURES = {
    "A": cifar_architecture(8),
    "plain": cifar_architecture(8, shortcut=None),
    "C": cifar_architecture(8, shortcut="C"),
    "bottleneck-A": Architecture("small", (1, 1), (8, 16), block="bottleneck", stem="cifar", shortcut="A"),
    "bottleneck-v1.5": Architecture(
        "small", (1, 1), (8, 16), block="bottleneck", stem="cifar", variant="v1.5"
    ),
    "imagenet-stem": Architecture("small", (1, 1), (8, 16)),
}


def trained_model(architecture, size=8, channels=1, policy=None, images=None):
    """Returns a model with BN statistics unlike initial ones, and with probabilities between 0 and 1.

    Args:
        images: for which the predictions differ, (n, size, size, channels) uint8; by default noise.
    """
    keras.utils.set_random_seed(0)
    mean = np.full((size, size, channels), 100.0, "float32")
    model = build_classifier(architecture, (size, size, channels), 10, mean, policy)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(random.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(random.uniform(0.5, 2, layer.moving_variance.shape))
    # Predictions that differ from image to image: logits of mean 0 and standard deviation 2.
    if images is None:
        images = random.integers(0, 256, (8, size, size, channels), "uint8")
    features = keras.Model(model.inputs, model.get_layer("avg_pool").output).predict_on_batch(images)
    head = model.get_layer("predictions")
    logits = features.astype("float32") @ keras.ops.convert_to_numpy(head.kernel)
    scale = 2 / logits.std(axis=0)
    head.set_weights([head.get_weights()[0] * scale, (-logits.mean(axis=0) * scale).astype("float32")])
    return model
