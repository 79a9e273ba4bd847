"""A train step of CIFAR ResNet-20 with and without XLA, in small batches: XLA is slow on a CPU."""

from compare import OURS, Benchmark, Side, main
from work import images_per_second, our_environment, our_steps

BATCH = 16


def side(jit_compile):
    def make(options):
        import keras_resnet

        step = our_steps(keras_resnet.CifarResNet(20), BATCH, 32, 10, jit_compile=jit_compile)
        return images_per_second(step, BATCH, steps=2, warm_up=1)

    return Side(make, our_environment())


BENCHMARK = Benchmark(
    name="xla-cifar20",
    work=f"train step of CIFAR ResNet-20, batch {BATCH}",
    unit="images/s",
    sides={OURS: side(False), "--jit_compile": side(True)},
    repetitions=4,
)

if __name__ == "__main__":
    main(BENCHMARK)
