"""The TensorFlow engine: one training step and one test step, on any number of devices and machines."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_resnet.errors import UserError
from keras_resnet.training.averages import ExponentialMovingAverage, average_variables
from keras_resnet.training.blockwise import BlockwiseModel
from keras_resnet.training.cluster import WorkerInfo
from keras_resnet.training.engines.steps import StepFunctions
from keras_resnet.training.measures import (
    class_counts,
    class_probabilities,
    logits_of,
    reported_losses,
    sums,
)
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.rematerialization import is_frugal
from keras_resnet.training.strategy import (
    all_reduce_sum,
    handle_lost_workers,
    local_replicas,
    make_strategy,
    worker_info,
)


class TensorFlowEngine:
    """Computes with TensorFlow, on the devices of a strategy; see `Engine`."""

    keeps_arrays = False

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self._strategy = strategy or tf.distribute.get_strategy()
        self.worker: WorkerInfo = worker_info(self._strategy)
        self.devices: int = self._strategy.num_replicas_in_sync
        self.local_devices: int = local_replicas(self._strategy)

    @classmethod
    def on(cls, strategy: str) -> "TensorFlowEngine":
        """An engine on the devices that a name of a strategy stands for."""
        return cls(make_strategy(strategy))

    def scope(self) -> contextlib.AbstractContextManager:
        return self._strategy.scope()

    def make_steps(
        self, model: keras.Model, recipe: Recipe, arrays: None = None, **options: Any
    ) -> StepFunctions:
        _check_groups(model, bool(options.get("jit_compile")))
        with self._strategy.scope():
            return TensorFlowSteps(model, recipe, **options)

    def all_reduce_sum(self, value: float) -> float:
        return all_reduce_sum(self._strategy, value) / self.local_devices

    def handle_lost_workers(self) -> contextlib.AbstractContextManager:
        return handle_lost_workers(self._strategy)

    def synchronize_batch_norm(self, model: keras.Model) -> None:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True

    def make_deterministic(self) -> None:
        tf.config.experimental.enable_op_determinism()


def _check_groups(model: keras.Model, jit_compile: bool) -> None:
    """Refuses grouped convolutions where TensorFlow has no gradients: on a processor without oneDNN."""
    grouped = (getattr(layer, "groups", 1) > 1 for layer in model.layers)
    if jit_compile or not any(grouped) or tf.config.list_logical_devices("GPU"):
        return
    x, kernel = tf.zeros((1, 3, 3, 4)), tf.zeros((3, 3, 2, 4))
    try:
        with tf.GradientTape() as tape:
            tape.watch((x, kernel))
            y = tf.nn.conv2d(x, kernel, 1, "SAME")
        tape.gradient(y, (x, kernel))
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        raise UserError(
            "has grouped convolutions, whose gradients TensorFlow has on a processor by oneDNN or XLA; set "
            "TF_ENABLE_ONEDNN_OPTS=1, which x86 and Linux on ARM have, or use jit_compile=true.",
            parameter="model",
            value=model.name,
        ) from error


class TensorFlowSteps(StepFunctions):
    """The steps, under the strategy in whose scope they are made; `jit_compile` needs a single device."""

    def __init__(self, model: keras.Model, recipe: Recipe, **options: Any):
        self._strategy = tf.distribute.get_strategy()
        super().__init__(model, recipe, **options)
        self._test = tf.function(self._test_anywhere, autograph=False, reduce_retracing=True)

    def _build(self) -> None:
        frugal = is_frugal(self._rematerialize, self._jit_compile, "tensorflow")
        self.trained = BlockwiseModel(self._model, self._rematerialize, frugal)
        self._state = self._changing_state()
        self._train = tf.function(
            self._train_anywhere, jit_compile=self._jit_compile or None, autograph=False
        )

    def train_step(self, images: Any, labels: Any, flag: float = 0.0) -> list[float]:
        return self._on_replicas(self._train, images, labels, tf.fill([tf.shape(labels)[0]], flag))

    def load_ahead(self, batches: Iterable) -> Iterator:
        return iter(batches)  # tf.data does so by itself

    def test_step(self, images: Any, labels: Any, sample_weight: Any) -> list[float]:
        return self._on_replicas(self._test, images, labels, sample_weight)

    def _on_replicas(self, function, *tensors):
        replicas = local_replicas(self._strategy)
        if replicas == 1:
            return function(*tensors).numpy().tolist()
        per_replica = [self._distribute(tf.split(tensor, replicas)) for tensor in tensors]
        return function(*per_replica).numpy().tolist()

    def _distribute(self, shares):
        """Gives one value to each of this worker's devices."""
        first = worker_info(self._strategy).worker * len(shares)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: shares[context.replica_id_in_sync_group - first]
        )

    def _train_anywhere(self, images, labels, flags):
        return self._strategy.reduce(
            "SUM", self._strategy.run(self._train_on_replica, (images, labels, flags)), axis=None
        )

    def _train_on_replica(self, images, labels, flags):
        variables = self.trained.trainable_variables
        count = labels.shape[0]
        images_at_once = self._images_at_once(count)
        all_images = count * self._strategy.num_replicas_in_sync
        state = [tf.convert_to_tensor(weight) for weight in self._state]
        gradients, total = None, 0.0
        for part in range(self._gradient_accumulation_steps):
            rows = slice(part * images_at_once, (part + 1) * images_at_once)
            # One part after another, or all would be in memory at the same time.
            with tf.control_dependencies(gradients or []):
                x, y = tf.identity(images[rows]), tf.identity(labels[rows])
            with (
                keras.StatelessScope(state_mapping=list(zip(self._state, state, strict=True))) as scope,
                # Watching these alone, it records nothing of frozen stages, which then keep no activations.
                tf.GradientTape(watch_accessed_variables=False) as tape,
            ):
                tape.watch([variable.value for variable in variables])
                outputs = self.trained(x, training=True)
                logits = logits_of(outputs, self._head)
                taught = None
                if self._distillation and self._teacher:
                    taught = tf.stop_gradient(self._distillation.scores(self._teacher(x, training=False)))
                losses = self._losses(y, outputs, logits, taught)
                loss = tf.reduce_sum(losses) / tf.cast(all_images, losses.dtype)
                if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
                    loss = self.optimizer.scale_loss(loss)
            state = [scope.get_current_value(weight) for weight in self._state]
            new = tape.gradient(loss, variables, unconnected_gradients="zero")
            gradients = new if gradients is None else [a + b for a, b in zip(gradients, new, strict=True)]
            probabilities = class_probabilities(outputs, logits, self._head)
            # In float32, as in `test_step`, whatever the losses are in.
            total += sums(losses, y, probabilities, tf.ones(tf.shape(losses)), self._metrics, self._head)
        self._set_state(state)
        self.optimizer.apply(self._share_overflow(gradients), variables)
        return tf.concat([total, [tf.reduce_mean(flags)]], axis=0)

    def _share_overflow(self, gradients):
        """Returns the gradients; with loss scaling, NaN on all devices if they are not finite on one.

        Keras checks for overflow on each device before the gradients are summed over devices: those that find
        one would skip the sum, and leave the others waiting.
        """
        gradients = [tf.identity(gradient) for gradient in gradients]
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if scaled and self._strategy.num_replicas_in_sync > 1:
            # 0 for finite gradients, and NaN for others.
            own = tf.add_n([tf.reduce_sum(tf.cast(gradient, tf.float32) * 0) for gradient in gradients])
            overflow = tf.distribute.get_replica_context().all_reduce("SUM", own)
            gradients = [gradient + tf.cast(overflow, gradient.dtype) for gradient in gradients]
        return gradients

    def _set_state(self, state):
        """Assigns the state, averaged over all devices in one message, so that each device has the same."""
        if self._strategy.num_replicas_in_sync > 1:
            averaged = [i for i, value in enumerate(state) if value.dtype.is_floating]
            context = tf.distribute.get_replica_context()
            # TensorFlow reduces only tensors that have a device, which results of functions do not.
            own = [tf.identity(state[i]) for i in averaged]
            means = context.all_reduce("MEAN", own) if own else []
            for i, mean in zip(averaged, means, strict=True):
                state[i] = mean
        for weight, value in zip(self._state, state, strict=True):
            weight.assign(value)

    def _test_anywhere(self, images, labels, sample_weight):
        return self._strategy.reduce(
            "SUM", self._strategy.run(self._test_on_replica, (images, labels, sample_weight)), axis=None
        )

    def _test_on_replica(self, images, labels, sample_weight):
        outputs = self.trained(images, training=False)
        logits = logits_of(outputs, self._head)
        probabilities = class_probabilities(outputs, logits, self._head)
        losses = reported_losses(labels, outputs, logits, self._head)
        total = sums(losses, labels, probabilities, sample_weight, self._metrics, self._head)
        counts = class_counts(labels, probabilities, sample_weight, self._head)
        return tf.concat([total, counts], axis=0)

    def _make_averages(self, decay: float) -> ExponentialMovingAverage:
        weights = [weight for weight in self.trained.variables if "float" in weight.dtype]
        averages = average_variables(weights)

        def interpolate(share):
            for average, weight in zip(averages, weights, strict=True):
                average.assign(weight + (average - weight) * tf.cast(share, average.dtype))

        def exchange():
            for average, weight in zip(averages, weights, strict=True):
                mean, own = tf.identity(average.value), tf.identity(weight.value)
                average.assign(own)
                weight.assign(mean)

        run_interpolation = tf.function(
            lambda share: self._strategy.run(interpolate, (share,)), autograph=False
        )
        run_exchange = tf.function(lambda: self._strategy.run(exchange), autograph=False)
        return ExponentialMovingAverage(
            averages, decay, lambda share: run_interpolation(tf.constant(share, tf.float32)), run_exchange
        )
