"""A training as one of several workers, or alone: for tests that need processes of their own.

python train_digits.py LOSSES.json CHECKPOINTS [--steps N] [--accumulate N]
"""

import argparse
import json

import keras

from keras_resnet.data import sources
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.view import View
from keras_resnet.models import architectures
from keras_resnet.training import Checkpoints, Recipe, TrainingData, train
from keras_resnet.training.classifier import build_classifier
from keras_resnet.training.strategy import make_strategy, place, synchronize_batch_norm

BATCH = 48


class Losses(keras.callbacks.Callback):
    """The mean loss since the epoch began, after each step."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("losses")
    parser.add_argument("checkpoints")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--accumulate", type=int, default=1)
    options = parser.parse_args()
    # In float32 a ReLU that opens by rounding may change the curve by more than what is tested.
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    strategy = make_strategy()
    where = place(strategy)
    keras.utils.set_random_seed(0)
    images = Pipeline(sources.find("digits"), View(8, whole=True, mirrored=False))
    mean = images.mean(per_pixel=True)
    data = TrainingData(
        images.steps_per_epoch(BATCH),
        lambda first_step, worker, workers: images.training_batches(
            BATCH, 10**3, mean, first_step=first_step, worker=worker, workers=workers
        ),
    )
    losses = Losses()
    with strategy.scope():
        model = build_classifier(architectures.cifar(8), 8, 1, 10, mean)
        synchronize_batch_norm(model)
        progress = train(
            model,
            data,
            # Of 355 images, 178 and 177 are the workers', in batches of 64.
            images.evaluation_batches(64, worker=where.worker, workers=where.workers),
            Recipe("this test", BATCH, iterations=options.steps, learning_rate=0.02),
            callbacks=[losses],
            checkpoints=Checkpoints(options.checkpoints) if options.checkpoints else None,
            accumulate=options.accumulate,
        )
    results = {
        "losses": losses.values,
        "history": progress.history,
        "devices": strategy.num_replicas_in_sync,
    }
    with open(options.losses, "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
