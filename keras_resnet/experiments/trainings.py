"""The trainings of an experiment: one after another, each kept when it is done and resumed when it is not."""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_resnet import __version__ as version
from keras_resnet.countdown import format_seconds
from keras_resnet.data.bad_images import BadImages
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.source import Source
from keras_resnet.data.view import View
from keras_resnet.errors import UserError
from keras_resnet.files import atomic
from keras_resnet.models.complexity import complexity
from keras_resnet.training.checkpoint import Checkpoints
from keras_resnet.training.feed import TrainingData
from keras_resnet.training.loop import train
from keras_resnet.training.progress import PlainLog
from keras_resnet.training.recipes import Recipe

_TEST_BATCH = 500
_OUTCOME = "outcome.json"
# Between checkpoints.
_MINUTES = 2.0


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all trainings of an experiment have in common.

    Args:
        source: what images.
        view: how they are seen.
        recipe: with a number of iterations.
        points: how often in a training the net is tested; a divisor of the iterations.
        bad_images: what happens to those that cannot be decoded.
        folder: of the experiment; each training has one of its own in it.
    """

    source: Source
    view: View
    recipe: Recipe
    points: int
    bad_images: BadImages
    folder: pathlib.Path

    @property
    def steps_between_tests(self) -> int:
        """Iterations from one test to the next."""
        return self.recipe.iterations // self.points

    def images(self, seed: int) -> Pipeline:
        """The images as the trainings of this seed see them."""
        return Pipeline(self.source, self.view, self.bad_images, seed)


@dataclasses.dataclass(frozen=True)
class Training:
    """One net with one seed.

    Args:
        group: those that differ in their seed alone have the same one, as `plain-56`.
        kind: what else there is to say of the net: its layers, its dtype policy.
        seed: of weights, order and augmentation.
        build: makes the net, from the images it will be trained on.
    """

    group: str
    kind: str
    seed: int
    build: Callable[[Pipeline], keras.Model]

    @property
    def name(self) -> str:
        return f"{self.group}-seed{self.seed}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Args:
        group, seed: as of `Training`.
        history: `loss`, `error` (of training, since the test before), `val_loss`, `val_error`, one value a
            test; errors are 0..1.
        seconds: that it took.
        parameters: trainable ones of the net.
        macs: its multiply-adds for an image.
    """

    group: str
    seed: int
    history: Mapping[str, Sequence[float]]
    seconds: float
    parameters: int
    macs: int


def run_trainings(
    setup: Setup, trainings: Sequence[Training], tell: Callable[[str], None] = print
) -> list[Outcome]:
    """Do the trainings that are not done yet; the outcomes of all.

    Each leaves `outcome.json` and `model.keras` in its folder.

    Raises:
        UserError: the folder holds an experiment with another setup.
        Interrupted: as of `train`; the next call goes on from there.
    """
    outcomes: dict[str, Outcome] = {}
    for training in trainings:
        known = _known(setup, training)
        if known is not None:
            outcomes[training.name] = known
    if outcomes:
        tell(f"{len(outcomes)} of {len(trainings)} trainings are done already.")
    pace: list[tuple[float, float]] = []  # seconds and multiply-adds of those done in this call
    for number, training in enumerate(trainings, start=1):
        if training.name in outcomes:
            continue
        images = setup.images(training.seed)
        keras.utils.set_random_seed(training.seed)
        with setup.bad_images.told():
            model = training.build(images)
        counted = complexity(model)
        left = _time_left(pace, trainings, outcomes, counted.macs)
        tell(f"{training.name}, {number} of {len(trainings)}{left}:")
        outcome = _train(setup, training, model, images)
        outcomes[training.name] = outcome
        pace.append((outcome.seconds, outcome.macs))
        # What TensorFlow has traced for this net is of no use to the next.
        keras.utils.clear_session()
    return [outcomes[training.name] for training in trainings]


def last_errors(outcomes: Sequence[Outcome], group: str, key: str) -> list[float]:
    """The last "error" or "val_error" of a group's trainings, in percent, one a seed."""
    return [100 * outcome.history[key][-1] for outcome in outcomes if outcome.group == group]


def with_spread(values: Sequence[float]) -> str:
    """Mean and, of several values, their standard deviation."""
    mean = statistics.fmean(values)
    return f"{mean:.2f}" if len(values) < 2 else f"{mean:.2f} ± {statistics.stdev(values):.2f}"


def _train(setup: Setup, training: Training, model: keras.Model, images: Pipeline) -> Outcome:
    recipe, folder = setup.recipe, setup.folder / training.name
    mean = images.mean(per_pixel=setup.view.whole)
    per_epoch = images.steps_per_epoch(recipe.batch_size)
    epochs = -(-recipe.iterations // per_epoch)

    def batches(first_step, worker, workers):
        return images.training_batches(
            recipe.batch_size, epochs, mean, first_step=first_step, worker=worker, workers=workers
        )

    checkpoints = Checkpoints(folder / "checkpoints", _identity(setup, training), minutes=_MINUTES, keep=1)
    with images.bad_images.told():
        progress = train(
            model,
            TrainingData(setup.steps_between_tests, batches),
            images.evaluation_batches(_TEST_BATCH),
            recipe,
            callbacks=[PlainLog()],
            checkpoints=checkpoints,
        )
    counted = complexity(model)
    with atomic(folder / "model.keras") as written:
        model.save(written)
    outcome = Outcome(
        training.group, training.seed, progress.history, progress.seconds, counted.parameters, counted.macs
    )
    with atomic(folder / _OUTCOME) as written:
        told = {"identity": _identity(setup, training), "outcome": dataclasses.asdict(outcome)}
        written.write_text(json.dumps(told, indent=1) + "\n")
    checkpoints.clear()
    return outcome


def _known(setup: Setup, training: Training) -> Outcome | None:
    """The outcome of a training that is done."""
    path = setup.folder / training.name / _OUTCOME
    try:
        told = json.loads(path.read_text())
        identity, outcome = told["identity"], Outcome(**told["outcome"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    wanted = _identity(setup, training)
    for key, value in wanted.items():
        if identity.get(key) != value:
            raise UserError(
                f"{path.parent} holds a training with {key} {identity.get(key)}, where {value} is asked for; "
                "give another --output_dir or remove it."
            )
    return outcome


def _identity(setup: Setup, training: Training) -> dict[str, Any]:
    source = setup.source
    identity = {
        **dataclasses.asdict(setup.recipe),
        "dataset": source.name,
        "splits": [[split.name, split.size] for split in (source.train, source.test)],
        "view": dataclasses.asdict(setup.view),
        "points": setup.points,
        "net": f"{training.group}, {training.kind}",
        "seed": training.seed,
        "version": version,
    }
    return json.loads(json.dumps(identity))  # as it will be read again: no tuples


def _time_left(
    pace: list[tuple[float, float]], trainings: Sequence[Training], outcomes: Mapping[str, Outcome], macs: int
) -> str:
    """About how long the rest takes, from what a multiply-add took so far."""
    if not pace:
        return ""
    seconds, done = map(sum, zip(*pace, strict=True))
    known = {outcome.group: outcome.macs for outcome in outcomes.values()}
    left = sum(known.get(training.group, macs) for training in trainings if training.name not in outcomes)
    return f", about {format_seconds(seconds / done * left)} left"
