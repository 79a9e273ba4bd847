"""The learning rate of every step. Imports no TensorFlow."""

import dataclasses
import math

from keras_resnet.training.recipes import Recipe

# A smaller improvement of the validation error (0..1) is noise.
_MIN_DELTA = 1e-4
# As many as in the longest of the paper's schedules.
_MAX_DROPS = 3
# The training error that ends a warmup is averaged over about this many steps.
_ERROR_STEPS = 20


@dataclasses.dataclass
class LearningRate:
    """Follows a recipe's schedule; its fields are its state, which goes into the checkpoint.

    Args:
        num_drops: how often a plateau has divided the learning rate by 10.
        best_error: lowest validation error so far, 0..1.
        num_bad_epochs: epochs since then.
        warming_up: whether the training error has not yet fallen below the recipe's `warmup_error`.
        mean_error: moving average of the training error, 0..1.
        factor: of the schedule; lowered when training diverges.
        callback_rate: learning rate that a callback has set, which replaces the schedule; None: none has.
    """

    recipe: dataclasses.InitVar[Recipe]
    steps_per_epoch: dataclasses.InitVar[int]
    num_drops: int = 0
    best_error: float = math.inf
    num_bad_epochs: int = 0
    warming_up: bool = True
    mean_error: float = 1.0
    factor: float = 1.0
    callback_rate: float | None = None

    def __post_init__(self, recipe: Recipe, steps_per_epoch: int):
        self._recipe = recipe
        self._total_steps = recipe.total_steps(steps_per_epoch)
        self._warmup_steps = min(self._total_steps - 1, round(recipe.warmup_epochs * steps_per_epoch))

    def at(self, step: int) -> float:
        """Returns the learning rate of a step, counted from 0."""
        if self.callback_rate is not None:
            return self.callback_rate
        recipe = self._recipe
        rate = recipe.learning_rate * self.factor
        if step < self._warmup_steps:
            return rate * (step + 1) / (self._warmup_steps + 1)
        if recipe.warmup_error and self.warming_up:
            return rate / 10
        if recipe.schedule == "cosine":
            done = (step - self._warmup_steps) / (self._total_steps - self._warmup_steps)
            return rate * 0.5 * (1 + math.cos(math.pi * done))
        if recipe.schedule == "multistep":
            return rate / 10 ** sum(step >= milestone for milestone in recipe.milestones)
        return rate / 10**self.num_drops

    def after_step(self, error: float) -> None:
        """Records the training error of a step, 0..1."""
        self.mean_error += (error - self.mean_error) / _ERROR_STEPS
        if self.mean_error < self._recipe.warmup_error:
            self.warming_up = False

    def after_epoch(self, error: float) -> bool:
        """Records the validation error of an epoch, 0..1; returns whether the learning rate drops."""
        if error < self.best_error - _MIN_DELTA:
            self.best_error, self.num_bad_epochs = error, 0
            return False
        self.num_bad_epochs += 1
        if self.callback_rate is not None or self._recipe.schedule != "plateau":
            return False
        if self.num_bad_epochs < self._recipe.patience:
            return False
        self.num_bad_epochs = 0
        self.num_drops, before = min(self.num_drops + 1, _MAX_DROPS), self.num_drops
        return self.num_drops > before

    def lower(self, factor: float) -> None:
        """Multiplies the learning rate of all further steps."""
        self.factor *= factor
        if self.callback_rate is not None:
            self.callback_rate *= factor
