"""The learning rate of the optimizer: that of the schedule, until a callback sets another one."""

import contextlib
from collections.abc import Iterator

import keras

from keras_resnet.errors import UserError
from keras_resnet.training.schedule import LearningRate


class RateControl:
    """Sets the optimizer's learning rate by a schedule, and adopts what callbacks set it to.

    Args:
        model: whose `optimizer` is what callbacks look for.
        optimizer: of the training steps.
        schedule: the learning rate of each step; another one after a checkpoint was restored.
        notes: takes a line for the user when a callback replaces the schedule.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        schedule: LearningRate,
        notes: list[str],
    ):
        self._model, self._optimizer, self._notes = model, optimizer, notes
        self.schedule = schedule
        self._last_rate: float | None = None
        self._in_optimizer = (0, 0.0)  # changes of the rate, and its value, as of the last look

    def set(self, step: int) -> float:
        """Sets the learning rate of a step, and returns it."""
        self.adopt(step)
        rate = self.schedule.at(step)
        if rate != self._last_rate:
            self._optimizer.learning_rate = self._last_rate = rate
            self._in_optimizer = self._look()
        return rate

    def adopt(self, step: int) -> None:
        """Replaces the schedule by the learning rate that a callback has set, if one has since the last look.

        As under `fit`, it then holds until a callback sets another.
        """
        found = self._look()
        if self._last_rate is None or found == self._in_optimizer:
            return  # no callback has been called since it was made or restored, or none has set it
        if self.schedule.callback_rate is None:
            self._notes.append(
                f"A callback has set the learning rate to {found[1]:.3g} after step {step:,}; the "
                "recipe's schedule is not followed from here on."
            )
        self._in_optimizer = found
        self.schedule.callback_rate = self._last_rate = found[1]

    def restore(self, schedule: LearningRate) -> None:
        """Continues with the schedule of a checkpoint."""
        self.schedule = schedule
        self._last_rate = None

    @contextlib.contextmanager
    def undo_callbacks(self, resumed: bool) -> Iterator[None]:
        """Undoes what callbacks do to the learning rate, where they have done it before the checkpoint."""
        before = self.schedule.callback_rate
        yield
        if resumed and self._look() != self._in_optimizer:
            self.schedule.callback_rate = before
            self._last_rate = None

    def _look(self) -> tuple[int, float]:
        rate = self._optimizer.learning_rate
        if self._model.optimizer is not self._optimizer or not isinstance(rate, keras.Variable):
            raise UserError(
                "One has replaced the optimizer, or set its learning rate to a schedule, which a training in "
                "progress cannot follow; set optimizer.learning_rate to a number, whenever it changes.",
                parameter="callbacks",
            )
        changes = getattr(self._optimizer, "inner_optimizer", self._optimizer).learning_rate_changes
        return changes, float(rate.numpy())
