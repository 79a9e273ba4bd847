"""`train --grow_from`: the run whose net a deeper one begins as."""

import pathlib
from typing import TYPE_CHECKING

from keras_resnet.commands import data_flags
from keras_resnet.data.source import Source
from keras_resnet.data.view import View
from keras_resnet.errors import UserError
from keras_resnet.files import sha256
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.run_folder import MODEL, finished_record

if TYPE_CHECKING:
    import keras


def identity(run: str | None, net: Architecture, source: Source, view: View, mean: str) -> str | None:
    """What makes a training that grows from this run another one than its neighbours.

    Args:
        mean: which one the net subtracts, "per-pixel" or "per-channel".

    Raises:
        UserError: it is no finished run of a shallower net of the same kind on the same images.
    """
    if run is None:
        return None
    record = finished_record(run, f"--grow_from={run}")
    model = pathlib.Path(run, MODEL)
    former = record.architecture
    if former.shortcut not in ("A", "B"):
        raise UserError(
            f"--grow_from={run} is a net of {'option C' if former.shortcut else 'no shortcuts'}: a block "
            "added to it would not be the identity; options A and B can grow."
        )
    for field in ("stem", "block", "filters", "shortcut", "variant"):
        if getattr(former, field) != getattr(net, field):
            raise UserError(
                f"--grow_from={run} has {field} {getattr(former, field)}, and {net.name} has "
                f"{getattr(net, field)}; only a deeper net of the same kind can grow from it."
            )
    blocks = list(zip(former.blocks_per_stage, net.blocks_per_stage, strict=True))
    if any(old > new for old, new in blocks) or former.blocks_per_stage == net.blocks_per_stage:
        raise UserError(
            f"--grow_from={run} holds {former.name}, which is not shallower than {net.name}; give a "
            "larger --depth."
        )
    data_flags.check_classes(source.name, source, record.settings["classes"], run)
    seen = record.about["preprocessing"]
    if (seen["size"], seen["channels"]) != (view.size, source.channels):
        raise UserError(
            f"--grow_from={run} takes images of {seen['size']}x{seen['size']}x{seen['channels']}; here they "
            f"are {view.size}x{view.size}x{source.channels}; train on images of the same kind."
        )
    if seen["whole"] != view.whole:
        kinds = ("the centres of images", "whole images")
        raise UserError(
            f"--grow_from={run} was trained on {kinds[seen['whole']]}, and {source.name} is seen as "
            f"{kinds[view.whole]}; give the images that it was trained on."
        )
    if record.about["mean"] == "published":
        raise UserError(
            f"--grow_from={run} began with public weights, whose normalisation a grown net would not have; "
            "give a run that began with none."
        )
    if record.about["mean"] != mean:
        raise UserError(
            f"--grow_from={run} subtracts a {record.about['mean']} mean, and here it is a {mean} one; give "
            f"--mean={'pixel' if mean == 'per-channel' else 'channel'}."
        )
    return f"{former.name} {sha256(model)[:12]}"


def take_over(model: "keras.Model", run: pathlib.Path, net: Architecture) -> None:
    """Give a fresh net the weights of the run's net, made as deep."""
    from keras_resnet.evaluation.opened import load_keras
    from keras_resnet.models.growth import deepen

    deeper = deepen(load_keras(run / MODEL), net.depth)
    for layer in (layer for layer in deeper.layers if layer.weights):
        model.get_layer(layer.name).set_weights(layer.get_weights())
