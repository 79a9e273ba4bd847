"""A train step of a CIFAR ResNet at batch 128, compared with stock layers and PyTorch."""

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

BATCH, STEPS = 128, 8


def ours(options):
    import keras_resnet

    model = keras_resnet.CifarResNet(options.depth)
    return images_per_second(our_steps(model, BATCH, 32, 10), BATCH, STEPS, warm_up=STEPS)


def stock_layers(options):
    from stock_cifar import cifar_resnet

    model = as_a_user_gets_it(cifar_resnet(options.depth))
    return images_per_second(fit(model, BATCH, 32, 10), BATCH, STEPS, warm_up=STEPS)


def pytorch(options):
    from torch_cifar import cifar_resnet

    return images_per_second(
        torch_steps(cifar_resnet(options.depth), BATCH, 32, 10), BATCH, STEPS, warm_up=STEPS
    )


BENCHMARK = Benchmark(
    name="train-cifar",
    work=f"train step CIFAR ResNet-{{depth}}, batch {BATCH}",
    unit="images/s",
    sides={
        OURS: Side(ours, our_environment()),
        "stock Keras layers": Side(stock_layers),
        "stock Keras layers, oneDNN off, TensorFlow's default without AVX512-VNNI": Side(
            stock_layers, ONEDNN_OFF
        ),
        "PyTorch, channels last": Side(pytorch),
    },
    options={"depth": 20},
    needs={"stock Keras layers": 2, "PyTorch, channels last": 1},
)

if __name__ == "__main__":
    main(BENCHMARK)
