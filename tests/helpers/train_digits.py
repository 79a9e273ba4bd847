"""Trains as one of several workers, or alone: for tests that need processes of their own.

python train_digits.py LOSSES.json CHECKPOINTS [--steps N] [--recipe JSON] ...
"""

import argparse
import itertools
import json
import os

import keras
import numpy as np

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.input_spec import InputSpec, InputTransform
from keras_resnet.data.load import load_dataset
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.models import architectures
from keras_resnet.models.classifier import build_classifier
from keras_resnet.training import Checkpoints, Distillation, Recipe, ResumableData, train
from keras_resnet.training.engines import make_engine

BATCH = 48


class Losses(keras.callbacks.Callback):
    """The mean loss since the epoch began, after each step; sends the process a signal after so many."""

    def __init__(self, signal_after):
        super().__init__()
        self.values = []
        self._signal_after = signal_after

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])
        number, steps = self._signal_after
        if len(self.values) == steps:
            os.kill(os.getpid(), number)


def initialize(model, seed=0):
    """Sets the weights to what NumPy draws, the same on every engine; Keras' random numbers differ."""
    random = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        if len(weight.shape) > 1:
            deviation = np.sqrt(2 / np.prod(weight.shape[:-1]))
            weight.assign(random.normal(0, deviation, weight.shape))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("losses")
    parser.add_argument("checkpoints")
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
    parser.add_argument("--recipe", type=json.loads, default={}, help="fields that differ, as JSON")
    parser.add_argument("--class_weight", type=json.loads, help="a number for each class, as JSON")
    parser.add_argument("--policy", default="float64")
    parser.add_argument("--rematerialize", default="")
    parser.add_argument("--sync_batch_norm", type=int, default=1)
    parser.add_argument("--arrays", action="store_true", help="that JAX keeps on its devices")
    parser.add_argument("--many_steps", action="store_true", help="compute many steps a call, as on a GPU")
    parser.add_argument("--teacher", action="store_true", help="learn from a network of other weights")
    parser.add_argument("--signal_after", type=int, nargs=2, default=(0, 0), help="its number, and steps")
    options = parser.parse_args()
    engine = make_engine()
    keras.utils.set_random_seed(0)
    fields = dict(options.recipe)
    augment = BatchAugment(**fields.pop("batch_augment", {}))
    recipe = Recipe(
        **{
            "reference": "this test",
            "batch_size": BATCH,
            "iterations": options.steps,
            "learning_rate": 0.02,
            "batch_augment": augment,
            **fields,
            "unfreeze": tuple(map(tuple, fields.get("unfreeze", ()))),
        }
    )
    images = Pipeline(load_dataset("digits"), InputTransform(InputSpec(8, 1), hflip=False))
    mean = images.mean(per_pixel=True)
    worker, workers = engine.worker
    augmented = images.train_batches(
        BATCH, 10**3, mean, batch_augment=augment, worker=worker, workers=workers
    ).as_numpy_iterator()
    # All at once, before the type of Keras is another: its mixing of images computes in float32 alone.
    batches = list(itertools.islice(augmented, options.steps))
    arrays = images.cached_arrays(mean) if options.arrays else None
    data = ResumableData(
        images.steps_per_epoch(BATCH),
        lambda first_step, worker, workers: batches[first_step:],
        augment,
        arrays=lambda: arrays,
    )
    if options.many_steps:
        from keras_resnet.training.engines.jax_mesh import DeviceMesh

        DeviceMesh.platform = "gpu"
    if options.policy == "float64":
        # In float32 a ReLU switched by rounding may change the curve by more than the tolerance.
        keras.config.set_floatx("float64")
    keras.config.set_dtype_policy(options.policy)
    losses = Losses(options.signal_after)
    with engine.scope():
        model = build_classifier(architectures.cifar_architecture(options.depth), (8, 8, 1), 10, mean)
        initialize(model)
        distillation = None
        if options.teacher:
            teacher = build_classifier(architectures.cifar_architecture(8), (8, 8, 1), 10, mean)
            initialize(teacher, seed=1)
            distillation = Distillation(teacher, temperature=2.0, share=0.5)
        if options.sync_batch_norm:
            engine.synchronize_batch_norm(model)
        state = train(
            model,
            data,
            # Of 355 images, one worker has 178 and the other 177, in batches of 64.
            images.validation_batches(64, worker=worker, workers=workers),
            recipe,
            callbacks=[] if options.many_steps else [losses],
            checkpoints=Checkpoints(options.checkpoints, minutes=0) if options.checkpoints else None,
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            class_weight=options.class_weight,
            rematerialize=[stage for stage in options.rematerialize.split(",") if stage],
            distillation=distillation,
            engine=engine,
        )
    results = {"losses": losses.values, "history": state.history, "devices": engine.devices}
    with open(options.losses, "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
