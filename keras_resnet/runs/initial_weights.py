"""`TrainConfig.weights`: the weights a training starts from instead of random numbers."""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from keras_resnet._utils.atomic import sha256
from keras_resnet.data.dataset import Dataset
from keras_resnet.errors import UserError
from keras_resnet.inference.labels import LABELS, read_labels
from keras_resnet.inference.thresholds import has_thresholds
from keras_resnet.models.architectures import Architecture, name_of
from keras_resnet.models.infer import infer_architecture, public_weights, read_normalization
from keras_resnet.runs.architecture import ArchitectureOptions
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.record import MODEL, load_finished_run
from keras_resnet.weights import registry
from keras_resnet.weights.normalization import Normalization
from keras_resnet.weights.read import open_weights

if TYPE_CHECKING:
    import keras

# The dataset whose classes public weights predict.
_IMAGENET = "imagenet2012"


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """Weights to start from.

    Args:
        weights: a public name or the path of a file.
        architecture: whose weights they are.
        normalization: what they do with plain pixels: the mean image to subtract, or their publisher's
            normalization; None where the file does not say.
        new_head: whether the classifier starts from random numbers.
        fingerprint: what identifies them: name and address, or the architecture and a hash of the file.
    """

    weights: str
    architecture: Architecture
    normalization: np.ndarray | Normalization | None
    new_head: bool
    fingerprint: str

    @property
    def normalization_kind(self) -> str | None:
        """The kind of normalization as `InputSpec` names it, or None where there is none."""
        if self.normalization is None:
            return None
        if isinstance(self.normalization, Normalization):
            return "published"
        return "per_pixel_mean" if self.normalization.ndim == 3 else "per_channel_mean"

    def load_into(self, model: "keras.Model") -> None:
        """Gives a new model the weights.

        Raises:
            UserError: they do not fit.
        """
        from keras_resnet.models.pretrained import load_weights

        load_weights(model, self.weights, self.architecture, new_head=self.new_head)


def resolve_initial_weights(config: TrainConfig, dataset: Dataset) -> InitialWeights | None:
    """The weights a configuration starts from, or None.

    Raises:
        UserError: they cannot be used, or the configuration names another architecture than theirs.
    """
    if config.weights is None:
        return None
    if config.grow_from is not None:
        raise UserError(
            "cannot be combined with grow_from; use one of them.", parameter="weights", value=config.weights
        )
    if config.architecture is not None:
        raise UserError(
            "cannot be combined with architecture, which the weights decide; use one of them.",
            parameter="weights",
            value=config.weights,
        )
    initial = _resolve(config, os.fspath(config.weights), dataset)
    if config.mean_subtraction != "auto" and initial.normalization is not None:
        raise UserError(
            f"cannot be combined with weights={config.weights}, which bring their own normalization; use "
            "mean_subtraction=auto.",
            parameter="mean_subtraction",
            value=config.mean_subtraction,
        )
    return initial


def _resolve(config: TrainConfig, weights: str, dataset: Dataset) -> InitialWeights:
    if registry.is_name(weights):
        return _from_registry(config, weights, dataset)
    path = pathlib.Path(weights)
    if path.is_dir():
        record = load_finished_run(path, "weights")
        return _from_file(config, path / MODEL, dataset, record.architecture)
    if not path.is_file():
        names = ", ".join((registry.IMAGENET, *registry.NAMES))
        raise UserError(
            f"is neither a finished run, nor a file of weights, nor a name of public weights ({names}).",
            parameter="weights",
            value=weights,
        )
    return _from_file(config, path, dataset)


def resolve_public_weights(
    name: str, options: ArchitectureOptions
) -> tuple[registry.PublicWeights, Architecture]:
    """Finds public weights by name, and the architecture they are for.

    Raises:
        UserError: the depth is missing, there are none of it, or an option contradicts them.
    """
    if options.depth is None and options.architecture is None:
        raise UserError(
            f"is missing: weights={name} exist for several networks, which `keras-resnet weights` lists; "
            "give depth or architecture.",
            parameter="depth",
        )
    requested = options.resolve()
    entry = public_weights(name, requested, any_shortcut=options.shortcut == "auto" and not options.plain)
    architecture = dataclasses.replace(requested, shortcut=entry.shortcut, variant=entry.variant)
    check_flags_match(options, architecture, f"weights={name}")
    return entry, architecture


def _from_registry(config: TrainConfig, name: str, dataset: Dataset) -> InitialWeights:
    entry, architecture = resolve_public_weights(name, config)
    new_head = not dataset.name.startswith(_IMAGENET)
    return InitialWeights(name, architecture, entry.normalization, new_head, f"{entry.name} {entry.file.url}")


def _from_file(
    config: TrainConfig, path: pathlib.Path, dataset: Dataset, architecture: Architecture | None = None
) -> InitialWeights:
    with open_weights(path) as named:
        if architecture is None:
            plain = config.plain
            if plain is None and config.shortcut != "auto":
                plain = False
            architecture, _, _ = infer_architecture(named, str(path), variant=config.variant, plain=plain)
        normalization = read_normalization(named, dataset.channels, str(path))
        has_head = "predictions/kernel" in named.arrays
    check_flags_match(config, architecture, f"weights={config.weights}")
    same_classes = (
        has_head
        and _class_names(path) == tuple(dataset.class_names)
        and has_thresholds(path.parent) == dataset.multi_label
    )
    return InitialWeights(
        str(path), architecture, normalization, not same_classes, f"{architecture.name} {sha256(path)[:12]}"
    )


def check_flags_match(config: ArchitectureOptions, architecture: Architecture, source: str) -> None:
    """Refuses architecture fields that contradict the weights.

    Args:
        architecture: whose weights they are.
        source: what says so, for messages: "weights=a.pth".

    Raises:
        UserError: with the first field.
    """
    fields: dict[str, object] = {
        "depth": architecture.depth,
        "shortcut": architecture.shortcut,
        "plain": architecture.shortcut is None,
        "family": "cifar" if architecture.stem == "cifar" else "imagenet",
        "preactivation": architecture.preactivation,
        "architecture": name_of(architecture),
    }
    if architecture.block == "bottleneck":  # a basic block is the same in both variants
        fields["variant"] = architecture.variant
    for name, theirs in fields.items():
        value = getattr(config, name)
        if value not in (None, "auto", theirs) and not isinstance(value, Architecture):
            raise UserError(
                f"contradicts {source}, which is {architecture.name}, shortcut "
                f"{architecture.shortcut or 'none'}, {architecture.variant}; leave {name} out.",
                parameter=name,
                value=value,
            )


def _class_names(path: pathlib.Path) -> tuple[str, ...] | None:
    """The class names next to a model file, or None where there are none."""
    labels = path.with_name(LABELS)
    return read_labels(labels.read_text(encoding="utf-8")) if labels.is_file() else None
