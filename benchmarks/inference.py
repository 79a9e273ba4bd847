"""Inference of ResNet-50 on batches of 224x224 images, compared with keras.applications' predict."""

import functools

from compare import OURS, Benchmark, Side, main
from work import ONEDNN_OFF, images, milliseconds_an_image, our_environment


def ours(options):
    import keras_resnet

    return _batches(keras_resnet.fold_batch_norm(keras_resnet.ResNet50()), options.batch)


def ours_not_folded(options):
    import keras_resnet

    return _batches(keras_resnet.ResNet50(), options.batch)


def keras_applications(options):
    import keras

    model, x = keras.applications.ResNet50(weights=None), images(options.batch, 224)
    run = functools.partial(model.predict, x, batch_size=options.batch, verbose=0)
    return milliseconds_an_image(run, options.batch, _runs(options.batch))


def _batches(model, batch):
    """Predicts batch by batch, as an evaluation does; `predict` sets up a dataset for each call."""
    run = functools.partial(model.predict_on_batch, images(batch, 224))
    return milliseconds_an_image(run, batch, _runs(batch))


def _runs(batch):
    return max(2, 48 // batch)


BENCHMARK = Benchmark(
    name="inference-resnet50",
    work="inference ResNet-50, 224x224, batch {batch}, an image",
    unit="ms",
    sides={
        OURS: Side(ours, our_environment()),
        "keras_resnet, BN not folded": Side(ours_not_folded, our_environment()),
        "keras_resnet, BN not folded, oneDNN off": Side(ours_not_folded, ONEDNN_OFF),
        "keras_resnet, folded, oneDNN off": Side(ours, ONEDNN_OFF),
        "keras.applications": Side(keras_applications),
    },
    options={"batch": 32},
    needs={"keras.applications": 0.75},
)

if __name__ == "__main__":
    main(BENCHMARK)
