"""Training: one loop for one device and for many machines."""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.errors import UserError
from keras_resnet.models.freezing import stages, trainable_as_before
from keras_resnet.training.checkpoint import Checkpoints, check_arrays
from keras_resnet.training.feed import EvaluationData, TrainingData, as_training_data
from keras_resnet.training.interruption import Interrupted, wish_to_stop
from keras_resnet.training.learning_rate import LearningRate
from keras_resnet.training.progress import ProgressBar
from keras_resnet.training.recipes import RECIPES, Recipe
from keras_resnet.training.step import Metric, Steps
from keras_resnet.training.strategy import local_replicas, others_may_be_lost, place, total

# Below this share of the step nobody would notice that it waits for images.
_WORTH_SAYING = 0.1
# After a rollback the learning rate is multiplied by this.
_AFTER_ROLLBACK = 0.1


@dataclasses.dataclass
class Progress:
    """Where a training is; with the variables, all there is to know to go on.

    Args:
        step: steps done.
        sums: of the epoch so far, by name: of each metric over the images, and `images`.
        history: of each metric, a value an epoch.
        best: lowest validation error so far, 0..1.
        best_step: when that was.
        rollbacks: how often training went back because its loss was no number.
        seconds: spent so far.
    """

    step: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    best: float = math.inf
    best_step: int | None = None
    rollbacks: int = 0
    seconds: float = 0.0


def train(
    model: keras.Model,
    train_data: TrainingData | tf.data.Dataset,
    validation_data: tf.data.Dataset,
    recipe: Recipe | str,
    *,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    checkpoints: Checkpoints | None = None,
    accumulate: int = 1,
    max_rollbacks: int = 0,
    jit_compile: bool = False,
    rematerialized: Collection[str] = (),
) -> Progress:
    """Train a classifier, from the last checkpoint on where there is one.

    The history of what is returned has `loss`, `error`, `val_loss`, `val_error` and `learning_rate`, one
    value an epoch, and what `metrics` add. Call this in the scope of the strategy in which the model was
    built; under one of several machines, call it on each. What the recipe freezes in between is trainable
    afterwards if it was before.

    Args:
        model: a flat net that gives class probabilities; its weights are trained in place.
        train_data: an epoch of batches (images, integer labels), or labels (n, classes) that share out each
            image; or a `TrainingData`, which can begin at any step.
        validation_data: batches (images, integer labels), of this worker; each image counts once.
        recipe: a recipe, or the name of one in `RECIPES`.
        callbacks: Keras' own or the user's; a progress bar if there are none.
        metrics: functions of (labels, probabilities) that give a value for each image, as those of
            keras.metrics do.
        checkpoints: where the state is kept.
        accumulate: parts in which a batch is computed, one after another, in less memory.
        max_rollbacks: how often to go back to the last checkpoint, with a tenth of the learning rate, when
            the loss is no number.
        jit_compile: whether XLA compiles the step; it cannot under a strategy of several devices.
        rematerialized: stages (`conv2`, ...) whose inner activations are computed again for the gradients
            instead of being kept.

    Raises:
        UserError: the loss is no number, the checkpoint is another training's, or the recipe unfreezes a
            stage that the net has not.
        Interrupted: SIGINT or SIGTERM asked for it; the state was saved.
    """
    recipe = RECIPES[recipe] if isinstance(recipe, str) else recipe
    with trainable_as_before(model) if recipe.unfreeze else contextlib.nullcontext():
        steps = Steps(
            model,
            recipe,
            accumulate=accumulate,
            metrics=metrics,
            jit_compile=jit_compile,
            rematerialized=rematerialized,
        )
        data = as_training_data(train_data)
        if checkpoints is not None:
            names = {"metrics": steps.names, "steps_per_epoch": data.steps_per_epoch}
            checkpoints.identify({**dataclasses.asdict(recipe), **names})
        loop = _Loop(model, steps, data, validation_data, recipe, checkpoints, max_rollbacks)
        loop.go_on()
        loop.run([ProgressBar()] if callbacks is None else list(callbacks))
    return loop.progress


class _Loop:
    def __init__(
        self,
        model: keras.Model,
        steps: Steps,
        train_data: TrainingData,
        validation_data: tf.data.Dataset,
        recipe: Recipe,
        checkpoints: Checkpoints | None,
        max_rollbacks: int,
    ):
        self.progress = Progress()
        self._strategy = tf.distribute.get_strategy()
        self._place = place(self._strategy)
        self._model, self._steps, self._data = model, steps, train_data
        self._validation = EvaluationData(validation_data, self._place, local_replicas(self._strategy))
        self._checkpoints, self._max_rollbacks = checkpoints, max_rollbacks
        self._total = recipe.total_steps(train_data.steps_per_epoch)
        self._epochs = recipe.total_epochs(train_data.steps_per_epoch)
        self._rate = LearningRate(recipe, train_data.steps_per_epoch)
        self._rate_set: float | None = None
        self._phases = recipe.phases(train_data.steps_per_epoch)
        self._trained_from: str | None = None
        self._batches: Iterator | None = None

    def go_on(self) -> None:
        """Take up the last checkpoint, where there is one, and say so."""
        if self.resume() and self._checkpoints is not None and self._place.is_chief:
            done = f"step {self.progress.step:,} of {self._total:,}"
            print(f"Going on after {done}, from {self._checkpoints.last}.", flush=True)

    def resume(self) -> bool:
        """Take up the last checkpoint; whether there is one."""
        checkpoint = None if self._checkpoints is None else self._checkpoints.latest()
        if checkpoint is not None:
            variables = self._steps.variables
            check_arrays(checkpoint, {name: tuple(variable.shape) for name, variable in variables.items()})
            for name, variable in variables.items():
                variable.assign(checkpoint.arrays[name])
            self.progress = Progress(**checkpoint.meta["progress"])
            for field, value in checkpoint.meta["learning_rate"].items():
                setattr(self._rate, field, value)
        self._batches = self._rate_set = None
        if self._place.workers > 1:
            self._agree()
        return checkpoint is not None

    def run(self, callbacks: list[keras.callbacks.Callback]) -> None:
        """Train to the end."""
        per_epoch = self._data.steps_per_epoch
        model, averages = self._model, self._steps.averages
        # What callbacks of Keras look for in a model.
        model.optimizer, model.stop_training = self._steps.optimizer, False
        told = keras.callbacks.CallbackList(
            callbacks,
            model=model,
            epochs=self._epochs,
            steps=per_epoch,
            notes=[],
            history=self.progress.history,
        )
        with wish_to_stop() as self._wish:
            self._begun = time.monotonic() - self.progress.seconds
            self._set_rate()
            told.on_train_begin()
            if self.progress.step == 0:
                self._save()
            while self.progress.step < self._total and not model.stop_training:
                self._epoch(told)
            with self._averaged():
                told.on_train_end()
            model.optimizer = None
            self.progress.seconds = time.monotonic() - self._begun
            if self._wish and self._place.workers == 1:
                self._stop()  # asked for in the last test; what comes after training has not begun
            if averages:
                averages.swap()

    def _epoch(self, told: keras.callbacks.CallbackList) -> None:
        """From where training is to the end of the epoch, and the test after it."""
        per_epoch = self._data.steps_per_epoch
        epoch = self.progress.step // per_epoch
        last = min((epoch + 1) * per_epoch, self._total)
        told.params["history"] = self.progress.history  # another one after a rollback
        told.on_epoch_begin(epoch)
        pace = _Pace()
        while self.progress.step < last:
            if self._set_phase(told):
                pace = _Pace()  # whose first step is traced
            number = self.progress.step - epoch * per_epoch
            rate = self._set_rate()
            told.on_train_batch_begin(number)
            with pace.waiting():
                images, labels = self._next_batch()
            with others_may_be_lost(self._strategy):
                *sums, stop = self._steps.train(images, labels, float(bool(self._wish)))
            # The last weights have no next step to show that they are none.
            if not math.isfinite(sums[0]) or (self.progress.step + 1 == self._total and not self._finite()):
                self._diverged(rate)
                return
            self._note(sums)
            speed = pace.after_step(sums[-1])
            told.on_train_batch_end(
                number, {**self._means(), "learning_rate": rate, "images_per_second": speed}
            )
            if self.progress.step == last:
                break  # saved after the test, which belongs to the epoch
            if stop:
                self._stop()
            if self._checkpoints is not None and self._checkpoints.due():
                self._save()
        if pace.waited >= _WORTH_SAYING:
            told.params["notes"].append(f"input-bound: {pace.waited:.0%} of the step is waiting for images")
        logs = {**self._means(), **self._tested(), "learning_rate": rate}
        for name, value in logs.items():
            self.progress.history.setdefault(name, []).append(value)
        self.progress.sums = {}
        if logs["val_error"] < self.progress.best:
            self.progress.best, self.progress.best_step = logs["val_error"], self.progress.step
        if self._rate.after_epoch(logs["val_error"]):
            rate = self._rate.at(self.progress.step)
            told.params["notes"].append(f"The validation error stays: learning rate {rate:.3g} from here on.")
        # Here as well, for a note that comes when the phase begins, and not an epoch later.
        self._set_phase(told)
        # Before the callbacks, which may raise; and what they write, a resumed run writes again.
        self._save()
        with self._averaged():
            told.on_epoch_end(epoch, logs)
        if stop and self.progress.step < self._total:
            self._stop()

    def _next_batch(self) -> tuple[tf.Tensor, tf.Tensor]:
        if self._batches is None:
            self._batches = iter(
                self._data.batches(self.progress.step, self._place.worker, self._place.workers)
            )
        return next(self._batches)

    def _set_rate(self) -> float:
        """Set the learning rate where the recipe changes it: a callback of the user's may do so as well."""
        rate = self._rate.at(self.progress.step)
        if rate != self._rate_set:
            self._steps.optimizer.learning_rate = self._rate_set = rate
        return rate

    def _set_phase(self, told: keras.callbacks.CallbackList) -> bool:
        """Freeze and unfreeze what the recipe says for the step that comes; whether that is a change."""
        if not self._phases:
            return False
        stage = self._phases[max(first for first in self._phases if first <= self.progress.step)]
        if stage == self._trained_from:
            return False
        self._steps.train_from(stage)
        self._trained_from = stage
        known = stages(self._model)
        trained = ", ".join(known[known.index(stage) :])
        told.params["notes"].append(f"Trained from here on: {trained}.")
        return True

    def _note(self, sums: list[float]) -> None:
        for name, value in zip((*self._steps.names, "images"), sums, strict=True):
            self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value
        if self._steps.averages:
            self._steps.averages.move(self.progress.step)
        self._rate.after_step(sums[1] / sums[-1])
        self.progress.step += 1

    def _means(self) -> dict[str, float]:
        return _means(self.progress.sums)

    def _tested(self) -> dict[str, float]:
        """Means over the validation images, of the averaged weights where there are any."""
        totals = [0.0] * (len(self._steps.names) + 1)
        with self._averaged():
            for batch in self._validation:
                with others_may_be_lost(self._strategy):
                    sums = self._steps.test(*batch)
                if not sums[-1]:
                    break
                totals = [one + other for one, other in zip(totals, sums, strict=True)]
        means = _means(dict(zip((*self._steps.names, "images"), totals, strict=True)))
        return {f"val_{name}": value for name, value in means.items()}

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averaged weights in the place of the others, where there are any."""
        averages = self._steps.averages
        if averages:
            averages.swap()
        yield
        if averages:
            averages.swap()

    def _save(self) -> bool:
        """Write a checkpoint, unless the last step has spoilt the weights, which only the next loss shows."""
        if self._checkpoints is None or not self._place.is_chief or not self._finite():
            return False
        self.progress.seconds = time.monotonic() - self._begun
        return self._checkpoints.save(
            self.progress.step,
            {name: variable.numpy() for name, variable in self._steps.variables.items()},
            {"progress": dataclasses.asdict(self.progress), "learning_rate": dataclasses.asdict(self._rate)},
            self.progress.best_step,
        )

    def _finite(self) -> bool:
        return all(np.isfinite(weight.numpy()).all() for weight in self._steps.trained.trainable_variables)

    def _stop(self) -> None:
        saved = self._save()
        if self._place.workers > 1:
            # Who ends first may have the others ended, and the first worker is still writing.
            total(self._strategy, 0)
        last = None if self._checkpoints is None else self._checkpoints.last
        if saved:
            after = f"saved as {last}; the same command goes on from there"
        elif not self._place.is_chief:
            after = "saved by the first worker; the same command goes on from there"
        else:
            after = f"NOT saved; the last good checkpoint is {last or 'none'}"
        raise Interrupted(
            f"stopped after step {self.progress.step:,} of {self._total:,}, {after}.",
            128 + (self._wish.signal or signal.SIGTERM),
        )

    def _diverged(self, rate: float) -> None:
        """Go back to the last checkpoint, or give up."""
        last = None if self._checkpoints is None else self._checkpoints.last
        step, rollbacks, factor = self.progress.step, self.progress.rollbacks, self._rate.factor
        what = f"the loss of step {step + 1:,} is no number, at learning rate {rate:.3g}"
        if rollbacks >= self._max_rollbacks or not self.resume():
            good = f"the last good checkpoint is {last}; " if last else ""
            again = f", after going back {rollbacks} times" if rollbacks else ""
            back = "" if self._max_rollbacks else ", or go back and lower it by --on_nan=rollback"
            raise UserError(f"{what}{again}; {good}lower --learning_rate{back}.")
        self.progress.rollbacks, self._rate.factor = rollbacks + 1, factor * _AFTER_ROLLBACK
        print(
            f"\nWARNING: {what}; back to step {self.progress.step:,}, with a tenth of the learning rate.",
            flush=True,
        )
        self._save()

    def _agree(self) -> None:
        """See that all workers are at the same step.

        Raises:
            UserError: they are not.
        """
        steps = total(self._strategy, self.progress.step)
        if steps != self.progress.step * self._strategy.num_replicas_in_sync:
            raise UserError(
                f"The workers do not find the same checkpoint, and this one is at step "
                f"{self.progress.step:,}; --output_dir must be a folder that all machines share."
            )


class _Pace:
    """How fast an epoch goes, and how much of it is waiting for images.

    From its second step on: the first one may have to be traced, and finds no images read ahead.
    """

    def __init__(self):
        self._steps, self._images, self._waited = 0, 0.0, 0.0
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """What happens inside is waiting."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def after_step(self, images: float) -> float:
        """Images a second so far."""
        now = time.perf_counter()
        self._steps += 1
        self._images += images
        speed = self._images / (now - self._start)
        if self._steps == 1:
            self._start, self._images, self._waited = now, 0.0, 0.0
        return speed

    @property
    def waited(self) -> float:
        """Share of the time, 0..1."""
        return self._waited / (time.perf_counter() - self._start) if self._steps > 1 else 0.0


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    return {name: value / sums["images"] for name, value in sums.items() if name != "images"}
