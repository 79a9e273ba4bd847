"""The steps of the JAX engine: one training step and one test step, on any number of devices."""

import collections
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.errors import UserError
from keras_resnet.models.head import LOGITS, MULTI_LABEL, SIGMOID, linear_head, logits_tensor
from keras_resnet.training.averages import ExponentialMovingAverage, average_variables
from keras_resnet.training.blockwise import BlockwiseModel
from keras_resnet.training.engines.jax_mesh import DEVICES, DeviceMesh
from keras_resnet.training.engines.steps import StepFunctions
from keras_resnet.training.measures import (
    class_counts,
    class_probabilities,
    reported_losses,
    sums,
)
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.rematerialization import is_frugal

# Batches that are copied to the devices before they are needed.
_AHEAD = 2


class JaxSteps(StepFunctions):
    """The steps on the devices of a mesh; XLA compiles them in any case."""

    def __init__(self, mesh: DeviceMesh, model: keras.Model, recipe: Recipe, **options: Any):
        self._mesh = mesh
        # By id of the variable: its value, if no one but this object has a reference to it and a step may
        # take its memory.
        self._own: dict[int, jax.Array] = {}
        super().__init__(model, recipe, **options)
        variables = self._teacher.variables if self._teacher else ()
        self._teacher_values = [mesh.replicate(variable.numpy()) for variable in variables]

    def _build(self) -> None:
        _check_layers(self._model)
        logits = logits_tensor(self._model)
        model = self._model
        if logits is not None:
            with raised_recursion_limit():
                model = keras.Model(model.inputs, logits, name=model.name)
        self._returns_logits = logits is not None or self._head == LOGITS
        frugal = is_frugal(self._rematerialize, self._jit_compile, "jax")
        self.trained = BlockwiseModel(model, self._rematerialize, frugal)
        self._changing = set(map(id, self._changing_state()))
        self._train = self._compile_train()
        self._test = self._mesh.compile(self._test_on_all, shared=(None, None, 0, 0, 0), per_device=False)

    def _compile_train(self):
        per_device = self._mesh.per_device
        return self._mesh.compile(
            self._train_on_device if per_device else self._train_on_all,
            shared=(None, None, None, None, None, 0, 0, 0),
            per_device=per_device,
            donate=(0, 1, 2),
        )

    def train_step(self, images: Any, labels: Any, flag: float = 0.0) -> list[float]:
        share = self._mesh.share
        total = self._run_train(
            self._inner_optimizer.learning_rate.numpy(),
            share(images),
            share(labels),
            share(np.full(self._mesh.local_devices, flag, "float32")),
        )
        return total.tolist()

    def _run_train(self, *arguments) -> np.ndarray:
        """Calls the compiled training function with these arguments; returns its sums."""
        groups = (
            self.trained.trainable_variables,
            self.trained.non_trainable_variables,
            self._optimizer_state(),
        )
        *results, total = self._train(*map(self._values, groups), self._teacher_values, *arguments)
        for variables, values in zip(groups, results, strict=True):
            self._assign(variables, values)
        return np.asarray(total)

    def load_ahead(self, batches: Iterable) -> Iterator:
        waiting: collections.deque = collections.deque()
        for batch in batches:
            waiting.append(tuple(self._mesh.share(part) for part in batch))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        yield from waiting

    def test_step(self, images: Any, labels: Any, sample_weight: Any) -> list[float]:
        missing = self._mesh.largest(len(labels)) - len(labels)
        batch = (images, labels, sample_weight)
        total = self._test(
            self._values(self.trained.trainable_variables),
            self._values(self.trained.non_trainable_variables),
            *(self._mesh.share(pad(part, missing)) for part in batch),
        )
        return np.asarray(total).tolist()

    def release(self) -> None:
        for variable in self.variables.values():
            # Results that a lost worker had a part in cannot be read.
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                variable.assign(variable.numpy())
        self._own.clear()

    def _values(self, variables: Iterable[keras.Variable]) -> list[jax.Array]:
        """Returns the values on the mesh's devices; what others have assigned is copied there first."""
        for variable in variables:
            if self._own.get(id(variable)) is not variable.value:
                self._assign([variable], [self._mesh.replicate(variable.numpy())])
        return [variable.value for variable in variables]

    def _assign(self, variables: Iterable[keras.Variable], values: Iterable[jax.Array]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
            self._own[id(variable)] = variable.value

    @property
    def _inner_optimizer(self) -> Any:
        return getattr(self.optimizer, "inner_optimizer", self.optimizer)

    @property
    def _scales_loss(self) -> bool:
        return self._inner_optimizer is not self.optimizer

    def _optimizer_state(self) -> list[keras.Variable]:
        """Returns the variables of the optimizer that `_update` changes, in its order."""
        inner = self._inner_optimizer
        velocities = [inner.velocity(weight) for weight in self.trained.trainable_variables]
        state = [velocity for velocity in velocities if velocity is not None]
        state.append(inner.iterations)
        if self._scales_loss:
            state += [self.optimizer.step_counter, self.optimizer.dynamic_scale]
        return state

    def _train_on_device(self, *arguments):
        return self._step(*arguments, groups=1, add_up=lambda values: jax.lax.psum(values, DEVICES))

    def _train_on_all(self, *arguments):
        return self._step(*arguments, groups=self._mesh.devices, add_up=lambda values: values)

    def _step(
        self,
        weights,
        state,
        optimizer_state,
        teacher,
        learning_rate,
        images,
        labels,
        flags,
        *,
        groups,
        add_up,
    ):
        """Returns weights, state and state of the optimizer after a step, and the sums.

        Args:
            teacher: values of its variables, if any.
            groups: number of devices whose images these are.
            add_up: a pytree, over the devices that have other images.
        """
        others = self._mesh.devices // groups
        self._images_at_once(len(labels) // groups)
        num_images = len(labels) * others
        scale = optimizer_state[-1] if self._scales_loss else 1.0

        def loss_of(weights, state, x, y):
            outputs, logits, state = self._call(weights, state, x, training=True)
            taught = self._teacher_scores(teacher, x) if self._distillation else None
            losses = self._losses(y, outputs, logits, taught)
            probabilities = class_probabilities(outputs, logits, self._head)
            total = sums(losses, y, probabilities, jnp.ones(len(y), "float32"), self._metrics, self._head)
            return jnp.sum(losses) / num_images * scale, (state, total)

        def part(state, x, y):
            (_, (state, total)), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, state, x, y)
            return state, (gradients, total)

        parts = self._gradient_accumulation_steps
        if parts == 1:
            state, results = part(state, images, labels)
        else:
            # One part after another, or all would be in memory at the same time.
            batches = tuple(_split(array, parts, groups) for array in (images, labels))
            first = jax.tree.map(
                jnp.zeros_like, jax.eval_shape(part, state, *(part_[0] for part_ in batches))[1]
            )

            def add(carry, batch):
                state, results = carry
                state, new = part(state, *batch)
                return (state, jax.tree.map(jnp.add, results, new)), None

            (state, results), _ = jax.lax.scan(add, (state, first), batches)
        gradients, total, flag = add_up((*results, jnp.sum(flags)))
        if others > 1:
            state = self._mean_state(state, add_up, others)
        weights, optimizer_state = self._update(weights, optimizer_state, gradients, learning_rate)
        return weights, state, optimizer_state, jnp.append(total, flag)

    def _teacher_scores(self, values, images):
        assert self._teacher is not None
        assert self._distillation is not None
        mapping = list(zip(self._teacher.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            outputs = self._teacher(images, training=False)
        return jax.lax.stop_gradient(self._distillation.scores(outputs))

    def _mean_state(self, state, add_up, devices):
        """Returns the state, averaged over all devices, so that each device has the same."""
        averaged = [
            number
            for number, variable in enumerate(self.trained.non_trainable_variables)
            if id(variable) in self._changing and jnp.issubdtype(state[number].dtype, jnp.floating)
        ]
        state = list(state)
        for number, value in zip(averaged, add_up([state[number] for number in averaged]), strict=True):
            state[number] = value / devices
        return state

    def _update(self, weights, optimizer_state, gradients, learning_rate):
        """Returns weights and state of the optimizer after a step; with loss scaling, as Keras scales."""
        variables = self.trained.trainable_variables
        inner, scaled = self._inner_optimizer, self._scales_loss
        own = optimizer_state[: -3 if scaled else -1]
        iterations = optimizer_state[len(own)]
        if scaled:
            gradients = [gradient / optimizer_state[-1].astype(gradient.dtype) for gradient in gradients]
        velocities = own or [None] * len(variables)
        stepped = [
            inner.updated(gradient, weight, velocity, learning_rate)
            for gradient, weight, velocity in zip(gradients, weights, velocities, strict=True)
        ]
        new_weights = [weight for weight, _ in stepped]
        new_own = [velocity for _, velocity in stepped if velocity is not None]
        if not scaled:
            return new_weights, [*new_own, iterations + 1]
        counter, scale = optimizer_state[-2:]
        finite = jnp.all(jnp.stack([jnp.isfinite(gradient).all() for gradient in gradients]))

        def choose(new, old):
            return jnp.where(finite, new, old)

        grows = counter == self.optimizer.dynamic_growth_steps - 1
        return (
            jax.tree.map(choose, new_weights, weights),
            [
                *jax.tree.map(choose, new_own, own),
                choose(iterations + 1, iterations),
                choose(jnp.where(grows, 0, counter + 1), 0),
                scale * choose(jnp.where(grows, 2.0, 1.0), 0.5),
            ],
        )

    def _test_on_all(self, weights, state, images, labels, sample_weight):
        outputs, logits, _ = self._call(weights, state, images, training=False)
        probabilities = class_probabilities(outputs, logits, self._head)
        losses = reported_losses(labels, outputs, logits, self._head)
        total = sums(losses, labels, probabilities, sample_weight, self._metrics, self._head)
        return jnp.concatenate([total, class_counts(labels, probabilities, sample_weight, self._head)])

    def _call(self, weights, state, images, training):
        """Returns the outputs, the logits behind them where they are known, and the new state."""
        trained = self.trained
        values = zip(
            trained.trainable_variables + trained.non_trainable_variables, (*weights, *state), strict=True
        )
        # Not `stateless_call`, which tells nested layers nothing of `training`.
        with linear_head(self._model) as silenced, keras.StatelessScope(state_mapping=values) as scope:
            outputs = trained(images, training=training)
        state = [scope.get_current_value(variable) for variable in trained.non_trainable_variables]
        if not (silenced or self._returns_logits):
            return outputs, None, state
        is_sigmoid = self._head in (SIGMOID, MULTI_LABEL)
        probabilities = keras.ops.sigmoid(outputs) if is_sigmoid else outputs
        return probabilities, outputs, state

    def _make_averages(self, decay: float) -> ExponentialMovingAverage:
        weights = [weight for weight in self.trained.variables if "float" in weight.dtype]
        averages = average_variables(weights)
        interpolated = self._mesh.compile(
            lambda averages, weights, share: [
                weight + (average - weight) * share.astype(weight.dtype)
                for average, weight in zip(averages, weights, strict=True)
            ],
            shared=(None, None, None),
            per_device=False,
            donate=(0,),
        )

        def interpolate(share):
            values = interpolated(self._values(averages), self._values(weights), np.float32(share))
            self._assign(averages, values)

        def exchange():
            values = self._values(averages), self._values(weights)
            self._assign(averages, values[1])
            self._assign(weights, values[0])

        return ExponentialMovingAverage(averages, decay, interpolate, exchange)


def _split(array: jax.Array, parts: int, groups: int) -> jax.Array:
    """Splits the images of each device into parts, (n, ...) -> (parts, n / parts, ...)."""
    rows = array.reshape((groups, parts, -1, *array.shape[1:]))
    return rows.swapaxes(0, 1).reshape((parts, -1, *array.shape[1:]))


def pad(part: Any, missing: int) -> Any:
    """Appends zeros: images of weight 0 where another worker has more of them, or steps not to compute."""
    return np.pad(np.asarray(part), [(0, missing)] + [(0, 0)] * (np.ndim(part) - 1)) if missing else part


def _check_layers(model: keras.Model) -> None:
    for layer in model.layers:
        if getattr(layer, "synchronized", False):
            raise UserError(
                f"{layer.name} has synchronized=True, which Keras does not compute on JAX; build it without, "
                "and train with sync_batch_norm.",
                parameter="model",
                value=model.name,
            )
