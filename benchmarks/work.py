"""The work that several benchmarks measure: a train step of each library."""

import itertools
import resource
import time

import numpy as np
import psutil

ONEDNN_OFF = {"TF_ENABLE_ONEDNN_OPTS": "0"}
MOMENTUM, WEIGHT_DECAY, LEARNING_RATE = 0.9, 1e-4, 0.1


def images(batch: int, size: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, size, size, channels)).astype("float32")


def pixels(batch: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), "uint8")


def labels(batch: int, classes: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, classes, batch)


def images_per_second(step, batch: int, steps: int, warm_up: int = 2):
    """Returns a measurement of `step`, a function from a number of steps to the seconds they took."""
    step(warm_up)
    return lambda: batch * steps / step(steps)


def pulled_per_second(batches, batch: int, count: int, warm_up: int):
    """Returns a measurement of an endless iterator of batches, in images/s."""
    for _ in range(warm_up):
        next(batches)

    def measure():
        start = time.perf_counter()
        for _ in range(count):
            next(batches)
        return batch * count / (time.perf_counter() - start)

    return measure


def milliseconds_an_image(run, batch: int, runs: int):
    """Returns a measurement of `run`, which is called once per batch, in ms per image."""
    run()
    run()

    def measure():
        start = time.perf_counter()
        for _ in range(runs):
            run()
        return 1000 * (time.perf_counter() - start) / (batch * runs)

    return measure


def peak_memory() -> float:
    """Returns the peak of resident memory of this process, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def seconds_since_start(step) -> float:
    """Returns the seconds from the start of this process to the end of one step."""
    step(0)  # measures no step after the first
    return time.time() - psutil.Process().create_time()


def fit(model, batch: int, size: int, classes: int):
    """Returns a function from a number of steps of Keras' fit on one batch to the seconds they took.

    Time counts from the end of a first step on, without setup such as that of an iterator.
    """
    import keras
    import tensorflow as tf

    # An unfinished iterator waits for its autotuner to wake up, after 5, 10, 20 seconds.
    options = tf.data.Options()
    options.autotune.enabled = False
    batches = tf.data.Dataset.from_tensors((images(batch, size), labels(batch, classes))).repeat()
    batches = batches.with_options(options)

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:
                self.start = time.perf_counter()
            self.seconds = time.perf_counter() - self.start

    def step(steps):
        clock = Clock()
        model.fit(batches, steps_per_epoch=steps + 1, epochs=1, verbose=0, callbacks=[clock])
        return clock.seconds

    return step


def as_a_user_gets_it(model):
    """Compiles a Keras model as its documentation shows."""
    import keras

    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def as_we_train_it(model, **how):
    """Returns the steps of a model of this package, as `keras_resnet.train` trains it."""
    from keras_resnet.training.engines import default_engine
    from keras_resnet.training.recipes import Recipe

    recipe = Recipe(
        "benchmark",
        batch_size=1,
        epochs=1,
        learning_rate=LEARNING_RATE,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
    )
    return default_engine().make_steps(model, recipe, **how)


def our_steps(model, batch: int, size: int, classes: int, **how):
    """Returns our training on one repeated batch, measured as `fit` is, after a first step."""
    import tensorflow as tf

    one = tf.constant(images(batch, size)), tf.constant(labels(batch, classes))
    return our_steps_on(model, itertools.repeat(one), **how)


def our_steps_on(model, batches, **how):
    """Returns the same on a stream of batches."""
    steps, batches = as_we_train_it(model, **how), iter(batches)

    def step(count):
        steps.train_step(*next(batches))
        start = time.perf_counter()
        for _ in range(count):
            steps.train_step(*next(batches))
        return time.perf_counter() - start

    return step


def torch_steps(model, batch: int, size: int, classes: int):
    """Returns train steps of a PyTorch model, channels last."""
    import torch

    model = model.to(memory_format=torch.channels_last).train()
    x = torch.from_numpy(images(batch, size).transpose(0, 3, 1, 2)).contiguous(
        memory_format=torch.channels_last
    )
    y = torch.from_numpy(labels(batch, classes))
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)
    loss = torch.nn.CrossEntropyLoss()

    def step(steps):
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss(model(x), y).backward()
            optimizer.step()
        return time.perf_counter() - start

    return step


def our_environment() -> dict[str, str]:
    """Returns what `keras_resnet.train` sets before it imports TensorFlow."""
    from keras_resnet._utils.environment import SETTINGS

    return dict(SETTINGS)
