"""`keras_resnet.load_predictor`: a run, an exported file, or public weights, ready to predict."""

import os
import pathlib
from typing import TYPE_CHECKING, Any

from keras_resnet.data.input_spec import InputSpec
from keras_resnet.errors import UserError
from keras_resnet.inference.predictor import Predictor
from keras_resnet.inference.predictor import load_predictor as load_file
from keras_resnet.runs.architecture import ArchitectureOptions
from keras_resnet.runs.initial_weights import check_flags_match, resolve_public_weights
from keras_resnet.runs.options import make_config
from keras_resnet.weights import registry
from keras_resnet.weights.read import SUFFIXES, has_suffix

if TYPE_CHECKING:
    from keras_resnet.weights.conventions import NamedArrays
    from keras_resnet.weights.registry import EvalSettings

# What files of weights alone end in; a `.keras` file is a model.
_WEIGHT_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix != ".keras")


def load_predictor(path: str | os.PathLike, prefer: str = "model.tflite", **architecture: Any) -> Predictor:
    """Opens a model to predict with.

    Args:
        path: a run, a `.tflite` or `.keras` file, a SavedModel folder, a file of weights, or the name of
            public weights. A `.tflite` file is opened without TensorFlow.
        prefer: which file of a run to open: "model.tflite" starts fastest, "model.keras" is faster for many
            images.
        architecture: `depth`, `shortcut`, `plain`, `family` and `variant`: for public weights, of which
            `depth` is needed, and for files of weights that do not say.

    Returns:
        A predictor whose images are prepared as training did or, for public weights, as their publisher does.

    Raises:
        UserError: there is no such file, or it is none of these.
    """
    options = make_config(ArchitectureOptions, None, architecture)
    if is_weights(path):
        return load_weights_predictor(path, options)
    for name, value in architecture.items():
        if value not in (None, "auto"):
            raise UserError(
                "is for public weights and files of weights; leave it out.", parameter=name, value=value
            )
    return load_file(path, prefer)


def is_weights(path: str | os.PathLike) -> bool:
    """Whether this names public weights or a file of weights, and not a model."""
    return registry.is_name(path) or (has_suffix(path, _WEIGHT_SUFFIXES) and pathlib.Path(path).is_file())


def load_weights_predictor(weights: str | os.PathLike, options: ArchitectureOptions) -> Predictor:
    """A model with public weights, which prepares images as its publisher does for the published accuracy.

    Raises:
        UserError: there are no such weights, or they do not say what model or preprocessing they are for.
    """
    path, named_architecture, settings, normalization, classes = _describe(weights, options)
    from keras_resnet.models.classifier import build_classifier
    from keras_resnet.models.pretrained import load_weights

    size = settings.crop_size
    model = build_classifier(named_architecture, (size, size, 3), classes, normalization)
    load_weights(model, path, named_architecture)
    spec = InputSpec(
        size,
        3,
        "center",
        "published",
        resize_size=settings.resize_size,
        interpolation=settings.interpolation,
    )
    return Predictor.from_model(model, spec=spec, path=str(weights))


def _describe(weights: str | os.PathLike, options: ArchitectureOptions) -> tuple:
    """(file or name to load, architecture, evaluation settings, normalization, classes)."""
    from keras_resnet.models.infer import infer_architecture, read_normalization
    from keras_resnet.weights.read import open_weights

    if registry.is_name(weights):
        entry, architecture = resolve_public_weights(str(weights), options)
        return weights, architecture, entry.eval, entry.normalization, entry.classes
    with open_weights(weights) as named:
        architecture, channels, classes = infer_architecture(
            named, str(weights), variant=options.variant, plain=options.plain
        )
        check_flags_match(options, architecture, str(weights))
        normalization = read_normalization(named, channels, str(weights))
        settings = _eval_settings(named, weights)
    if classes is None or channels != 3:
        raise UserError("has no classifier of RGB images to predict with.", value=weights)
    return weights, architecture, settings, normalization, classes


def _eval_settings(named: "NamedArrays", weights: str | os.PathLike) -> "EvalSettings":
    if named.convention.eval is None:
        raise UserError(
            "does not say how images are prepared; use the .keras file of its run, or the run.", value=weights
        )
    return named.convention.eval
