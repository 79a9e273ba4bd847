"""`TrainConfig.grow_from`: a deeper network that starts as the trained, shallower one of another run."""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING

from keras_resnet._utils.atomic import sha256
from keras_resnet.data.dataset import Dataset
from keras_resnet.data.input_spec import InputTransform
from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture
from keras_resnet.runs.checks import check_classes, describe_label_difference
from keras_resnet.runs.record import MODEL, load_finished_run

if TYPE_CHECKING:
    import keras

_MEAN_SUBTRACTION = {"per_pixel_mean": "pixel", "per_channel_mean": "channel"}


def grow_fingerprint(
    run: str | os.PathLike | None, architecture: Architecture, dataset: Dataset, transform: InputTransform
) -> str | None:
    """What identifies the run to grow from: its architecture and a hash of its model; None for None.

    Raises:
        UserError: it is not a finished run of a shallower network of the same kind on the same images.
    """
    if run is None:
        return None

    def refuse(reason: str) -> UserError:
        return UserError(reason, parameter="grow_from", value=run)

    record = load_finished_run(run, "grow_from")
    former = record.architecture
    if former.shortcut not in ("A", "B"):
        kind = "option C" if former.shortcut else "no shortcuts"
        raise refuse(
            f"has {kind}, where an added block would not be the identity; only options A and B can grow."
        )
    for field in (one.name for one in dataclasses.fields(Architecture)):
        if field in ("name", "blocks_per_stage"):
            continue
        if getattr(former, field) != getattr(architecture, field):
            raise refuse(
                f"has {field} {getattr(former, field)}, and {architecture.name} has "
                f"{getattr(architecture, field)}; only a deeper network of the same kind can grow from it."
            )
    blocks = list(zip(former.blocks_per_stage, architecture.blocks_per_stage, strict=True))
    if any(old > new for old, new in blocks) or former.blocks_per_stage == architecture.blocks_per_stage:
        raise refuse(
            f"is {former.name}, which is not shallower than {architecture.name}; use a larger depth."
        )
    check_classes(dataset, record.settings["dataset"]["class_names"], f"grow_from={run}")
    if record.multi_label != dataset.multi_label:
        raise refuse(describe_label_difference(record.multi_label, dataset))
    theirs, ours = record.spec, transform.spec
    if (theirs.size, theirs.channels) != (ours.size, ours.channels):
        raise refuse(
            f"takes images of {theirs.size}x{theirs.size}x{theirs.channels}, and this training has "
            f"{ours.size}x{ours.size}x{ours.channels}; train on images of the same kind."
        )
    if theirs.crop_mode != ours.crop_mode:
        raise refuse(
            f"was trained with crop_mode {theirs.crop_mode}, and {dataset.name} has {ours.crop_mode}; use "
            "the dataset that it was trained on."
        )
    if theirs.normalization == "published":
        raise refuse(
            "started from public weights, whose normalization a grown network would not have; use a run "
            "that did not."
        )
    if theirs.normalization != ours.normalization:
        raise refuse(
            f"subtracts a {theirs.normalization}, and this training a {ours.normalization}; use "
            f"mean_subtraction={_MEAN_SUBTRACTION[theirs.normalization]}."
        )
    return f"{former.name} {sha256(pathlib.Path(run, MODEL))[:12]}"


def grow_into(model: "keras.Model", run: str | os.PathLike, architecture: Architecture) -> None:
    """Gives a new model the weights of the run's model, deepened to the same depth."""
    from keras_resnet.inference.keras_file import load_keras
    from keras_resnet.models.deepen import deepen

    deeper = deepen(load_keras(pathlib.Path(run, MODEL)), architecture.depth)
    for layer in (layer for layer in deeper.layers if layer.weights):
        model.get_layer(layer.name).set_weights(layer.get_weights())
