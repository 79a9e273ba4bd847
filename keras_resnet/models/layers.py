"""The layers of all models here; epsilon, momentum, initializer and padding are defined here alone."""

import keras

from keras_resnet.models.batch_norm import BatchNormalization

# The values of the authors' released models and of torchvision. Keras' momentum is one minus PyTorch's: 0.9
# here is 0.1 there.
BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.9

# oneDNN's gradient of a strided 1x1 convolution writes past its buffer where the input has fewer channels
# than a vector of the CPU (8 numbers with AVX2, 16 with AVX-512): wrong gradients without an error (oneDNN
# issue 6035, TensorFlow 2.21). With a pool before it that takes every stride-th position, such a convolution
# computes the same at stride 1.
_MIN_STRIDED_CHANNELS = 16


def he_normal() -> keras.initializers.Initializer:
    """Returns the paper's initializer, a Gaussian of variance 2 / fan_in (section 3.4, reference 13).

    Keras' own `he_normal` truncates the Gaussian at two standard deviations; the paper does not.
    """
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def channel_axis() -> int:
    """Returns the channel axis of an image tensor in Keras' global data format."""
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def conv(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    use_bias: bool = False,
    name: str,
) -> keras.KerasTensor:
    """Applies a convolution.

    Shapes: (N, H, W, C) -> (N, ceil(H/stride), ceil(W/stride), filters), for odd kernel sizes.
    The layer is called `{name}_conv`; before it there is `{name}_pad` or, for a strided 1x1 convolution of a
    narrow input, `{name}_pool`.

    Raises:
        ValueError: both a stride and a dilation are larger than 1.
    """
    padding = "same"
    if stride > 1:
        # The paper's Caffe models and torchvision pad by k // 2 on every side. At stride 2, TensorFlow's
        # "same" pads even sizes on one side only: the shapes are the same, but ported weights would be
        # applied to an image shifted by a pixel. At stride 1 the two agree at any dilation (d * (k // 2) on
        # every side), and no extra layer is needed.
        padding = "valid"
        if kernel_size > 1:
            x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
        elif x.shape[channel_axis()] < _MIN_STRIDED_CHANNELS:
            x = keras.layers.AveragePooling2D(1, strides=stride, name=f"{name}_pool")(x)
            stride = 1
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding=padding,
        dilation_rate=dilation,
        groups=groups,
        use_bias=use_bias,
        kernel_initializer=he_normal(),
        name=f"{name}_conv",
    )(x)


def conv_bn(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    activation: str | None = "relu",
    name: str,
) -> keras.KerasTensor:
    """Applies a convolution without bias, batch normalization and an activation (section 3.4).

    Shapes, layers and errors are those of `conv`; behind it there are `{name}_bn` and, with an activation,
    `{name}_{activation}`.
    """
    x = conv(x, filters, kernel_size, stride=stride, dilation=dilation, groups=groups, name=name)
    return bn(x, activation=activation, name=name)


def dense_bn(
    x: keras.KerasTensor, units: int, *, activation: str | None = "relu", name: str
) -> keras.KerasTensor:
    """Applies a fully connected layer without bias, batch normalization and an activation.

    `conv_bn` for feature vectors.

    Shapes: (N, C) -> (N, units). The layers are called `{name}_dense`, `{name}_bn`, `{name}_{activation}`.
    """
    x = keras.layers.Dense(units, use_bias=False, kernel_initializer=he_normal(), name=f"{name}_dense")(x)
    return bn(x, activation=activation, name=name)


def bn(x: keras.KerasTensor, *, activation: str | None = "relu", name: str) -> keras.KerasTensor:
    """Applies batch normalization and an activation, called `{name}_bn` and `{name}_{activation}`.

    Shapes: (N, H, W, C) or (N, C) -> the same.
    """
    x = BatchNormalization(
        axis=channel_axis() if len(x.shape) == 4 else -1,
        momentum=BATCH_NORM_MOMENTUM,
        epsilon=BATCH_NORM_EPSILON,
        name=f"{name}_bn",
    )(x)
    if activation is not None:
        x = keras.layers.Activation(activation, name=f"{name}_{activation}")(x)
    return x


@keras.saving.register_keras_serializable("keras_resnet")
class ZeroPaddingShortcut(keras.layers.Layer):
    """Takes every stride-th position of the input, with zeros as its new channels (option A, section 3.3).

    Has no parameters and takes no multiply-adds. The zeros come after the input's own channels.

    Shapes: (N, H, W, C) -> (N, ceil(H/stride), ceil(W/stride), filters), or (N, C) -> (N, filters) at
    stride 1.
    """

    def __init__(self, filters: int, stride: int = 1, data_format: str | None = None, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.stride = stride
        self.data_format = data_format or keras.config.image_data_format()

    def _axis(self, rank: int) -> int:
        return rank - 1 if self.data_format == "channels_last" else 1

    def call(self, x):
        rank = len(x.shape)
        axis = self._axis(rank)
        if self.stride > 1:
            # An average pool of one pixel; a strided slice and its gradient take three times as long.
            x = keras.ops.average_pool(x, 1, self.stride, data_format=self.data_format)
        new = self.filters - x.shape[axis]
        return keras.ops.pad(x, [(0, new if i == axis else 0) for i in range(rank)])

    def compute_output_shape(self, input_shape):
        axis = self._axis(len(input_shape))
        return tuple(
            size if i == 0 else self.filters if i == axis else ceil_divide(size, self.stride)
            for i, size in enumerate(input_shape)
        )

    def get_config(self):
        own = {"filters": self.filters, "stride": self.stride, "data_format": self.data_format}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("keras_resnet")
class MeanSubtraction(keras.layers.Layer):
    """Subtracts the mean over the training images from plain pixels (sections 3.4 and 4.2).

    It is part of the model, so that callers pass plain pixels (0..255, integers or floats) and cannot
    preprocess them wrongly. The mean is a weight, saved with the others; set it with
    `layer.mean.assign(value)`. For images of another size than its own, a mean per pixel is resized:
    bilinear, without antialiasing.

    Shapes: (N, H, W, C) -> the same. Channels come last, whatever Keras' global data format is.

    Args:
        mean_shape: (H, W, C) for a mean per pixel, (C,) for a mean per channel.
    """

    def __init__(self, mean_shape: tuple[int, ...], **kwargs):
        # Keras would round the pixels to a half type before the mean is subtracted, bfloat16 to integers.
        super().__init__(autocast=False, **kwargs)
        self.mean_shape = tuple(mean_shape)

    def build(self, input_shape):
        self.mean = self.add_weight(
            shape=self.mean_shape, initializer="zeros", trainable=False, autocast=False, name="mean"
        )

    def call(self, x):
        mean = self.mean
        if len(self.mean_shape) == 3 and tuple(x.shape[1:3]) != self.mean_shape[:2]:
            mean = _resize(mean, keras.ops.shape(x)[1:3])
        # In the type of the mean: a half type would round it, bfloat16 to integers.
        difference = keras.ops.cast(x, self.variable_dtype) - mean
        return keras.ops.cast(difference, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "mean_shape": self.mean_shape}


def _resize(image: keras.Variable, size: tuple) -> object:
    """Resizes an image (H, W, C) bilinearly to a height and width that may be tensors.

    Keras' own resize does not take tensors as sizes.
    """
    for axis, new in enumerate(size):
        old = image.shape[axis]
        steps = keras.ops.cast(keras.ops.arange(new), "float32") + 0.5
        places = keras.ops.clip(steps * (old / keras.ops.cast(new, "float32")) - 0.5, 0, old - 1)
        distances = keras.ops.abs(places[:, None] - keras.ops.arange(old, dtype="float32"))
        weights = keras.ops.maximum(1 - distances, 0)
        image = keras.ops.moveaxis(keras.ops.tensordot(weights, image, [[1], [axis]]), 0, axis)
    return image


def ceil_divide(size: int | None, by: int) -> int | None:
    """Returns ceil(size / by), and None for an unknown size."""
    return None if size is None else -(-size // by)
