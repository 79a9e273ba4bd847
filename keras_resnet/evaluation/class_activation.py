"""Grad-CAM: which parts of an image raise the score of a class (Selvaraju et al. 2017)."""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import matplotlib as mpl
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import tensorflow as tf

from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.errors import UserError
from keras_resnet.models.copying import Copier
from keras_resnet.models.graph import Call, as_graph, calls, maker
from keras_resnet.models.head import head_operation, is_activation

_GLOBAL_POOLS = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)

# Of a drawing, in pixels.
_MIN_SIDE, _MARGIN, _FONT_SIZE = 448, 12, 20
_OPACITY = 0.55


def grad_cam(
    model: keras.Model,
    images: np.ndarray,
    classes: Sequence[int] | None = None,
    *,
    layer: str | None = None,
) -> np.ndarray:
    """Computes how much each position of a feature map raises the score of a class: relu(sum_k alpha_k A_k).

    alpha_k is the mean over positions of the gradient of the class's logit, not of its probability, with
    respect to channel k of the map A (Selvaraju et al. 2017, eqs. 1 and 2). BN is in inference mode, and
    everything is computed in float32. For a model that ends in global average pooling and one fully connected
    layer, the result for the last feature map is the CAM of Zhou et al. 2016 divided by the number of
    positions.

    Shapes: (N, H, W, C) uint8 or float32, as the model takes them -> (N, h, w) float32, at least 0 and not
    normalized; h and w are the feature map's.

    Args:
        model: a Functional classifier with channels last; it is not changed.
        classes: index of one class for each image; by default the likeliest one.
        layer: name of the layer whose output is the feature map; by default as of `feature_layer`.

    Raises:
        UserError: the model is no such classifier, has no such layer, or images and classes do not fit.
    """
    _check_classifier(model)
    tapped = _with_map_and_logits(model, layer or feature_layer(model))
    if not len(images):
        raise UserError("must be at least one image.", parameter="images", value=0)
    units = tapped.outputs[1].shape[-1]
    indices = None if classes is None else _as_indices(classes, len(images), max(units, 2))

    # A graph leaves out the gradients of filters, which are not needed: oneDNN crashes in that of a 1x1
    # convolution of stride 2 for one image.
    @tf.function(autograph=False)
    def heat_maps(images):
        with tf.GradientTape() as tape:
            tape.watch(images)  # or a map in front of all weights would not be on the tape
            maps, logits = tapped(images, training=False)
            if units == 1:  # of a sigmoid, whose two classes have opposite scores
                logits = tf.concat([-logits, logits], axis=1)
            chosen = tf.argmax(logits, axis=1) if indices is None else indices
            scores = tf.gather(logits, chosen, axis=1, batch_dims=1)
        gradients = tape.gradient(scores, maps, unconnected_gradients="zero")
        alphas = tf.reduce_mean(gradients, axis=[1, 2], keepdims=True)
        return tf.cast(tf.nn.relu(tf.reduce_sum(alphas * maps, axis=3)), tf.float32)

    with raised_recursion_limit():
        return heat_maps(tf.constant(images, tf.float32)).numpy()


def feature_layer(model: keras.Model) -> str:
    """Returns the name of the layer whose output is the last feature map, in front of the global pool.

    Raises:
        UserError: the model has no global pool.
    """
    # The last one, since squeeze-and-excitation blocks have global pools inside.
    pools = [call for call in _all_calls(model) if isinstance(call.operation, _GLOBAL_POOLS)]
    if not pools:
        raise UserError(
            "has no global pool, in front of which the last feature map would be; give the name of a layer.",
            parameter="model",
            value=model.name,
        )
    return maker(pools[-1].input_tensors[0]).name


def _all_calls(model: keras.Model) -> Iterator[Call]:
    """Yields the calls of a model in their order, those inside of nested models included."""
    for call in calls(as_graph(model) or model):
        nested = as_graph(call.operation)
        yield from [call] if nested is None else _all_calls(nested)


def draw_grad_cam(picture: np.ndarray, heat_map: np.ndarray, path: str | os.PathLike, title: str) -> None:
    """Draws a picture as a PNG and, next to it, the same blended with its heat map.

    Args:
        picture: the input of the model, (side, side, 1 or 3) uint8. It is enlarged by an integer factor, to
            at least 448 pixels per side.
        heat_map: of any size; its largest value has the brightest color.
        path: the file to write.
        title: of the heat map; cut off where it is too long.
    """
    side = len(picture) * -(-_MIN_SIDE // len(picture))
    plain = PIL.Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).convert("RGB")
    plain = plain.resize((side, side), PIL.Image.Resampling.BICUBIC)
    scaled = PIL.Image.fromarray(heat_map / max(heat_map.max(), np.finfo("float32").tiny))
    heat = np.asarray(scaled.resize((side, side), PIL.Image.Resampling.BICUBIC))
    # A color map that gets brighter with the value, also in gray and for the color-blind.
    colors = PIL.Image.fromarray(mpl.colormaps["viridis"](heat, bytes=True)[..., :3])
    font = PIL.ImageFont.truetype(
        pathlib.Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _FONT_SIZE
    )
    top = 2 * _MARGIN + _FONT_SIZE
    drawing = PIL.Image.new("RGB", (2 * side + 3 * _MARGIN, top + side + _MARGIN), "white")
    draw = PIL.ImageDraw.Draw(drawing)
    captions = ("model input", title)
    for place, (image, caption) in enumerate(
        zip((plain, PIL.Image.blend(plain, colors, _OPACITY)), captions, strict=True)
    ):
        left = _MARGIN + place * (side + _MARGIN)
        drawing.paste(image, (left, top))
        while draw.textlength(caption, font) > side:
            caption = f"{caption.removesuffix('…')[:-1]}…"
        draw.text((left, _MARGIN), caption, fill="black", font=font)
    with atomic_write(path) as written:
        drawing.save(written, "PNG")


def _check_classifier(model: keras.Model) -> None:
    tensors = [*(getattr(model, "inputs", None) or ()), *(getattr(model, "outputs", None) or ())]
    if [len(tensor.shape) for tensor in tensors] != [4, 2]:
        raise UserError(
            "must be a Functional model from one image to the scores of its classes.",
            parameter="model",
            value=model.name,
        )
    operations = (call.operation for call in _all_calls(model))
    if any(getattr(operation, "data_format", None) == "channels_first" for operation in operations):
        raise UserError("must have its channels last.", parameter="model", value=model.name)


def _with_map_and_logits(model: keras.Model, layer: str) -> keras.Model:
    """Returns a copy in float32 from images to the output of the layer and to the logits."""
    last = head_operation(model.outputs[0])
    # An operation or a model of another kind at the end may contain a softmax.
    if not hasattr(last, "activation") and not is_activation(last):
        raise UserError(
            f"ends in {last.name}, whose logits are unknown; it must end in Dense, Activation or Softmax.",
            parameter="model",
            value=model.name,
        )
    tapper = _Tapper(last)
    # In float32: a model that takes integers would cut the gradient, and the fractions of floats.
    image = keras.Input(model.inputs[0].shape[1:], dtype="float32", name="image")
    tapper.outputs[model.inputs[0].name] = image
    with raised_recursion_limit():
        functional = keras.Model(model.inputs, model.outputs, name=model.name)  # also of a Sequential one
    copy = tapper.copy(functional, [image])
    outputs = tapper.outputs
    if layer not in outputs:
        raise UserError(
            f"{model.name} has no such layer; the last with a feature map is {_last_map(outputs)}.",
            parameter="layer",
            value=layer,
        )
    if len(getattr(outputs[layer], "shape", ())) != 4:
        raise UserError(
            f"its output is not a feature map; the last layer of {model.name} with one is "
            f"{_last_map(outputs)}.",
            parameter="layer",
            value=layer,
        )
    with raised_recursion_limit():
        return keras.Model(image, [outputs[layer], *copy.outputs])


class _Tapper(Copier):
    """Copies a classifier in float32 up to its logits, and keeps the output of every layer.

    Args:
        last: the layer whose activation, or which itself, turns logits into probabilities.
    """

    def __init__(self, last: keras.Operation):
        super().__init__("float32", inline=True)
        self._last = last
        self.outputs: dict[str, Any] = {}

    def changes(self, layer: keras.layers.Layer) -> Mapping[str, Any]:
        is_last = layer is self._last and not is_activation(layer)
        return {"activation": "linear"} if is_last else {}

    def call(self, operation: keras.Operation, copied: Any, args: Any, kwargs: Any) -> Any:
        if operation is self._last and is_activation(operation):
            return args[0]
        self.outputs[operation.name] = copied(*args, **kwargs)
        return self.outputs[operation.name]

    def call_graph(self, call: Call, graph: keras.Model, args: Any, kwargs: Any) -> Any:
        outputs = keras.tree.flatten(super().call_graph(call, graph, args, kwargs))
        self.outputs[call.operation.name] = outputs[0] if len(outputs) == 1 else outputs
        return outputs


def _last_map(outputs: dict[str, keras.KerasTensor]) -> str:
    return [name for name, output in outputs.items() if len(getattr(output, "shape", ())) == 4][-1]


def _as_indices(classes: Sequence[int], num_images: int, num_classes: int) -> np.ndarray:
    indices = np.asarray(classes)
    if indices.shape != (num_images,) or not np.issubdtype(indices.dtype, np.integer):
        raise UserError(
            f"must be one index for each of the {num_images} images.",
            parameter="classes",
            value=indices.tolist(),
        )
    if indices.min() < 0 or indices.max() >= num_classes:
        raise UserError(f"must be from 0 to {num_classes - 1}.", parameter="classes", value=indices.tolist())
    return indices
