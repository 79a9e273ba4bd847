"""Peak of resident memory while ResNet-50 trains on 224x224 images."""

from compare import OURS, Benchmark, Side, main
from work import as_a_user_gets_it, fit, our_environment, our_steps, peak_memory

STEPS = 2


def peak_of(step):
    step(STEPS)
    return peak_memory()


def ours(options):
    import keras_resnet

    return lambda: peak_of(our_steps(keras_resnet.ResNet50(), options.batch, 224, 1000))


def rematerialize(options):
    import keras_resnet

    stages = ("conv2", "conv3", "conv4", "conv5")
    model = keras_resnet.ResNet50()
    return lambda: peak_of(our_steps(model, options.batch, 224, 1000, rematerialize=stages))


def keras_applications(options):
    import keras

    model = keras.applications.ResNet50(weights=None)
    return lambda: peak_of(fit(as_a_user_gets_it(model), options.batch, 224, 1000))


BENCHMARK = Benchmark(
    name="memory-resnet50",
    work="peak memory of ResNet-50 train steps, 224x224, batch {batch}",
    unit="GiB",
    sides={
        OURS: Side(ours, our_environment()),
        "keras_resnet, all stages rematerialized": Side(rematerialize, our_environment()),
        "keras.applications": Side(keras_applications),
    },
    options={"batch": 16},
    repetitions=3,
    fresh=True,
    needs={"keras.applications": 0.95},
)

if __name__ == "__main__":
    main(BENCHMARK)
