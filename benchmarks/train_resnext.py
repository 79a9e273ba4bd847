"""A train step of ResNeXt-50 32x4d, whose 3x3 convolutions have 32 groups, compared with torchvision's."""

from compare import OURS, Benchmark, Side, main
from work import images_per_second, our_environment, our_steps, torch_steps

IMAGES = 32  # of one measurement


def speed(step, batch):
    return images_per_second(step, batch, IMAGES // batch, warm_up=1)


def ours(options):
    import keras_resnet

    return speed(our_steps(keras_resnet.ResNeXt50_32x4d(), options.batch, 224, 1000), options.batch)


def torchvision(options):
    import torchvision

    model = torchvision.models.resnext50_32x4d(weights=None)
    return speed(torch_steps(model, options.batch, 224, 1000), options.batch)


BENCHMARK = Benchmark(
    name="train-resnext50",
    work="train step ResNeXt-50 32x4d, 224x224, batch {batch}",
    unit="images/s",
    sides={
        OURS: Side(ours, our_environment()),
        "torchvision, PyTorch, channels last": Side(torchvision),
    },
    options={"batch": 16},
    repetitions=3,
)

if __name__ == "__main__":
    main(BENCHMARK)
