"""Seconds from the first import to the end of the first train step of ResNet-152, and the peak of memory."""

from compare import OURS, Benchmark, Side, main
from work import as_a_user_gets_it, fit, our_environment, our_steps, seconds_since_start

BATCH = 4


def ours(options):
    import keras_resnet

    return lambda: seconds_since_start(our_steps(keras_resnet.ResNet152(), BATCH, 224, 1000))


def keras_applications(options):
    import keras

    def measure():
        model = keras.applications.ResNet152(weights=None)
        return seconds_since_start(fit(as_a_user_gets_it(model), BATCH, 224, 1000))

    return measure


BENCHMARK = Benchmark(
    name="startup-resnet152",
    work=f"start of Python to the end of the first train step, ResNet-152, batch {BATCH}",
    unit="s",
    sides={OURS: Side(ours, our_environment()), "keras.applications": Side(keras_applications)},
    repetitions=3,
    fresh=True,
    needs={"keras.applications": 0.6},
)

if __name__ == "__main__":
    main(BENCHMARK)
