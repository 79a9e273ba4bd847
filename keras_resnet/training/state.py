"""The state of a training besides its variables."""

import dataclasses
import math


@dataclasses.dataclass
class TrainState:
    """How far a training has come. With the variables and the learning rate, all that resuming needs.

    Args:
        step: steps done.
        sums: of the current epoch, by name: each metric summed over the images, and their number as `images`.
        history: one value per epoch of each metric.
        best_error: lowest validation error so far, 0..1.
        best_loss: validation loss with it; of epochs with the same error, that with the lower loss is better.
        best_step: the step at which they were measured.
        rollbacks: how often training has gone back to a checkpoint because it diverged.
        seconds: of training so far, over all calls.
        stopped: whether a callback has ended the training (`model.stop_training`).
        validation: of the weights that the training has ended with, `val_loss`, `val_error` and the metrics:
            the last values of the history, or those of the epoch whose weights were restored.
        epoch: the epoch that these weights are of, counted from 1; None where a callback has put in others.
    """

    step: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    best_error: float = math.inf
    best_loss: float = math.inf
    best_step: int | None = None
    rollbacks: int = 0
    seconds: float = 0.0
    stopped: bool = False
    validation: dict[str, float] = dataclasses.field(default_factory=dict)
    epoch: int | None = None
