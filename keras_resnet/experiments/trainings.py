"""The trainings of an experiment: one after another, each kept when it is done and resumed when it is not.

Imports Keras and TensorFlow only to train.
"""

import dataclasses
import json
import logging
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_resnet import __version__ as version
from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.fingerprint import canonical, describe_differences
from keras_resnet._utils.progress import format_seconds
from keras_resnet.data.dataset import Dataset
from keras_resnet.data.input_spec import InputTransform
from keras_resnet.errors import UserError
from keras_resnet.training.recipes import Recipe

if TYPE_CHECKING:
    import keras

    from keras_resnet.data.decode_errors import DecodeErrors
    from keras_resnet.data.pipeline import Pipeline

_LOG = logging.getLogger(__name__)
_VALIDATION_BATCH = 500
_OUTCOME = "outcome.json"
# Minutes between checkpoints.
_MINUTES = 2.0


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all trainings of an experiment have in common.

    Args:
        dataset: its images.
        transform: how they become a model's input.
        recipe: with a number of iterations.
        num_validations: how often a training is validated; a divisor of the iterations.
        decode_errors: what happens to images that cannot be decoded.
        folder: of the experiment; each training has one of its own in it.
    """

    dataset: Dataset
    transform: InputTransform
    recipe: Recipe
    num_validations: int
    decode_errors: "DecodeErrors"
    folder: pathlib.Path

    @property
    def steps_between_validations(self) -> int:
        """Iterations from one validation to the next."""
        return self.recipe.iterations // self.num_validations

    @property
    def per_pixel(self) -> bool:
        """Whether models subtract the mean of each pixel, as the paper does for CIFAR."""
        return self.transform.spec.crop_mode == "squash"

    def pipeline(self, seed: int) -> "Pipeline":
        """The images of the trainings with this seed."""
        from keras_resnet.data.pipeline import Pipeline

        return Pipeline(self.dataset, self.transform, self.decode_errors, seed)


@dataclasses.dataclass(frozen=True)
class Training:
    """One model with one seed.

    Args:
        group: trainings that differ in their seed alone have the same one, as `plain-56`.
        kind: what else identifies the model: its layers, its dtype policy.
        seed: of weights, order and augmentation.
        build: makes the model for the images it will be trained on.
    """

    group: str
    kind: str
    seed: int
    build: "Callable[[Pipeline], keras.Model]"

    @property
    def name(self) -> str:
        return f"{self.group}-seed{self.seed}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Args:
        group, seed: as of `Training`.
        history: `loss`, `error` (of training, since the validation before), `val_loss`, `val_error`, one
            value a validation; errors are 0 to 1.
        seconds: that it took.
        parameters: trainable ones of the model.
        macs: its multiply-adds for one image.
    """

    group: str
    seed: int
    history: Mapping[str, Sequence[float]]
    seconds: float
    parameters: int
    macs: int


def run_trainings(setup: Setup, trainings: Sequence[Training]) -> list[Outcome]:
    """Does the trainings that are not done yet, and returns the outcomes of all.

    Each leaves `outcome.json` and `model.keras` in its folder.

    Raises:
        UserError: the folder holds an experiment with another setup.
        Interrupted: as of `train`; the next call resumes.
    """
    import keras

    from keras_resnet.models.complexity import complexity

    outcomes: dict[str, Outcome] = {}
    for training in trainings:
        known = _read_outcome(setup, training)
        if known is not None:
            outcomes[training.name] = known
    if outcomes:
        _LOG.info("%s of %s trainings are done already.", len(outcomes), len(trainings))
    speeds: list[tuple[float, float]] = []  # seconds and MACs of those done in this call
    for number, training in enumerate(trainings, start=1):
        if training.name in outcomes:
            continue
        pipeline = setup.pipeline(training.seed)
        keras.utils.set_random_seed(training.seed)
        with setup.decode_errors.translate():
            model = training.build(pipeline)
        left = _time_left(speeds, trainings, outcomes, complexity(model).macs)
        _LOG.info("%s, %s of %s%s:", training.name, number, len(trainings), left)
        outcome = _train(setup, training, model, pipeline)
        outcomes[training.name] = outcome
        speeds.append((outcome.seconds, outcome.macs))
        # What TensorFlow has traced for this model is of no use to the next.
        keras.utils.clear_session()
    return [outcomes[training.name] for training in trainings]


def last_errors(outcomes: Sequence[Outcome], group: str, key: str) -> list[float]:
    """The last "error" or "val_error" of a group's trainings, in percent, one a seed."""
    return [100 * outcome.history[key][-1] for outcome in outcomes if outcome.group == group]


def with_spread(values: Sequence[float]) -> str:
    """Mean and, of several values, their standard deviation."""
    mean = statistics.fmean(values)
    return f"{mean:.2f}" if len(values) < 2 else f"{mean:.2f} ± {statistics.stdev(values):.2f}"


def _train(setup: Setup, training: Training, model: "keras.Model", pipeline: "Pipeline") -> Outcome:
    from keras_resnet.models.complexity import complexity
    from keras_resnet.training.callbacks.progress import LineLogger
    from keras_resnet.training.checkpoint import Checkpoints
    from keras_resnet.training.input import ResumableData
    from keras_resnet.training.loop import train

    recipe, folder = setup.recipe, setup.folder / training.name
    mean = pipeline.mean(per_pixel=setup.per_pixel)
    per_epoch = pipeline.steps_per_epoch(recipe.batch_size)
    epochs = -(-recipe.iterations // per_epoch)

    def batches(first_step, worker, workers):
        return pipeline.train_batches(
            recipe.batch_size, epochs, mean, first_step=first_step, worker=worker, workers=workers
        )

    settings = _settings(setup, training)
    checkpoints = Checkpoints(folder / "checkpoints", settings, minutes=_MINUTES, keep=1)
    with pipeline.decode_errors.translate():
        state = train(
            model,
            ResumableData(
                setup.steps_between_validations, batches, arrays=lambda: pipeline.cached_arrays(mean)
            ),
            pipeline.validation_batches(_VALIDATION_BATCH),
            recipe,
            callbacks=[LineLogger()],
            checkpoints=checkpoints,
        )
    counted = complexity(model)
    with atomic_write(folder / "model.keras") as written:
        model.save(written)
    outcome = Outcome(
        training.group, training.seed, state.history, state.seconds, counted.parameters, counted.macs
    )
    with atomic_write(folder / _OUTCOME) as written:
        parts = {"settings": settings, "outcome": dataclasses.asdict(outcome)}
        written.write_text(json.dumps(parts, indent=1) + "\n")
    checkpoints.clear()
    return outcome


def _read_outcome(setup: Setup, training: Training) -> Outcome | None:
    """The outcome of a training that is done, or None."""
    path = setup.folder / training.name / _OUTCOME
    try:
        parts = json.loads(path.read_text())
        settings, outcome = dict(parts["settings"]), Outcome(**parts["outcome"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    difference = describe_differences(settings, _settings(setup, training))
    if difference:
        raise UserError(
            f"{path.parent} holds another training ({difference}); use another output_dir or remove the "
            "folder.",
            parameter="output_dir",
            value=setup.folder,
        )
    return outcome


def _settings(setup: Setup, training: Training) -> dict[str, Any]:
    """What identifies a training."""
    dataset = setup.dataset
    return canonical(
        {
            "recipe": setup.recipe.settings(),
            "dataset": {
                "name": dataset.name,
                "splits": [[split.name, split.size] for split in (dataset.train, dataset.validation)],
                **({"fingerprint": dataset.fingerprint} if dataset.fingerprint else {}),
            },
            "input": dataclasses.asdict(setup.transform),
            "num_validations": setup.num_validations,
            "model": f"{training.group}, {training.kind}",
            "seed": training.seed,
            "version": version,
        }
    )


def _time_left(
    speeds: list[tuple[float, float]],
    trainings: Sequence[Training],
    outcomes: Mapping[str, Outcome],
    macs: int,
) -> str:
    """How long the rest takes, estimated from what a multiply-add took so far."""
    if not speeds:
        return ""
    seconds, done = map(sum, zip(*speeds, strict=True))
    known = {outcome.group: outcome.macs for outcome in outcomes.values()}
    left = sum(known.get(training.group, macs) for training in trainings if training.name not in outcomes)
    return f", about {format_seconds(seconds / done * left)} left"
