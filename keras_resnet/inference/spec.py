"""What a model has to be so that its files can be used without this package."""

from collections.abc import Sequence

import keras

from keras_resnet._utils.environment import require_tensorflow_backend
from keras_resnet.data.input_spec import MAX_SQUASH_SIZE, InputSpec
from keras_resnet.errors import UserError
from keras_resnet.inference.thresholds import DEFAULT_THRESHOLD
from keras_resnet.models.graph import graphs
from keras_resnet.models.head import MULTI_LABEL, find_head, probability_model
from keras_resnet.models.layers import MeanSubtraction


class Classifier:
    """A model from plain pixels to probabilities, with the names of its classes and its input.

    Its `model` is the given one if that returns probabilities, or else one around it that does.

    Args:
        model: (N, size, size, channels), pixels 0..255 -> probabilities or logits, (N, classes); or, for two
            classes, the probability of the second, (N, 1), by a sigmoid.
        class_names: in the order of the outputs; by default "0", "1", ...
        spec: how its images are prepared; by default as training would have chosen for its size: "squash" up
            to 64 pixels, "center" above.
        thresholds: of a model with a sigmoid for each of several labels, from which probability on an image
            is said to have the label; by default 0.5. Its own are None for a model of one class an image.

    Raises:
        UserError: the model's inputs or outputs are others, or names, spec or thresholds do not fit it.
    """

    def __init__(
        self,
        model: keras.Model,
        class_names: Sequence[str] = (),
        spec: InputSpec | None = None,
        thresholds: Sequence[float] = (),
    ):
        require_tensorflow_backend()
        shapes = [tuple(tensor.shape[1:]) for tensor in (*model.inputs, *model.outputs)]
        if len(shapes) != 2 or len(shapes[0]) != 3 or len(shapes[1]) != 1:
            raise UserError(
                f"must map one image to one vector of probabilities; its shapes are {shapes}.",
                parameter="model",
                value=model.name,
            )
        height, width, channels = shapes[0]
        if None in shapes[0]:
            raise UserError(
                f"must take images of one size, as its files will; its input is {shapes[0]}.",
                parameter="model",
                value=model.name,
            )
        if height != width or channels not in (1, 3):
            raise UserError(
                f"must take square images of 1 or 3 channels; its input is {shapes[0]}.",
                parameter="model",
                value=model.name,
            )
        probabilities = probability_model(model)
        classes = probabilities.outputs[0].shape[-1]
        names = tuple(class_names) or tuple(map(str, range(classes)))
        if len(names) != classes:
            raise UserError(
                f"there are {len(names)} names for the {classes} classes of {model.name}; give one name "
                "for each class.",
                parameter="class_names",
            )
        broken = [name for name in names if not name.strip() or set("\r\n") & set(name)]
        if broken:
            raise UserError(
                "must be names of one line each that are not empty.",
                parameter="class_names",
                value=repr(broken[0]),
            )
        spec = spec or _default_spec(model, height, channels)
        if (spec.size, spec.channels) != (height, channels):
            raise UserError(
                f"must be that of {model.name}, which takes {height}x{width}x{channels}.",
                parameter="spec",
                value=f"{spec.size}x{spec.size}x{spec.channels}",
            )
        self.model, self.class_names, self.spec = probabilities, names, spec
        self.thresholds = _thresholds(model, classes, thresholds)


def _thresholds(model: keras.Model, classes: int, thresholds: Sequence[float]) -> tuple[float, ...] | None:
    is_multi_label = find_head(model) == MULTI_LABEL
    if not is_multi_label and not thresholds:
        return None
    if not is_multi_label or len(thresholds) not in (0, classes):
        takes = (
            f"one for each of {classes} labels" if is_multi_label else "none, for it has one class an image"
        )
        raise UserError(
            f"there are {len(thresholds)} for {model.name}, which takes {takes}.", parameter="thresholds"
        )
    return tuple(map(float, thresholds)) or (DEFAULT_THRESHOLD,) * classes


def _default_spec(model: keras.Model, size: int, channels: int) -> InputSpec:
    layers = (layer for graph in graphs(model) for layer in graph.layers)
    means = [layer.mean.shape for layer in layers if isinstance(layer, MeanSubtraction)]
    normalization = "published"  # by whoever made the model
    if means:
        normalization = "per_pixel_mean" if len(means[0]) == 3 else "per_channel_mean"
    crop_mode = "squash" if size <= MAX_SQUASH_SIZE else "center"
    return InputSpec(size, channels, crop_mode, normalization)
