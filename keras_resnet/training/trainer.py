"""The training loop: one for a single device and for many machines."""

import contextlib
import dataclasses
import hashlib
import itertools
import logging
import math
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import keras
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.models.freezing import stages
from keras_resnet.training.callbacks.checks import watches_steps
from keras_resnet.training.callbacks.state import (
    States,
    callback_states,
    restore_callback_states,
    split_arrays,
)
from keras_resnet.training.checkpoint import Checkpoint, Checkpoints, check_arrays
from keras_resnet.training.class_metrics import class_metrics
from keras_resnet.training.engines import Engine
from keras_resnet.training.engines.steps import StepFunctions
from keras_resnet.training.input import EvaluationData, ResumableData, check_batch_size
from keras_resnet.training.rate_control import RateControl
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.schedule import LearningRate
from keras_resnet.training.signals import Interrupted, catch_stop_signals
from keras_resnet.training.state import TrainState
from keras_resnet.training.throughput import Throughput, Waiting

# After a rollback the learning rate is multiplied by this.
_ROLLBACK_FACTOR = 0.1
_LOG = logging.getLogger(__name__)


class Trainer:
    """Runs the steps of one training, and saves and restores its state.

    Args:
        model: of the user; the steps train its weights.
        engine: that computes them.
        steps: made of the model.
        train_data: augmented as the recipe says.
        validation_data: batches (images, integer labels), of this worker.
        recipe: of the training.
        checkpoints: where the state is kept, or None.
        max_rollbacks: how often to return to the last checkpoint when training diverges.
        restore_best: whether the model ends with the weights of the best epoch, from its checkpoint.
        stop_after: number of epochs without a better one after which the training ends.
    """

    def __init__(
        self,
        model: keras.Model,
        engine: Engine,
        steps: StepFunctions,
        train_data: ResumableData,
        validation_data: Iterable,
        recipe: Recipe,
        checkpoints: Checkpoints | None,
        max_rollbacks: int,
        restore_best: bool = False,
        stop_after: int | None = None,
    ):
        self.state = TrainState()
        self._engine, self._worker = engine, engine.worker
        self._model, self._steps, self._data, self._recipe = model, steps, train_data, recipe
        self._validation = EvaluationData(validation_data, engine.worker, engine.local_devices)
        self._checkpoints, self._max_rollbacks = checkpoints, max_rollbacks
        self._restores_best, self._stop_after = restore_best, stop_after
        self._total_steps = recipe.total_steps(train_data.steps_per_epoch)
        self._epochs = recipe.total_epochs(train_data.steps_per_epoch)
        self._callbacks: Sequence[keras.callbacks.Callback] = ()
        self._callback_states: tuple[States, dict[str, np.ndarray]] = ({}, {})  # of the checkpoint
        self._phases = recipe.phases(train_data.steps_per_epoch)
        self._stage: str | None = None  # from which on is trained
        self._batches: Iterator | None = None
        self._notes: list[str] = []
        self._waiting = Waiting(train_data.advice)
        schedule = LearningRate(recipe, train_data.steps_per_epoch)
        self._rate = RateControl(model, steps.optimizer, schedule, self._notes)

    def resume(self, checkpoint: Checkpoint | None) -> None:
        """Restores the state of a checkpoint, where there is one, and logs it.

        Raises:
            UserError: the checkpoint is of a different model, or not all workers have the same one.
        """
        self._restore(checkpoint)
        if checkpoint is not None and self._worker.is_chief:
            _LOG.info(
                "Resuming after step %s of %s from %s.",
                f"{self.state.step:,}",
                f"{self._total_steps:,}",
                checkpoint.path,
            )

    def run(self, callbacks: list[keras.callbacks.Callback]) -> None:
        """Trains to the end; afterwards the model has the averaged weights, where the recipe has any.

        Raises:
            UserError: training has diverged.
            Interrupted: SIGINT or SIGTERM was received.
        """
        model, averages = self._model, self._steps.averages
        own_optimizer = getattr(model, "optimizer", None)
        # What Keras' callbacks look for in a model.
        model.optimizer, model.stop_training = self._steps.optimizer, False
        try:
            self._callbacks = callbacks
            self._watches_steps = any(map(watches_steps, callbacks))
            callback_list = keras.callbacks.CallbackList(
                callbacks,
                model=model,
                epochs=self._epochs,
                steps=self._data.steps_per_epoch,
                verbose=1,
                history=self.state.history,
            )
            # Around all of it: an engine may report a lost worker where a result is read, and not before.
            with catch_stop_signals() as self._stop_request, self._engine.handle_lost_workers():
                self._start = time.monotonic() - self.state.seconds
                self._rate.set(self.state.step)
                with self._rate.undo_callbacks(self.state.step > 0):
                    callback_list.on_train_begin()
                self._restore_callbacks()
                if self.state.step < self._total_steps and not self.state.stopped:
                    self._start_batches()  # before the first checkpoint: they may not fit the recipe
                if self.state.step == 0:
                    self._save()
                while self.state.step < self._total_steps and not self.state.stopped:
                    self._epoch(callback_list)
                changed = self._end(callback_list)
                if self._restores_best and not changed:
                    self._restore_best()
                self.state.seconds = time.monotonic() - self._start
                if self._stop_request and self._worker.workers == 1:
                    self._stop()  # received after the last step; what follows training has not begun
                if averages:
                    averages.swap()
        finally:
            model.optimizer = own_optimizer
            self._steps.release()

    def _epoch(self, callback_list: keras.callbacks.CallbackList) -> None:
        """Trains to the end of the current epoch, and validates."""
        per_epoch = self._data.steps_per_epoch
        epoch = self.state.step // per_epoch
        last = min((epoch + 1) * per_epoch, self._total_steps)
        callback_list.params["history"] = self.state.history  # another one after a rollback
        with self._rate.undo_callbacks(self.state.step % per_epoch > 0):
            callback_list.on_epoch_begin(epoch)
        throughput = Throughput()
        while self.state.step < last:
            if self._set_phase():
                throughput = Throughput()  # its first step is traced
            self._rate.set(self.state.step)
            callback_list.on_train_batch_begin(self.state.step - epoch * per_epoch)
            rate = self._rate.set(self.state.step)
            rates = self._rates_of_call(rate, last)
            with throughput.waiting():
                batches = [self._next_batch() for _ in rates]
            results = self._steps.train_steps(batches, rates, float(bool(self._stop_request)))
            speed = throughput.after_steps(sum(sums[-2] for sums in results))
            for rate, (*sums, stop) in zip(rates, results, strict=True):  # noqa: B007
                # A loss shows what the step before it has done to the weights; no loss follows the last step.
                is_last = self.state.step + 1 == self._total_steps
                if not math.isfinite(sums[0]) or (is_last and not self._weights_are_finite()):
                    self._handle_divergence(rate)
                    return
                self._record(sums)
                logs = {**_means(self.state.sums), "learning_rate": rate, "images_per_second": speed}
                callback_list.on_train_batch_end(self.state.step - 1 - epoch * per_epoch, logs)
            advice = self._waiting.advice_within(throughput)
            if advice and self._worker.is_chief:
                _LOG.warning("%s", advice)
            if self.state.step == last or self._model.stop_training:
                break  # saved after the validation, which belongs to the epoch
            if stop:
                self._stop()
            if self._checkpoints is not None and self._checkpoints.due():
                self._save()
        self._notes += self._waiting.notes_after(throughput)
        self._end_epoch(epoch, rate, callback_list)
        if stop and not self.state.stopped and self.state.step < self._total_steps:
            self._stop()

    def _end_epoch(self, epoch: int, rate: float, callback_list: keras.callbacks.CallbackList) -> None:
        """Validates, updates the history and the schedule, saves, and calls the callbacks."""
        state = self.state
        logs = {**_means(state.sums), **self._validate(callback_list), "learning_rate": rate}
        for name, value in logs.items():
            state.history.setdefault(name, []).append(value)
        state.sums = {}
        if (logs["val_error"], logs["val_loss"]) < (state.best_error, state.best_loss):
            state.best_error, state.best_loss = logs["val_error"], logs["val_loss"]
            state.best_step = state.step
        if self._rate.schedule.after_epoch(logs["val_error"]):
            new_rate = self._rate.schedule.at(state.step)
            self._notes.append(
                f"The validation error stopped improving: learning rate {new_rate:.3g} from now on."
            )
        # Already here, so that its note is logged before the phase and not an epoch later.
        self._set_phase()
        try:
            with self._averaged_weights():
                callback_list.on_epoch_end(epoch, logs)
            state.stopped = bool(self._model.stop_training) or self._is_stuck()
        finally:
            # With the learning rate that callbacks have set, and with what they remember; also where one has
            # raised. What they write, a resumed training writes again.
            self._save()
        # After the callbacks: a note would break the progress bar.
        for note in self._notes:
            if self._worker.is_chief:
                _LOG.info("%s", note)
        self._notes.clear()

    def _epoch_of(self, step: int) -> int:
        """Returns the epoch that a step belongs to whose end was validated, counted from 1."""
        return -(-step // self._data.steps_per_epoch)

    def _is_stuck(self) -> bool:
        """Whether `stop_after` epochs have passed without a better one."""
        best, now = self._epoch_of(self.state.best_step or 0), self._epoch_of(self.state.step)
        if self._stop_after is None or now - best < self._stop_after or self.state.step == self._total_steps:
            return False
        self._notes.append(
            f"Training ends: no epoch has been better than epoch {best} for {now - best} epochs."
        )
        return True

    def _restore_best(self) -> None:
        """Puts the weights and averages of the best epoch into the model, from its checkpoint.

        Where that cannot be read, those of the last epoch stay, on all workers, and a warning says so.
        """
        state, arrays = self.state, None
        if state.best_step is None or state.best_step == state.step:
            return
        assert self._checkpoints is not None
        try:
            arrays, _ = split_arrays(self._checkpoints.at(state.best_step).arrays)
        except (UserError, OSError) as error:
            _LOG.warning(
                "The best epoch cannot be restored; the model has the weights of the last. %s", error
            )
        found = self._engine.all_reduce_sum(float(arrays is not None))
        if arrays is None or found < self._worker.workers:
            return
        for name, variable in self._steps.variables.items():
            if name.startswith(("weights/", "averages/")):
                variable.assign(arrays[name])
        self._set_epoch(self._epoch_of(state.best_step))
        if self._worker.is_chief:
            _LOG.info(
                "The model has the weights of epoch %s of %s, with the lowest validation error, %.2f%%.",
                state.epoch,
                self._epoch_of(state.step),
                100 * state.validation["val_error"],
            )

    def _set_epoch(self, epoch: int) -> None:
        """Notes of which epoch the weights are, and what its validation gave."""
        self.state.epoch = epoch
        self.state.validation = {
            name: values[epoch - 1] for name, values in self.state.history.items() if name.startswith("val_")
        }

    def _end(self, callback_list: keras.callbacks.CallbackList) -> bool:
        """Calls the callbacks for the last time, and validates what they leave if they change the weights.

        Returns:
            Whether they have.
        """
        self._set_epoch(self._epoch_of(self.state.step))
        with self._averaged_weights():
            before = self._digest_weights()
            callback_list.on_train_end({name: values[-1] for name, values in self.state.history.items()})
            changed = self._digest_weights() != before
        if self._worker.workers > 1:
            changed = self._engine.all_reduce_sum(float(changed)) > 0
        if changed:
            self.state.validation, self.state.epoch = self._validate(), None
            if self._worker.is_chief:
                _LOG.info(
                    "A callback has put other weights into the model at the end: validation error %.2f%%.",
                    100 * self.state.validation["val_error"],
                )
        return changed

    def _digest_weights(self) -> bytes:
        digest = hashlib.sha256()
        if self._callbacks:
            for weight in self._model.weights:
                digest.update(np.ascontiguousarray(weight.numpy()).data)
        return digest.digest()

    def _restore_callbacks(self) -> None:
        """Sets callbacks to the checkpoint's state, after they have reset themselves for a new training."""
        restore_callback_states(self._callbacks, *self._callback_states)
        self._callback_states = ({}, {})

    def _start_batches(self) -> None:
        """Starts the training data at the current step, and checks the first batch.

        Raises:
            UserError: it has another size than the recipe's.
        """
        batches = iter(self._data.batches(self.state.step, self._worker.worker, self._worker.workers))
        first = next(batches)
        check_batch_size(len(first[1]) * self._worker.workers, self._recipe.batch_size)
        # The iterator lets go of the first.
        self._batches = self._steps.load_ahead(itertools.chain(iter([first]), batches))

    def _next_batch(self) -> tuple[Any, Any]:
        if self._batches is None:
            self._start_batches()
        assert self._batches is not None
        return next(self._batches)

    def _rates_of_call(self, rate: float, last: int) -> list[float]:
        """Returns the learning rates of the steps that one call computes.

        These are the next step, and those after it whose rate is known already and whose weights nobody looks
        at.

        Args:
            rate: of the next step.
            last: step at which the epoch ends.
        """
        step, recipe = self.state.step, self._recipe
        count = min(self._steps.steps_per_call, last - step)
        if count == 1 or self._watches_steps or (recipe.warmup_error and self._rate.schedule.warming_up):
            return [rate]
        if self._steps.averages:
            count = min(count, self._steps.averages.next_update(step) + 1 - step)
        count = min([count, *(first - step for first in self._phases if first > step)])
        return [rate, *(self._rate.schedule.at(step + later) for later in range(1, count))]

    def _set_phase(self) -> bool:
        """Freezes and unfreezes what the recipe says for the next step; returns whether that is a change."""
        if not self._phases:
            return False
        stage = self._phases[max(first for first in self._phases if first <= self.state.step)]
        if stage == self._stage:
            return False
        self._steps.train_from(stage)
        self._stage = stage
        known = stages(self._model)
        trained = ", ".join(known[known.index(stage) :])
        self._notes.append(f"From step {self.state.step + 1:,} on, trained: {trained}.")
        return True

    def _record(self, sums: list[float]) -> None:
        for name, value in zip((*self._steps.names, "images"), sums, strict=True):
            self.state.sums[name] = self.state.sums.get(name, 0.0) + value
        if self._steps.averages:
            self._steps.averages.update(self.state.step)
        self._rate.schedule.after_step(sums[1] / sums[-1])
        self.state.step += 1

    def _validate(self, callback_list: keras.callbacks.CallbackList | None = None) -> dict[str, float]:
        """Returns the means over the validation images, with the averaged weights where there are any."""
        callback_list = callback_list or keras.callbacks.CallbackList()
        names = (*self._steps.names, "images")
        totals = np.zeros(0)
        means: dict[str, float] = {}
        with self._averaged_weights():
            callback_list.on_test_begin()
            for number, batch in enumerate(self._validation):
                callback_list.on_test_batch_begin(number)
                sums = np.array(self._steps.test_step(*batch))
                if not sums[len(names) - 1]:
                    break
                totals = totals + sums if len(totals) else sums
                means = _means(dict(zip(names, totals[: len(names)].tolist(), strict=True)))
                callback_list.on_test_batch_end(number, means)
            # Metrics of the user by these names stay.
            counted = class_metrics(*totals[len(names) :].reshape(3, -1))
            if self._steps.is_multi_label:
                del counted["balanced_accuracy"]  # is of one class an image
            means = {**means, **counted, **means}
            callback_list.on_test_end(means)
        return {f"val_{name}": value for name, value in means.items()}

    @contextlib.contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Puts the averaged weights into the model, if any, and the raw ones back whatever happens."""
        averages = self._steps.averages
        if not averages:
            yield
            return
        averages.swap()
        try:
            yield
        finally:
            averages.swap()

    def _restore(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            variables = self._steps.variables
            arrays, callback_arrays = split_arrays(checkpoint.arrays)
            check_arrays(
                dataclasses.replace(checkpoint, arrays=arrays),
                {name: tuple(variable.shape) for name, variable in variables.items()},
            )
            try:
                state = TrainState(**checkpoint.meta["state"])
                schedule = LearningRate(
                    self._recipe, self._data.steps_per_epoch, **checkpoint.meta["learning_rate"]
                )
            except (KeyError, TypeError) as error:
                raise UserError(
                    f"This checkpoint is of another version of this package ({error}). Remove it, or use "
                    "another folder.",
                    value=checkpoint.path,
                ) from error
            for name, variable in variables.items():
                variable.assign(arrays[name])
            self._callback_states = checkpoint.meta.get("callbacks", {}), callback_arrays
            self.state = state
            self._rate.restore(schedule)
        self._batches = None
        if self._worker.workers > 1:
            self._check_same_step()

    def _save(self) -> bool:
        """Writes a checkpoint, unless the last step made the weights NaN, which only the next loss shows."""
        if self._checkpoints is None or not self._worker.is_chief or not self._weights_are_finite():
            return False
        self._rate.adopt(self.state.step)
        self.state.seconds = time.monotonic() - self._start
        states, callback_arrays = callback_states(self._callbacks)
        meta = {
            "state": dataclasses.asdict(self.state),
            "learning_rate": dataclasses.asdict(self._rate.schedule),
            "callbacks": states,
        }
        arrays = {name: variable.numpy() for name, variable in self._steps.variables.items()}
        return self._checkpoints.save(self.state.step, arrays | callback_arrays, meta, self.state.best_step)

    def _weights_are_finite(self) -> bool:
        return all(np.isfinite(weight.numpy()).all() for weight in self._steps.trained.trainable_variables)

    def _stop(self) -> NoReturn:
        saved = self._save()
        if self._worker.workers > 1:
            # The worker that ends first may take the others down, and the chief is still writing.
            self._engine.all_reduce_sum(0)
        last = None if self._checkpoints is None else self._checkpoints.last
        if saved:
            what = f"Saved as {last}. Rerun the same command or call to resume."
        elif not self._worker.is_chief:
            what = "Saved by the chief worker. Rerun the same command or call on all workers to resume."
        else:
            what = f"NOT saved. Last good checkpoint: {last or 'none'}."
        raise Interrupted(
            f"Stopped after step {self.state.step:,} of {self._total_steps:,}. {what}",
            128 + (self._stop_request.signal or signal.SIGTERM),
        )

    def _handle_divergence(self, rate: float) -> None:
        """Returns to the last checkpoint with a lower learning rate.

        Raises:
            UserError: there is none, or no rollback is left.
        """
        last = None if self._checkpoints is None else self._checkpoints.last
        step, rollbacks, factor = self.state.step, self.state.rollbacks, self._rate.schedule.factor
        problem = f"Loss is NaN or infinite at step {step + 1:,} (learning_rate={rate:.3g})"
        checkpoint = None
        if rollbacks < self._max_rollbacks and self._checkpoints is not None:
            checkpoint = self._checkpoints.latest()
        if checkpoint is None:
            after = f" after {rollbacks} rollback{'s' if rollbacks > 1 else ''}" if rollbacks else ""
            alternative = (
                "" if self._max_rollbacks else ", or on_nan=rollback (max_rollbacks of training.train)"
            )
            raise UserError(
                f"{problem}{after}. Last good checkpoint: {last or 'none'}. Use a lower "
                f"learning_rate{alternative}.",
                parameter="learning_rate",
                value=self._recipe.learning_rate,
            )
        self._restore(checkpoint)
        self._restore_callbacks()
        self.state.rollbacks = rollbacks + 1
        self._rate.schedule.factor = factor
        self._rate.schedule.lower(_ROLLBACK_FACTOR)
        self._rate.set(self.state.step)
        _LOG.warning(
            "%s. Going back to step %s with a tenth of the learning rate.", problem, f"{self.state.step:,}"
        )
        self._save()

    def _check_same_step(self) -> None:
        """Checks that all workers have restored the same step.

        Raises:
            UserError: they have not.
        """
        steps = self._engine.all_reduce_sum(self.state.step)
        if steps != self.state.step * self._worker.workers:
            raise UserError(
                f"The workers have found different checkpoints; this one is at step {self.state.step:,}. All "
                "machines must share this folder.",
                value=None if self._checkpoints is None else self._checkpoints.folder,
            )


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    return {name: value / sums["images"] for name, value in sums.items() if name != "images"}
