"""Trains as one of several workers, or alone: for tests that need processes of their own.

python train_digits.py LOSSES.json CHECKPOINTS [--steps N] [--gradient_accumulation_steps N]
"""

import argparse
import json

import keras

from keras_resnet.data.input_spec import InputSpec, InputTransform
from keras_resnet.data.load import load_dataset
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.models import architectures
from keras_resnet.models.classifier import build_classifier
from keras_resnet.training import Checkpoints, Recipe, ResumableData, train
from keras_resnet.training.engines.tensorflow import TensorFlowEngine
from keras_resnet.training.strategy import make_strategy, worker_info

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
    parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
    options = parser.parse_args()
    # In float32 a ReLU switched by rounding may change the curve by more than the tolerance.
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    strategy = make_strategy()
    info = worker_info(strategy)
    keras.utils.set_random_seed(0)
    images = Pipeline(load_dataset("digits"), InputTransform(InputSpec(8, 1), hflip=False))
    mean = images.mean(per_pixel=True)
    data = ResumableData(
        images.steps_per_epoch(BATCH),
        lambda first_step, worker, workers: images.train_batches(
            BATCH, 10**3, mean, first_step=first_step, worker=worker, workers=workers
        ),
    )
    losses = Losses()
    with strategy.scope():
        model = build_classifier(architectures.cifar_architecture(8), (8, 8, 1), 10, mean)
        TensorFlowEngine(strategy).synchronize_batch_norm(model)
        state = train(
            model,
            data,
            # Of 355 images, one worker has 178 and the other 177, in batches of 64.
            images.validation_batches(64, worker=info.worker, workers=info.workers),
            Recipe("this test", BATCH, iterations=options.steps, learning_rate=0.02),
            callbacks=[losses],
            checkpoints=Checkpoints(options.checkpoints) if options.checkpoints else None,
            gradient_accumulation_steps=options.gradient_accumulation_steps,
        )
    results = {
        "losses": losses.values,
        "history": state.history,
        "devices": strategy.num_replicas_in_sync,
    }
    with open(options.losses, "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
