"""A train step of a model of this package in float32 and in bfloat16."""

from compare import OURS, Benchmark, Side, main
from work import images_per_second, our_environment, our_steps

BATCH = {20: 128, 50: 16}


def side(policy):
    def make(options):
        import keras

        import keras_resnet

        keras.config.set_dtype_policy(policy)
        model = keras_resnet.ResNet50() if options.depth == 50 else keras_resnet.CifarResNet(options.depth)
        batch = BATCH[options.depth]
        step = our_steps(model, batch, model.input_shape[1], model.output_shape[-1])
        return images_per_second(step, batch, steps=2, warm_up=1)

    return Side(make, our_environment())


BENCHMARK = Benchmark(
    name="precision",
    work="train step of keras_resnet, depth {depth}",
    unit="images/s",
    sides={OURS: side("float32"), "bfloat16": side("mixed_bfloat16")},
    options={"depth": 50},
)

if __name__ == "__main__":
    main(BENCHMARK)
