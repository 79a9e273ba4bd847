"""Stages that training leaves as they are, for nets that begin with weights from elsewhere."""

import contextlib
import re
from collections.abc import Iterator, Mapping

import keras

# Behind the last stage of pre-activation nets come its `post_bn` and `post_relu`.
_LAYER = re.compile(r"(?:(conv\d+)|post)_")


def freeze(model: keras.Model, until: str = "head") -> None:
    """Make every layer in front of a stage untrainable, and those of that stage and behind it trainable.

    Frozen weights get no gradient and do not decay. By Keras' own rule BN of frozen layers is in inference
    mode, in training too, and its statistics stay. Layers in front of the stem, as the subtraction of a
    mean, are left as they are. Called again with an earlier stage, it unfreezes. Who trains by Keras' `fit`
    must call `compile` after it.

    Args:
        model: a net called as this package's or as keras.applications' ResNets.
        until: the first stage that is trained: "conv1" (the stem) for everything, "conv2", "conv3", ..., or
            "head" for what comes behind the last of them: the classifier alone.

    Raises:
        ValueError: the net has no such stage.
    """
    found = _stages(model)
    if until not in found:
        raise ValueError(
            f"{until!r} is no stage of {model.name}, which has "
            f"{', '.join(found) or 'none called as those of this package'}."
        )
    flags = {layer: layer.trainable for layer in model.layers}
    trainable = False
    for name, layers in found.items():
        trainable = trainable or name == until
        flags.update(dict.fromkeys(layers, trainable))
    # Of a net that is frozen as a whole Keras trains nothing, whatever its layers say.
    _set_trainable(model, True, flags)


def stages(model: keras.Model) -> tuple[str, ...]:
    """What `freeze` takes for this net, in order: "conv1", "conv2", ..., "head"."""
    return tuple(_stages(model))


@contextlib.contextmanager
def trainable_as_before(model: keras.Model) -> Iterator[None]:
    """Whatever is frozen inside, afterwards each layer is as trainable as it was."""
    whole, flags = model.trainable, {layer: layer.trainable for layer in model.layers}
    try:
        yield
    finally:
        _set_trainable(model, whole, flags)


def _set_trainable(model: keras.Model, whole: bool, flags: Mapping[keras.layers.Layer, bool]) -> None:
    model.trainable = whole  # first: Keras sets its layers' flags as well
    for layer, trainable in flags.items():
        layer.trainable = trainable


def _stages(model: keras.Model) -> dict[str, list[keras.layers.Layer]]:
    """The layers of each stage, in order; those in front of the stem are in none."""
    matches = [_LAYER.match(layer.name) for layer in model.layers]
    last = max((number for number, match in enumerate(matches) if match), default=-1)
    found: dict[str, list[keras.layers.Layer]] = {}
    stage = None
    for number, (layer, match) in enumerate(zip(model.layers, matches, strict=True)):
        if match:
            stage = match[1] or stage
        elif number > last >= 0:
            stage = "head"
        if stage:  # layers without a name of a stage, as the stem's max pool, belong to the one before
            found.setdefault(stage, []).append(layer)
    if not any(layer.weights for layer in found.get("head", ())):
        found.pop("head", None)  # a pool alone: the net ends with its last feature map
    return found
