"""One step of training and one of testing, on any number of devices and machines."""

from collections.abc import Callable, Collection, Mapping, Sequence

import keras
import tensorflow as tf

from keras_resnet.errors import UserError
from keras_resnet.models.freezing import freeze
from keras_resnet.training.blockwise import BlockwiseModel
from keras_resnet.training.optimizer import CoupledSGD
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.strategy import local_replicas, place

# What a metric is here, and in keras.metrics: (labels, probabilities) -> a value for each image.
Metric = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def error(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """1 for an image whose likeliest class is not its own, else 0: the top-1 error.

    Shapes: class numbers (N,), or a share of each class (N, classes), of which the largest counts, and
    (N, classes) -> (N,).
    """
    if len(labels.shape) == 2:
        labels = tf.argmax(labels, axis=-1)
    answers = tf.argmax(probabilities, axis=-1)
    return tf.cast(tf.not_equal(tf.cast(labels, answers.dtype), answers), tf.float32)


class Steps:
    """The steps of a net under the strategy in whose scope this is made.

    Where the recipe unfreezes, they train to begin with whatever it unfreezes in the end, until `train_from`
    says what. Optimiser and averages are the same throughout, with variables for all of it: velocities,
    learning rate and loss scale go on from one phase to the next, velocities of frozen weights stay zero, and
    checkpoints of all phases hold the same variables.

    Args:
        model: a flat net that gives class probabilities; its weights are trained in place.
        recipe: optimiser, EMA and what is unfrozen.
        accumulate: number of parts in which a batch is computed one after another, their gradients added up
            before the weights move: the large batch in less memory, but for BN, which sees a part at a time.
        metrics: of the user's, by name, beside `loss` and `error`.
        jit_compile: whether XLA compiles the training step; it cannot for several devices.
        rematerialized: as of `BlockwiseModel`.

    Raises:
        UserError: the recipe unfreezes a stage that the net has not.
    """

    def __init__(
        self,
        model: keras.Model,
        recipe: Recipe,
        *,
        accumulate: int = 1,
        metrics: Mapping[str, Metric] | None = None,
        jit_compile: bool = False,
        rematerialized: Collection[str] = (),
    ):
        self._strategy = tf.distribute.get_strategy()
        self._accumulate = accumulate
        self._metrics = dict(metrics or {})
        self._model, self._jit_compile, self._rematerialized = model, jit_compile, rematerialized
        # Each once to see that the net has it, and the last one to begin with.
        for stage, _ in recipe.unfreeze:
            try:
                freeze(model, stage)
            except ValueError as error:
                raise UserError(f"unfreeze={error}") from error
        self._begin()
        optimizer = CoupledSGD(recipe.learning_rate, recipe.momentum, recipe.weight_decay, decay=recipe.decay)
        if keras.config.dtype_policy().compute_dtype == "float16" or _computes_float16(model):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        # Here and not in the first step, where TensorFlow would trace the making of each velocity.
        optimizer.build(self.trained.trainable_variables)
        self.optimizer = optimizer
        self.averages = Averages(self.trained.variables, recipe.ema) if recipe.ema else None
        self._test = tf.function(self._test_anywhere, autograph=False, reduce_retracing=True)

    def train_from(self, stage: str) -> None:
        """Train this stage and all behind it from here on, and freeze those in front of it."""
        freeze(self._model, stage)
        self._begin()

    def _begin(self) -> None:
        """Train what is not frozen."""
        self.trained = BlockwiseModel(self._model, self._rematerialized)
        frozen = {
            id(weight) for layer in self._model.layers if not layer.trainable for weight in layer.weights
        }
        # What a step moves beside the gradients: BN's averages, and the state of random numbers.
        self._state = [
            variable for variable in self.trained.non_trainable_variables if id(variable) not in frozen
        ]
        self._train = tf.function(
            self._train_anywhere, jit_compile=self._jit_compile or None, autograph=False
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured, in the order of the sums."""
        return ("loss", "error", *self._metrics)

    @property
    def variables(self) -> dict[str, keras.Variable]:
        """All that a checkpoint has to hold, by name."""
        groups = {"weights": self.trained.variables, "optimizer": self.optimizer.variables}
        if self.averages:
            groups["averages"] = self.averages.variables
        # By number: what Keras calls them depends on what else the process has made.
        return {
            f"{group}/{number}": variable
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }

    def train(self, images: tf.Tensor, labels: tf.Tensor, flag: float = 0.0) -> list[float]:
        """Move the weights by one batch, this worker's share of it.

        Args:
            images, labels: (n, ...), n a multiple of this worker's devices times `accumulate`. Labels are
                class numbers (n,), or a share of each class (n, classes).
            flag: a number of this worker's.

        Returns:
            Sums over the images of all workers of what `names` says, the number of images, and the sum of
            the workers' flags.
        """
        return self._on_replicas(self._train, images, labels, tf.fill([tf.shape(labels)[0]], flag))

    def test(self, images: tf.Tensor, labels: tf.Tensor, counted: tf.Tensor) -> list[float]:
        """The same sums, without training.

        Args:
            images, labels: as of `train`.
            counted: 1 for each image that counts, 0 for one that only fills the batch, (n,).
        """
        return self._on_replicas(self._test, images, labels, counted)[:-1]

    def _on_replicas(self, function, *tensors):
        replicas = local_replicas(self._strategy)
        if replicas == 1:
            return function(*tensors).numpy().tolist()
        shared = [self._shared(tf.split(tensor, replicas)) for tensor in tensors]
        return function(*shared).numpy().tolist()

    def _shared(self, shares):
        """One value for each of this worker's devices."""
        first = place(self._strategy).worker * len(shares)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: shares[context.replica_id_in_sync_group - first]
        )

    def _train_anywhere(self, images, labels, flags):
        return self._strategy.reduce(
            "SUM", self._strategy.run(self._train_here, (images, labels, flags)), axis=None
        )

    def _train_here(self, images, labels, flags):
        variables = self.trained.trainable_variables
        count = labels.shape[0] or tf.shape(labels)[0]
        if labels.shape[0] is not None and count % self._accumulate:
            raise ValueError(
                f"accumulate={self._accumulate} must divide a device's {count} images of a batch."
            )
        images_at_once = count // self._accumulate
        all_images = count * self._strategy.num_replicas_in_sync
        state = [tf.convert_to_tensor(weight) for weight in self._state]
        gradients, sums = None, 0.0
        for part in range(self._accumulate):
            chosen = slice(part * images_at_once, (part + 1) * images_at_once)
            # One part after another, or all would be in memory at a time.
            with tf.control_dependencies(gradients or []):
                x, y = tf.identity(images[chosen]), tf.identity(labels[chosen])
            with (
                keras.StatelessScope(state_mapping=list(zip(self._state, state, strict=True))) as scope,
                # Told what to watch, it records nothing of frozen stages, which keep no activations then.
                tf.GradientTape(watch_accessed_variables=False) as tape,
            ):
                tape.watch([variable.value for variable in variables])
                probabilities = self.trained(x, training=True)
                losses = _losses(y, probabilities)
                loss = tf.reduce_sum(losses) / tf.cast(all_images, losses.dtype)
                if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
                    loss = self.optimizer.scale_loss(loss)
            state = [scope.get_current_value(weight) for weight in self._state]
            new = tape.gradient(loss, variables, unconnected_gradients="zero")
            gradients = new if gradients is None else [a + b for a, b in zip(gradients, new, strict=True)]
            sums += self._sums(losses, y, probabilities, tf.ones_like(losses))
        self._set_state(state)
        self.optimizer.apply(self._spoilt_by_all(gradients), variables)
        return tf.concat([sums, [tf.reduce_mean(flags)]], axis=0)

    def _spoilt_by_all(self, gradients):
        """The gradients; with loss scaling, no numbers on any device if they are none on one.

        Keras looks for an overflow before the devices add up their gradients, and each device on its own:
        those that see one would leave the others waiting.
        """
        gradients = [tf.identity(gradient) for gradient in gradients]
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if scaled and self._strategy.num_replicas_in_sync > 1:
            # 0 for numbers, and NaN for anything else.
            own = tf.add_n([tf.reduce_sum(tf.cast(gradient, tf.float32) * 0) for gradient in gradients])
            spoilt = tf.distribute.get_replica_context().all_reduce("SUM", own)
            gradients = [gradient + tf.cast(spoilt, gradient.dtype) for gradient in gradients]
        return gradients

    def _set_state(self, state):
        """BN's averages of all devices, so that each has the same; in one message."""
        if self._strategy.num_replicas_in_sync > 1:
            averaged = [i for i, value in enumerate(state) if value.dtype.is_floating]
            context = tf.distribute.get_replica_context()
            # TensorFlow reduces nothing that has no device, as the result of a function.
            here = [tf.identity(state[i]) for i in averaged]
            means = context.all_reduce("MEAN", here) if here else []
            for i, mean in zip(averaged, means, strict=True):
                state[i] = mean
        for weight, value in zip(self._state, state, strict=True):
            weight.assign(value)

    def _test_anywhere(self, images, labels, counted):
        return self._strategy.reduce(
            "SUM", self._strategy.run(self._test_here, (images, labels, counted)), axis=None
        )

    def _test_here(self, images, labels, counted):
        probabilities = self.trained(images, training=False)
        sums = self._sums(_losses(labels, probabilities), labels, probabilities, counted)
        return tf.concat([sums, [0.0]], axis=0)

    def _sums(self, losses, labels, probabilities, counted):
        measured = [losses, error(labels, probabilities)]
        measured += [metric(labels, probabilities) for metric in self._metrics.values()]
        values = tf.stack([tf.cast(values, tf.float32) for values in measured])
        # Not by multiplication: what only fills the batch may give any loss, NaN too.
        sums = tf.reduce_sum(tf.where(counted > 0, values, 0.0), axis=1)
        return tf.concat([sums, [tf.reduce_sum(counted)]], axis=0)


class Averages:
    """A moving average of weights, kept beside them.

    Args:
        weights: all of a net's, BN's averages too.
        decay: share of the average that a step leaves; less at the start, where there is little to average.
    """

    # Moving it takes a few operations a weight, so not at every step.
    EVERY = 8

    def __init__(self, weights: Sequence[keras.Variable], decay: float):
        self._strategy = tf.distribute.get_strategy()
        self._weights = [weight for weight in weights if "float" in weight.dtype]
        self._decay = decay
        self.variables = [
            keras.Variable(weight.numpy(), trainable=False, dtype=weight.dtype, name=f"average_{number}")
            for number, weight in enumerate(self._weights)
        ]
        self._move = tf.function(lambda decay: self._strategy.run(self._move_here, (decay,)), autograph=False)
        self._swap = tf.function(lambda: self._strategy.run(self._swap_here), autograph=False)

    def move(self, step: int) -> None:
        """Take in the weights after a step, counted from 0: the first ones, then one in a few."""
        if step + 1 > self.EVERY and (step + 1) % self.EVERY:
            return
        moves = (step + 1) / self.EVERY
        self._move(tf.constant(min(self._decay**self.EVERY, moves / (moves + 9)), tf.float32))

    def swap(self) -> None:
        """Put the averages in the weights' place, and the weights in theirs."""
        self._swap()

    def _move_here(self, decay):
        for average, weight in zip(self.variables, self._weights, strict=True):
            average.assign(weight + (average - weight) * tf.cast(decay, average.dtype))

    def _swap_here(self):
        for average, weight in zip(self.variables, self._weights, strict=True):
            mean, own = tf.identity(average.value), tf.identity(weight.value)
            average.assign(own)
            weight.assign(mean)


def _losses(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each image (N,); Keras takes the softmax's logits where it knows them."""
    if len(labels.shape) == 2:
        return keras.losses.categorical_crossentropy(labels, probabilities)
    return keras.losses.sparse_categorical_crossentropy(labels, probabilities)


def _computes_float16(model: keras.Model) -> bool:
    return any(layer.compute_dtype == "float16" for layer in model.layers)
