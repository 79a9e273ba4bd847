"""Training fed by the real input pipeline, beside the same on one batch again and again."""

import numpy as np
from compare import OURS, Benchmark, Side, main
from work import as_we_train_it, fit_on, images_per_second, our_environment

BATCH, STEPS, IMAGES = 128, 16, 8192
MEAN = np.full((32, 32, 3), 128, "float32")


def _model():
    from keras_resnet.models import architectures
    from keras_resnet.training.classifier import build_classifier

    return as_we_train_it(build_classifier(architectures.cifar(20), 32, 3, 10, MEAN))


def _source():
    """CIFAR's images in number of pixels, noise in content; nothing here looks at them."""
    from keras_resnet.data.sources import Source

    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype="uint8")
    classes = np.random.default_rng(1).integers(0, 10, IMAGES)

    def read(split):
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((pixels, classes))

    return Source(
        name="noise",
        class_names=tuple("0123456789"),
        image_shape=(32, 32, 3),
        train_size=IMAGES,
        test_size=IMAGES,
        test_split="test",
        mirrored=True,
        read=read,
    )


def fed(options):
    from keras_resnet.data import pipeline
    from keras_resnet.data.view import View

    batches = pipeline.training_batches(_source(), View(32, whole=True, mirrored=True), BATCH, MEAN, seed=0)
    return images_per_second(fit_on(_model(), batches.repeat()), BATCH, STEPS, warm_up=STEPS)


def constant(options):
    import tensorflow as tf

    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 32, 32, 3), dtype="uint8")
    batches = tf.data.Dataset.from_tensors((pixels, np.zeros(BATCH, "int64"))).repeat()
    return images_per_second(fit_on(_model(), batches), BATCH, STEPS, warm_up=STEPS)


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
