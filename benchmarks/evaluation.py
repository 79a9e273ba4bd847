"""Evaluation on data in memory, compared with Keras' `evaluate` of the same architecture in stock layers."""

import time

from compare import OURS, Benchmark, Side, main
from work import labels, our_environment, pixels

IMAGES = 4096


def ours(options):
    import numpy as np
    import tensorflow as tf

    from keras_resnet.evaluation import evaluate
    from keras_resnet.inference import Predictor
    from keras_resnet.models import architectures
    from keras_resnet.models.classifier import build_classifier

    model = build_classifier(
        architectures.cifar_architecture(20), (32, 32, 3), 10, np.zeros((32, 32, 3), "float32")
    )
    predictors = {"model": Predictor.from_model(model)}
    images = tf.data.Dataset.from_tensor_slices((pixels(IMAGES, 32), labels(IMAGES, 10)))
    return _speed(lambda: evaluate(predictors, images))


def keras_evaluate(options):
    from stock_cifar import cifar_resnet

    model = cifar_resnet(20)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, truth = pixels(IMAGES, 32).astype("float32"), labels(IMAGES, 10)
    return _speed(lambda: model.evaluate(images, truth, batch_size=256, verbose=0))


def _speed(run):
    run()

    def measure():
        start = time.perf_counter()
        run()
        return IMAGES / (time.perf_counter() - start)

    return measure


BENCHMARK = Benchmark(
    name="evaluation-cifar20",
    work="test of CIFAR ResNet-20 on 32x32 images in memory: errors, loss, calibration, confusion",
    unit="images/s",
    sides={
        OURS: Side(ours, our_environment()),
        "Keras' evaluate, stock layers, loss and accuracy": Side(keras_evaluate),
    },
)

if __name__ == "__main__":
    main(BENCHMARK)
