"""One training step and one validation step, on any number of devices and machines."""

from collections.abc import Callable, Collection, Mapping, Sequence

import keras
import tensorflow as tf

from keras_resnet.errors import UserError
from keras_resnet.models.freezing import freeze, stages
from keras_resnet.models.head import LOGITS, SIGMOID, find_head
from keras_resnet.training.blockwise import BlockwiseModel
from keras_resnet.training.losses import cross_entropy, log_probabilities
from keras_resnet.training.optimizer import CoupledSGD
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.strategy import local_replicas, worker_info

# A metric, here and in keras.metrics: (integer labels, probabilities) -> one value per image.
Metric = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def top1_error(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """Returns the top-1 error of each image: 0 if the most probable class is the label, else 1.

    Shapes: labels (N,), or (N, classes), of which the largest counts, and (N, classes) -> (N,).
    """
    labels = class_labels(labels)
    predictions = tf.argmax(probabilities, axis=-1)
    return tf.cast(tf.not_equal(tf.cast(labels, predictions.dtype), predictions), tf.float32)


def class_labels(labels: tf.Tensor) -> tf.Tensor:
    """Returns integer labels (N,): the labels themselves, or the largest class of each of (N, classes)."""
    return tf.argmax(labels, axis=-1) if len(labels.shape) == 2 else labels


class StepFunctions:
    """The step functions of a model, under the strategy in whose scope they are made.

    With a recipe that unfreezes, they train whatever it unfreezes last, until `train_from` is called.
    Optimizer and averages have variables for all of that throughout: velocities, learning rate and loss scale
    carry over from one phase to the next, velocities of frozen weights stay zero, and checkpoints of all
    phases hold the same variables.

    Args:
        model: a flat Functional classifier, as of `training.train`; trained in place.
        recipe: for the optimizer, the moving average and what is unfrozen.
        gradient_accumulation_steps: number of parts in which a batch is computed one after another, their
            gradients summed before the weights change: a large batch in less memory. Batch norm normalizes
            each part by itself.
        metrics: the user's, by name, besides `loss` and `error`.
        jit_compile: compiles the training step by XLA; not possible on several devices.
        rematerialize: as in `BlockwiseModel`.

    Raises:
        UserError: the recipe unfreezes a stage that the model does not have, or the model is no classifier.
    """

    def __init__(
        self,
        model: keras.Model,
        recipe: Recipe,
        *,
        gradient_accumulation_steps: int = 1,
        metrics: Mapping[str, Metric] | None = None,
        jit_compile: bool = False,
        rematerialize: Collection[str] = (),
    ):
        self._strategy = tf.distribute.get_strategy()
        self._gradient_accumulation_steps = gradient_accumulation_steps
        self._metrics = dict(metrics or {})
        self._model, self._jit_compile, self._rematerialize = model, jit_compile, rematerialize
        self._head = find_head(model)
        check_unfreeze(model, recipe)
        if recipe.unfreeze:
            freeze(model, recipe.unfreeze[-1][0])
        self._build()
        optimizer = CoupledSGD(
            recipe.learning_rate,
            recipe.momentum,
            recipe.weight_decay,
            weight_decay_on=recipe.weight_decay_on,
        )
        if keras.config.dtype_policy().compute_dtype == "float16" or _computes_float16(model):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        # Here and not in the first step, where TensorFlow would trace the creation of each velocity.
        optimizer.build(self.trained.trainable_variables)
        self.optimizer = optimizer
        self.averages = (
            ExponentialMovingAverage(self.trained.variables, recipe.ema_decay) if recipe.ema_decay else None
        )
        self._test = tf.function(self._test_anywhere, autograph=False, reduce_retracing=True)

    def train_from(self, stage: str) -> None:
        """Trains from this stage on, and freezes what comes before it, from the next step on."""
        freeze(self._model, stage)
        self._build()

    def _build(self) -> None:
        """Makes the training step for what is not frozen."""
        self.trained = BlockwiseModel(self._model, self._rematerialize)
        frozen = {
            id(weight) for layer in self._model.layers if not layer.trainable for weight in layer.weights
        }
        # What a step changes besides the trained weights: averages of batch norm, states of random
        # generators.
        self._state = [
            variable for variable in self.trained.non_trainable_variables if id(variable) not in frozen
        ]
        self._train = tf.function(
            self._train_anywhere, jit_compile=self._jit_compile or None, autograph=False
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics, in the order of the sums."""
        return metric_names(self._metrics)

    @property
    def variables(self) -> dict[str, keras.Variable]:
        """All variables that a checkpoint must hold, by name."""
        groups = {"weights": self.trained.variables, "optimizer": self.optimizer.variables}
        if self.averages:
            groups["averages"] = self.averages.variables
        # By number: Keras' own names depend on what else the process has made.
        return {
            f"{group}/{number}": variable
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }

    def train_step(self, images: tf.Tensor, labels: tf.Tensor, flag: float = 0.0) -> list[float]:
        """Updates the weights by one batch.

        Args:
            images, labels: this worker's share of the batch, (n, ...), n a multiple of its devices times
                `gradient_accumulation_steps`. Labels are integers (n,) or probabilities (n, classes).
            flag: a number of this worker's, to be summed over the workers.

        Returns:
            The sum of each of `names` over the images of all workers, the number of images, and the sum of
            the flags.
        """
        return self._on_replicas(self._train, images, labels, tf.fill([tf.shape(labels)[0]], flag))

    def test_step(self, images: tf.Tensor, labels: tf.Tensor, sample_weight: tf.Tensor) -> list[float]:
        """Returns the same sums, without the flags, of a batch that is not trained on.

        Args:
            images, labels: as in `train_step`.
            sample_weight: 1 for each image that counts, 0 for one that only fills up the batch, (n,).
        """
        return self._on_replicas(self._test, images, labels, sample_weight)[:-1]

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
        count = labels.shape[0] or tf.shape(labels)[0]
        if labels.shape[0] is not None and count % self._gradient_accumulation_steps:
            raise UserError(
                f"must divide the {count} images of a batch on each device.",
                parameter="gradient_accumulation_steps",
                value=self._gradient_accumulation_steps,
            )
        images_at_once = count // self._gradient_accumulation_steps
        all_images = count * self._strategy.num_replicas_in_sync
        state = [tf.convert_to_tensor(weight) for weight in self._state]
        gradients, sums = None, 0.0
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
                losses = _losses(y, outputs, self._head)
                loss = tf.reduce_sum(losses) / tf.cast(all_images, losses.dtype)
                if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
                    loss = self.optimizer.scale_loss(loss)
            state = [scope.get_current_value(weight) for weight in self._state]
            new = tape.gradient(loss, variables, unconnected_gradients="zero")
            gradients = new if gradients is None else [a + b for a, b in zip(gradients, new, strict=True)]
            sums += self._sums(losses, y, _probabilities(outputs, self._head), tf.ones_like(losses))
        self._set_state(state)
        self.optimizer.apply(self._share_overflow(gradients), variables)
        return tf.concat([sums, [tf.reduce_mean(flags)]], axis=0)

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
        probabilities = _probabilities(self.trained(images, training=False), self._head)
        losses = cross_entropy(labels, log_probabilities(probabilities))
        sums = self._sums(losses, labels, probabilities, sample_weight)
        return tf.concat([sums, [0.0]], axis=0)

    def _sums(self, losses, labels, probabilities, sample_weight):
        measured = [losses, top1_error(labels, probabilities)]
        measured += [metric(class_labels(labels), probabilities) for metric in self._metrics.values()]
        values = tf.stack([tf.cast(values, tf.float32) for values in measured])
        # Not by multiplication: images that only fill up the batch may have any loss, even NaN.
        sums = tf.reduce_sum(tf.where(sample_weight > 0, values, 0.0), axis=1)
        return tf.concat([sums, [tf.reduce_sum(sample_weight)]], axis=0)


class ExponentialMovingAverage:
    """A moving average of weights, kept next to them.

    Args:
        weights: all weights of a model, the averages of batch norm too.
        decay: share of the average that remains after a step; less at the start, where there is little to
            average.
    """

    # An update takes a few operations per weight, so it is not done at every step.
    INTERVAL = 8

    def __init__(self, weights: Sequence[keras.Variable], decay: float):
        self._strategy = tf.distribute.get_strategy()
        self._weights = [weight for weight in weights if "float" in weight.dtype]
        self._decay = decay
        self.variables = [
            keras.Variable(weight.numpy(), trainable=False, dtype=weight.dtype, name=f"average_{number}")
            for number, weight in enumerate(self._weights)
        ]
        self._update = tf.function(
            lambda decay: self._strategy.run(self._update_on_replica, (decay,)), autograph=False
        )
        self._swap = tf.function(lambda: self._strategy.run(self._swap_on_replica), autograph=False)

    def update(self, step: int) -> None:
        """Includes the weights after a step, counted from 0: each of the first 8 steps, then every 8th."""
        if step + 1 > self.INTERVAL and (step + 1) % self.INTERVAL:
            return
        updates = (step + 1) / self.INTERVAL
        self._update(tf.constant(min(self._decay**self.INTERVAL, updates / (updates + 9)), tf.float32))

    def swap(self) -> None:
        """Exchanges the weights and their averages."""
        self._swap()

    def _update_on_replica(self, decay):
        for average, weight in zip(self.variables, self._weights, strict=True):
            average.assign(weight + (average - weight) * tf.cast(decay, average.dtype))

    def _swap_on_replica(self):
        for average, weight in zip(self.variables, self._weights, strict=True):
            mean, own = tf.identity(average.value), tf.identity(weight.value)
            average.assign(own)
            weight.assign(mean)


def metric_names(metrics: Mapping[str, Metric] | None) -> tuple[str, ...]:
    """Returns the names of what a step measures: the loss, the error and the user's metrics."""
    return ("loss", "error", *(metrics or ()))


def check_unfreeze(model: keras.Model, recipe: Recipe) -> None:
    """Refuses a recipe that unfreezes a stage that the model does not have.

    Raises:
        UserError: with the stages that it has.
    """
    found = stages(model)
    for stage, _ in recipe.unfreeze:
        if stage not in found:
            raise UserError(
                f"{stage} is not a stage of {model.name}, which has {', '.join(found) or 'none'}.",
                parameter="unfreeze",
                value=recipe.unfreeze,
            )


def _losses(labels: tf.Tensor, outputs: tf.Tensor, head: str) -> tf.Tensor:
    """Returns the loss of each image that is trained on, (N,): Keras', whose gradients are always finite.

    Args:
        labels: as of `StepFunctions.train_step`.
        outputs: of the model.
        head: what they are, as of `find_head`.
    """
    logits = _logits(outputs, head)
    outputs = _in_full_precision(outputs) if logits is None else logits
    if head == SIGMOID:
        targets = labels[:, 1:] if len(labels.shape) == 2 else labels[:, tf.newaxis]
        targets = tf.cast(targets, outputs.dtype)
        return keras.losses.binary_crossentropy(targets, outputs, from_logits=logits is not None)
    cross_entropy = keras.losses.sparse_categorical_crossentropy
    if len(labels.shape) == 2:
        cross_entropy = keras.losses.categorical_crossentropy
    return cross_entropy(labels, outputs, from_logits=logits is not None)


def _probabilities(outputs: tf.Tensor, head: str) -> tf.Tensor:
    """Returns the probability of each class, (N, classes)."""
    if head == SIGMOID:
        outputs = _in_full_precision(outputs)
        return tf.concat([1 - outputs, outputs], axis=1)
    logits = _logits(outputs, head)
    return _in_full_precision(outputs) if logits is None else tf.nn.softmax(logits)


def _logits(outputs: tf.Tensor, head: str) -> tf.Tensor | None:
    """Returns the logits behind the outputs, where they are known.

    Keras keeps those of a softmax or sigmoid with its result. The loss of a probability that was rounded to 0
    would have no gradient.
    """
    logits = outputs if head == LOGITS else getattr(outputs, "_keras_logits", None)
    return None if logits is None else _in_full_precision(logits)


def _in_full_precision(x: tf.Tensor) -> tf.Tensor:
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


def _computes_float16(model: keras.Model) -> bool:
    return any(layer.compute_dtype == "float16" for layer in model.layers)
