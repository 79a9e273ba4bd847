"""Training fed by the real input pipeline, compared with one repeated batch."""

import numpy as np
from compare import OURS, Benchmark, Side, main
from images_cifar import BATCH, pipeline
from work import images_per_second, our_environment, our_steps_on

STEPS = 16
MEAN = np.full((32, 32, 3), 128, "float32")


def _model():
    from keras_resnet.models import architectures
    from keras_resnet.models.classifier import build_classifier

    return build_classifier(architectures.cifar_architecture(20), (32, 32, 3), 10, MEAN)


def fed(options):
    batches = pipeline().train_batches(BATCH, 10**6, MEAN)
    return images_per_second(our_steps_on(_model(), batches), BATCH, STEPS, warm_up=STEPS)


def constant(options):
    import tensorflow as tf

    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 32, 32, 3), dtype="uint8")
    batches = tf.data.Dataset.from_tensors((pixels, np.zeros(BATCH, "int64"))).repeat()
    return images_per_second(our_steps_on(_model(), batches), BATCH, STEPS, warm_up=STEPS)


BENCHMARK = Benchmark(
    name="fed-cifar",
    work=f"train CIFAR ResNet-20, batch {BATCH}, fed by the pipeline",
    unit="images/s",
    sides={
        OURS: Side(fed, our_environment()),
        "keras_resnet on a constant batch": Side(constant, our_environment()),
    },
    repetitions=9,
    needs={"keras_resnet on a constant batch": 0.95},
)

if __name__ == "__main__":
    main(BENCHMARK)
