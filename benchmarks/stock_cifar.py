"""The paper's CIFAR network in Keras' own layers (section 4.2, option A), as a user would write it."""

import keras
from keras import layers


def cifar_resnet(depth: int, classes: int = 10) -> keras.Model:
    def conv_bn(x, filters, stride=1):
        x = layers.Conv2D(filters, 3, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
        return layers.BatchNormalization()(x)

    x = inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(conv_bn(x, 16))
    for filters in (16, 32, 64):
        for i in range((depth - 2) // 6):
            shortcut, stride = x, 2 if filters > 16 and i == 0 else 1
            x = layers.ReLU()(conv_bn(x, filters, stride))
            x = conv_bn(x, filters)
            if stride == 2:
                shortcut = layers.Lambda(
                    lambda x, new: keras.ops.pad(x[:, ::2, ::2], [(0, 0), (0, 0), (0, 0), (0, new)]),
                    arguments={"new": filters // 2},
                )(shortcut)
            x = layers.ReLU()(layers.Add()([shortcut, x]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, "softmax")(x))
