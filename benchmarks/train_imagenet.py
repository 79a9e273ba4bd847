"""A train step of ResNet-50 on 224x224 images, compared with other libraries and the GEMM peak."""

import time

from compare import OURS, Benchmark, Side, main
from work import (
    ONEDNN_OFF,
    as_a_user_gets_it,
    fit,
    images_per_second,
    our_environment,
    our_steps,
    torch_steps,
)

IMAGES = 32  # of one measurement: two steps of 16


def speed(step, batch):
    return images_per_second(step, batch, IMAGES // batch, warm_up=1)


def ours(options):
    import keras_resnet

    return speed(our_steps(keras_resnet.ResNet50(), options.batch, 224, 1000), options.batch)


def keras_applications(options):
    import keras

    model = as_a_user_gets_it(keras.applications.ResNet50(weights=None))
    return speed(fit(model, options.batch, 224, 1000), options.batch)


def keras_hub(options):
    import keras_hub

    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
        image_shape=(224, 224, 3),
    )
    model = keras_hub.models.ResNetImageClassifier(backbone, num_classes=1000, activation="softmax")
    return speed(fit(as_a_user_gets_it(model), options.batch, 224, 1000), options.batch)


def torchvision(options):
    import torchvision

    model = torchvision.models.resnet50(weights=None)
    return speed(torch_steps(model, options.batch, 224, 1000), options.batch)


def gemm_peak(options):
    """Images a second if a step were nothing but its multiply-adds at the speed of a large matrix product."""
    import torch

    import keras_resnet

    # Forward, gradient by input, gradient by weights; the first layer needs none by its input.
    size = keras_resnet.complexity(keras_resnet.ResNet50())
    first = next(layer for layer in size.layers if layer.name == "conv1_conv")
    flops = 3 * size.flops - 2 * first.macs
    n = 4096
    a, b = torch.randn(n, n), torch.randn(n, n)
    torch.mm(a, b)

    def measure():
        start = time.perf_counter()
        for _ in range(5):
            torch.mm(a, b)
        return 5 * 2 * n**3 / (time.perf_counter() - start) / flops

    return measure


BENCHMARK = Benchmark(
    name="train-resnet50",
    work="train step ResNet-50, 224x224, batch {batch}",
    unit="images/s",
    sides={
        OURS: Side(ours, our_environment()),
        "keras.applications": Side(keras_applications),
        "keras.applications, oneDNN off, TensorFlow's default without AVX512-VNNI": Side(
            keras_applications, ONEDNN_OFF
        ),
        "KerasHub": Side(keras_hub),
        "torchvision, PyTorch, channels last": Side(torchvision),
        "GEMM peak": Side(gemm_peak),
    },
    options={"batch": 16},
    repetitions=3,  # six sides of several seconds a step
    needs={
        "keras.applications": 1.6,
        "KerasHub": 1.7,
        "torchvision, PyTorch, channels last": 1.05,
        "GEMM peak": 0.62,
    },
)

if __name__ == "__main__":
    main(BENCHMARK)
