"""Freezes stages of a model, for training that starts from existing weights."""

import contextlib
from collections.abc import Iterator, Mapping

import keras

from keras_resnet.errors import UserError
from keras_resnet.weights.names import POST, parse_layer_name

# Pre-activation models have these after their last stage.
_POST_ACTIVATION = (f"{POST}_bn", f"{POST}_relu")


def freeze(model: keras.Model, before: str = "head") -> None:
    """Makes every layer before a stage untrainable, and those of that stage and after it trainable.

    Frozen weights get no gradient and no weight decay. By Keras' own rule, frozen BN layers run in inference
    mode even during training, and keep their statistics. Layers in front of the stem, such as the subtraction
    of a mean, are left as they are. Call it again with an earlier stage to unfreeze more. Before Keras'
    `fit`, call `compile` afterwards.

    Args:
        model: with layers named as in this package or in keras.applications' ResNets.
        before: the first stage to train: "conv1" (the stem) for everything, "conv2", "conv3", ..., or "head"
            for the classifier alone, and whatever else follows the last stage.

    Raises:
        UserError: the model has no such stage.
    """
    found = _stages(model)
    if before not in found:
        raise UserError(
            f"is not a stage of {model.name}, which has "
            f"{', '.join(found) or 'none named as in this package'}.",
            parameter="before",
            value=before,
        )
    flags = {layer: layer.trainable for layer in model.layers}
    trainable = False
    for name, layers in found.items():
        trainable = trainable or name == before
        flags.update(dict.fromkeys(layers, trainable))
    # Keras trains nothing in a model that is frozen itself, whatever the flags of its layers.
    _set_trainable(model, True, flags)


def stages(model: keras.Model) -> tuple[str, ...]:
    """Returns what `freeze` accepts for this model, in order: "conv1", "conv2", ..., "head"."""
    return tuple(_stages(model))


@contextlib.contextmanager
def restore_trainable(model: keras.Model) -> Iterator[None]:
    """Restores which layers are trainable when the `with` block ends, whatever it froze."""
    model_trainable, flags = model.trainable, {layer: layer.trainable for layer in model.layers}
    try:
        yield
    finally:
        _set_trainable(model, model_trainable, flags)


def _set_trainable(
    model: keras.Model, model_trainable: bool, flags: Mapping[keras.layers.Layer, bool]
) -> None:
    model.trainable = model_trainable  # first, because Keras sets the flags of the layers too
    for layer, trainable in flags.items():
        layer.trainable = trainable


def _stages(model: keras.Model) -> dict[str, list[keras.layers.Layer]]:
    """Returns the layers of each stage, in order; those in front of the stem belong to none."""
    names = [parse_layer_name(layer.name) for layer in model.layers]
    in_stages = [
        number for number, layer in enumerate(model.layers) if names[number] or layer.name in _POST_ACTIVATION
    ]
    last = max(in_stages, default=-1)
    found: dict[str, list[keras.layers.Layer]] = {}
    stage = None
    for number, (layer, name) in enumerate(zip(model.layers, names, strict=True)):
        if name:
            stage = name.stage
        elif number > last >= 0:
            stage = "head"
        if stage:  # layers with other names, such as the stem's max pool, belong to the stage before them
            found.setdefault(stage, []).append(layer)
    if not any(layer.weights for layer in found.get("head", ())):
        found.pop("head", None)  # a pool alone: the model ends with its last feature map
    return found
