"""The learning rate of every step. Imports no TensorFlow."""

import dataclasses
import math

from keras_resnet.training.recipes import Recipe

# A smaller improvement of the validation error (0..1) is noise, not progress.
_MIN_DELTA = 1e-4
# Three drops, as the longest of the paper's schedules.
_MOST_DROPS = 3
# The training error that ends a warm-up is a mean over about so many steps.
_ERROR_STEPS = 20


@dataclasses.dataclass
class LearningRate:
    """Follows a recipe; what it remembers are its fields, and they go into the checkpoint.

    Args:
        drops: how often the plateau has divided the rate by 10.
        best: lowest validation error so far, 0..1.
        waited: epochs since then.
        warming: whether the training error has not yet fallen below the recipe's `warm_up_error`.
        error: a moving mean of the training error.
        factor: of the whole schedule; lowered when training diverges.
    """

    recipe: dataclasses.InitVar[Recipe]
    steps_per_epoch: dataclasses.InitVar[int]
    drops: int = 0
    best: float = math.inf
    waited: int = 0
    warming: bool = True
    error: float = 1.0
    factor: float = 1.0

    def __post_init__(self, recipe: Recipe, steps_per_epoch: int):
        self._recipe = recipe
        self._steps = recipe.total_steps(steps_per_epoch)
        self._warm_up = min(self._steps - 1, round(recipe.warm_up_epochs * steps_per_epoch))

    def at(self, step: int) -> float:
        """The rate of a step, counted from 0."""
        recipe = self._recipe
        rate = recipe.learning_rate * self.factor
        if step < self._warm_up:
            return rate * (step + 1) / (self._warm_up + 1)
        if recipe.warm_up_error and self.warming:
            return rate / 10
        if recipe.schedule == "cosine":
            done = (step - self._warm_up) / (self._steps - self._warm_up)
            return rate * 0.5 * (1 + math.cos(math.pi * done))
        if recipe.schedule == "drops":
            return rate / 10 ** sum(step >= drop for drop in recipe.drops)
        return rate / 10**self.drops

    def after_step(self, error: float) -> None:
        """Take note of a step's training error, 0..1."""
        self.error += (error - self.error) / _ERROR_STEPS
        if self.error < self._recipe.warm_up_error:
            self.warming = False

    def after_epoch(self, error: float) -> bool:
        """Take note of an epoch's validation error, 0..1; whether the rate falls for it."""
        if error < self.best - _MIN_DELTA:
            self.best, self.waited = error, 0
            return False
        self.waited += 1
        if self._recipe.schedule != "plateau" or self.waited < self._recipe.patience:
            return False
        self.waited = 0
        self.drops, before = min(self.drops + 1, _MOST_DROPS), self.drops
        return self.drops > before
