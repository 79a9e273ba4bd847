"""From a configuration to a job: what will be trained, with everything refused that cannot be.

Imports neither Keras nor TensorFlow (but for a dataset of TFDS).
"""

import dataclasses
import importlib.util

import keras_resnet
from keras_resnet._utils.environment import keras_backend
from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.data.input_spec import InputTransform
from keras_resnet.data.load import absolute_name
from keras_resnet.errors import UserError
from keras_resnet.export.config import ExportConfig
from keras_resnet.models.architectures import Architecture
from keras_resnet.runs.checks import check_batch_divisible
from keras_resnet.runs.class_weight import check_class_weight
from keras_resnet.runs.config import BEST, LAST, TrainConfig
from keras_resnet.runs.data_options import dataset_label
from keras_resnet.runs.grow import grow_fingerprint
from keras_resnet.runs.initial_weights import InitialWeights, resolve_initial_weights
from keras_resnet.runs.multi_label import check_multi_label
from keras_resnet.runs.own_images import choose_depth, is_own, log_depth
from keras_resnet.runs.provenance import command_of, versions
from keras_resnet.runs.recipe import resolve_recipe
from keras_resnet.runs.record import CHECKPOINTS, RunFolder
from keras_resnet.runs.teacher import Teacher, resolve_teacher
from keras_resnet.training.checkpoint import Checkpoints
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.rematerialization import BATCH_NORM, is_frugal


@dataclasses.dataclass(frozen=True)
class TrainJob:
    """A training, resolved.

    Args:
        config: that it was resolved from.
        architecture: of the model.
        dataset: its images.
        transform: what the model takes, and how training images become that.
        recipe_name: its name in the table, or "custom".
        recipe: with the configuration's changes.
        exports: files to export afterwards.
        folder: of the run.
        initial_weights: that it starts from, or None.
        checkpoints: of the run.
        export_epoch: "best" or "last".
        teacher: whose probabilities are learned, or None.
    """

    config: TrainConfig
    architecture: Architecture
    dataset: Dataset
    transform: InputTransform
    recipe_name: str
    recipe: Recipe
    exports: ExportConfig
    folder: RunFolder
    initial_weights: InitialWeights | None
    checkpoints: Checkpoints
    export_epoch: str
    teacher: Teacher | None


def resolve(config: TrainConfig) -> TrainJob:
    """Finds out what a configuration means.

    Raises:
        UserError: something in it cannot be; the error names the field.
    """
    dataset = config.load(config.dataset, require_disjoint=True)
    initial = resolve_initial_weights(config, dataset)
    default_depth = choose_depth(config, dataset, config.image_size)
    architecture = initial.architecture if initial else config.resolve(default_depth)
    _check_architecture(config, architecture)
    _check_packages(config)
    exports = config.exports()
    exports.check()
    transform = _transform(config, dataset, architecture, initial)
    if config.depth is None and config.architecture is None and initial is None and is_own(dataset):
        log_depth(dataset, default_depth, transform.spec.size)
    recipe_name, recipe = resolve_recipe(config, dataset)
    recipe = _resolve_zero_gamma(config, recipe, architecture)
    if dataset.multi_label:
        check_multi_label(config, recipe, dataset)
    if recipe.unfreeze and config.weights is None and config.grow_from is None:
        raise UserError(
            "unfreezes stages one after another, which is for a model that starts from weights; use weights "
            "or another recipe.",
            parameter="recipe",
            value=recipe_name,
        )
    if config.precise_bn is not None and config.precise_bn > dataset.train.size:
        raise UserError(
            f"is more than the {dataset.train.size:,} training images of {dataset.name}.",
            parameter="precise_bn",
            value=config.precise_bn,
        )
    check_class_weight(config.class_weight, dataset)
    export_epoch = config.export_epoch or (LAST if dataset.validates_on_test else BEST)
    check_batch_divisible(recipe, 1, config.gradient_accumulation_steps, config.jit_compile)
    teacher = resolve_teacher(config, dataset, transform)
    settings = {
        "architecture": architecture.settings(),
        "dataset": _dataset_settings(dataset),
        "input": {
            **transform.spec.as_dict(),
            "hflip": transform.hflip,
            "augmentation": transform.augmentation,
            "crop_padding": transform.padding if transform.spec.crop_mode == "squash" else None,
            **({"train_size": transform.train_size} if transform.train_size else {}),
            # Only where they are used: a run of a version without them is the same run.
            **transform.optional,
        },
        "recipe": {"name": recipe_name, **recipe.settings()},
        "training": {
            "export_epoch": export_epoch,
            "calibrate": config.calibrate and not (dataset.validates_on_test or dataset.multi_label),
        }
        | {
            name: getattr(config, name)
            for name in (
                "drop_path",
                "gradient_accumulation_steps",
                "sync_batch_norm",
                "mixed_precision",
                "seed",
                "class_weight",
                "stop_after",
                "precise_bn",
            )
        },
        "initial_weights": initial and initial.fingerprint,
        "grow_from": grow_fingerprint(config.grow_from, architecture, dataset, transform),
        **({"teacher": teacher.settings()} if teacher else {}),
        "version": keras_resnet.__version__,
    }
    metadata = {
        "command": command_of(config, "train"),
        "versions": versions(),
        "recipe": {"reference": recipe.reference, "expected_accuracy": recipe.expected_accuracy},
    }
    run_name = config.run_name or "-".join(
        (architecture.name, architecture.shortcut or "plain", dataset_label(config.dataset))
    )
    folder = RunFolder(config.output_dir, run_name, config.as_dict(), settings, metadata)
    checkpoints = Checkpoints(folder / CHECKPOINTS, folder.settings, minutes=config.checkpoint_minutes)
    return TrainJob(
        config,
        architecture,
        dataset,
        transform,
        recipe_name,
        recipe,
        exports,
        folder,
        initial,
        checkpoints,
        export_epoch,
        teacher,
    )


def _resolve_zero_gamma(config: TrainConfig, recipe: Recipe, architecture: Architecture) -> Recipe:
    """Turns a recipe's `zero_gamma` off where it does not apply, and refuses the configuration's there."""
    if config.weights is None and config.grow_from is None and architecture.shortcut is not None:
        return recipe
    if config.zero_gamma:
        raise UserError(
            "applies to new models with shortcuts, and not with plain, weights or grow_from; leave it out.",
            parameter="zero_gamma",
            value=True,
        )
    return dataclasses.replace(recipe, zero_gamma=False)


def _check_architecture(config: TrainConfig, architecture: Architecture) -> None:
    if config.drop_path and architecture.shortcut is None:
        raise UserError(
            f"needs shortcuts, and {architecture.name} has none.",
            parameter="drop_path",
            value=config.drop_path,
        )
    if config.rematerialize and config.sync_batch_norm and keras_backend() == "tensorflow":
        raise UserError(
            "cannot be combined with sync_batch_norm, whose layers communicate with other devices and cannot "
            "be computed again; leave one of them out.",
            parameter="rematerialize",
            value=config.rematerialize,
        )
    is_frugal(config.rematerialize, config.jit_compile, keras_backend())  # refuses
    for stage in config.rematerialize:
        if stage not in (*architecture.stages, BATCH_NORM):
            raise UserError(
                f"{architecture.name} has the stages {','.join(architecture.stages)}; batch_norm stands for "
                "the inexpensive layers of all.",
                parameter="rematerialize",
                value=stage,
            )


def _check_packages(config: TrainConfig) -> None:
    for name in ("tensorboard", "profile"):
        if getattr(config, name) and importlib.util.find_spec("tensorboard") is None:
            raise UserError(
                "needs the package tensorboard, which TensorFlow does not install: pip install tensorboard, "
                "or leave it out; history.csv and curves.png hold the same numbers.",
                parameter=name,
            )


def _transform(
    config: TrainConfig, dataset: Dataset, architecture: Architecture, initial: InitialWeights | None
) -> InputTransform:
    transform = config.choose(dataset, architecture)
    kind = initial.normalization_kind if initial else None
    if kind is None:
        per_pixel = transform.spec.crop_mode == "squash"
        if config.mean_subtraction != "auto":
            per_pixel = config.mean_subtraction == "pixel"
        kind = "per_pixel_mean" if per_pixel else "per_channel_mean"
    if transform.train_size and kind == "per_pixel_mean":
        raise UserError(
            "needs a mean of each channel, and the model subtracts one of each pixel, whose size is fixed; "
            "use mean_subtraction=channel, or other weights.",
            parameter="train_size",
            value=config.train_size,
        )
    return dataclasses.replace(transform, spec=dataclasses.replace(transform.spec, normalization=kind))


def _dataset_settings(dataset: Dataset) -> dict[str, object]:
    """What identifies a dataset; a folder or table by its absolute path, however it was given."""
    splits: dict[str, Split | None] = {
        "train": dataset.train,
        "validation": dataset.validation,
        "test": dataset.test,
    }
    return {
        "name": absolute_name(dataset.name),
        **{f"{name}_split": split and split.name for name, split in splits.items()},
        **{f"{name}_images": split and split.size for name, split in splits.items()},
        "class_names": list(dataset.class_names),
        **({"fingerprint": dataset.fingerprint} if dataset.fingerprint else {}),
        **({"multi_label": True} if dataset.multi_label else {}),
    }
