"""Where a net looked: the parts of an image that speak for a class (Selvaraju et al. 2017, Grad-CAM)."""

import os
import pathlib
from collections.abc import Sequence

import keras
import matplotlib as mpl
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import tensorflow as tf

from keras_resnet.files import atomic
from keras_resnet.models.deep import room_to_recurse

_GLOBAL_POOLS = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)

# Of a drawing, in pixels.
_LEAST_SIDE, _MARGIN, _LETTERS = 448, 12, 20
_OPACITY = 0.55


def grad_cam(
    model: keras.Model,
    images: np.ndarray,
    classes: Sequence[int] | None = None,
    *,
    layer: str | None = None,
) -> np.ndarray:
    """How much each position of a feature map speaks for a class: relu(sum_k alpha_k A_k).

    alpha_k is the mean over positions of the gradient of the class's logit, not of its probability, with
    respect to channel k of the map A (Selvaraju et al. 2017, eqs. 1 and 2). BN is in inference mode, and all
    is computed in float32. For a net that ends in global average pooling and one fully connected layer, the
    last map's is the CAM of Zhou et al. 2016 divided by the number of positions.

    Shapes: (N, H, W, C) uint8 or float32, as the model takes them -> (N, h, w) float32, 0 and greater, not
    normalised; h and w are the feature map's.

    Args:
        model: a Functional classifier with its channels last, which stays as it is.
        classes: number of one for each image; by default the likeliest.
        layer: the one whose output is the feature map; by default as of `feature_layer`.

    Raises:
        ValueError: the model is no such classifier, has no such layer, or images and classes do not fit.
    """
    _check_classifier(model)
    net = _with_map_and_logits(model, layer or feature_layer(model))
    if not len(images):
        raise ValueError("images must be at least one; got none.")
    number = net.outputs[1].shape[-1]
    asked = None if classes is None else _checked(classes, (len(images), number))

    # A graph leaves out the gradients of filters, which nobody asks for: oneDNN crashes in that of a 1x1
    # convolution of stride 2 for one image.
    @tf.function(autograph=False)
    def explained(images):
        with tf.GradientTape() as tape:
            tape.watch(images)  # or a map in front of all weights would not be on the tape
            maps, logits = net(images, training=False)
            chosen = tf.argmax(logits, axis=1) if asked is None else asked
            own = tf.gather(logits, chosen, axis=1, batch_dims=1)
        gradients = tape.gradient(own, maps, unconnected_gradients="zero")
        alphas = tf.reduce_mean(gradients, axis=[1, 2], keepdims=True)
        return tf.cast(tf.nn.relu(tf.reduce_sum(alphas * maps, axis=3)), tf.float32)

    with room_to_recurse():
        return explained(tf.constant(images, tf.float32)).numpy()


def feature_layer(model: keras.Model) -> str:
    """Name of the layer that gives the last feature map, in front of the global pool.

    Raises:
        ValueError: the model has no global pool.
    """
    # The last: squeeze-and-excitation blocks have global pools inside.
    pools = [layer for layer in model.layers if isinstance(layer, _GLOBAL_POOLS)]
    if not pools:
        raise ValueError(
            f"{model.name} has no global pool to look at the feature map in front of; name a layer."
        )
    return _source(pools[-1].input).name


def draw_grad_cam(picture: np.ndarray, heat_map: np.ndarray, path: str | os.PathLike, title: str) -> None:
    """Write a PNG of a picture and, beside it, the same under its heat map: the brighter, the more it counts.

    Args:
        picture: what the net saw, (side, side, 1 or 3) uint8. It is enlarged by a whole number, to at least
            448 pixels a side.
        heat_map: of any size; its largest value has the brightest colour.
        path: the file to write.
        title: of the heat map; cut off where it is too long.
    """
    side = len(picture) * -(-_LEAST_SIDE // len(picture))
    seen = PIL.Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).convert("RGB")
    seen = seen.resize((side, side), PIL.Image.Resampling.BICUBIC)
    scaled = PIL.Image.fromarray(heat_map / max(heat_map.max(), np.finfo("float32").tiny))
    heat = np.asarray(scaled.resize((side, side), PIL.Image.Resampling.BICUBIC))
    # From dark to bright, in grey too, and for the colour-blind.
    colours = PIL.Image.fromarray(mpl.colormaps["viridis"](heat, bytes=True)[..., :3])
    font = PIL.ImageFont.truetype(
        pathlib.Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _LETTERS
    )
    top = 2 * _MARGIN + _LETTERS
    drawing = PIL.Image.new("RGB", (2 * side + 3 * _MARGIN, top + side + _MARGIN), "white")
    draw = PIL.ImageDraw.Draw(drawing)
    captions = ("what the net sees", title)
    for place, (image, caption) in enumerate(
        zip((seen, PIL.Image.blend(seen, colours, _OPACITY)), captions, strict=True)
    ):
        left = _MARGIN + place * (side + _MARGIN)
        drawing.paste(image, (left, top))
        while draw.textlength(caption, font) > side:
            caption = f"{caption.removesuffix('…')[:-1]}…"
        draw.text((left, _MARGIN), caption, fill="black", font=font)
    with atomic(path) as written:
        drawing.save(written, "PNG")


def _check_classifier(model: keras.Model) -> None:
    tensors = [*(getattr(model, "inputs", None) or ()), *(getattr(model, "outputs", None) or ())]
    if [len(tensor.shape) for tensor in tensors] != [4, 2]:
        raise ValueError(
            f"{model.name} is no Functional model from one image to the classes, as Grad-CAM needs it."
        )
    if any(getattr(layer, "data_format", None) == "channels_first" for layer in model.layers):
        raise ValueError(f"{model.name} has its channels first; Grad-CAM is for nets with theirs last.")


def _with_map_and_logits(model: keras.Model, layer: str) -> keras.Model:
    """A copy in float32 from images to the output of the layer and to the logits."""
    last = _source(model.outputs[0])
    # A net or an operation of its own at the end may hide a softmax.
    if not hasattr(last, "activation") and not isinstance(last, keras.layers.Softmax):
        raise ValueError(
            f"{model.name} ends in {last.name}, whose logits are unknown; Dense, Activation and Softmax have "
            "them."
        )

    def clone(original):
        config = original.get_config()
        # A net inside the net has layers with configs of their own, and an operation has no type.
        if isinstance(original, keras.Layer) and not isinstance(original, keras.Model):
            config["dtype"] = "float32"
        if original is last and not isinstance(original, keras.layers.Softmax):
            config["activation"] = "linear"
        return type(original).from_config(config)

    # In float32: a model that takes integers would cut the gradient, and the fractions of floats.
    image = keras.Input(model.inputs[0].shape[1:], dtype="float32", name="image")
    given = {model.inputs[0].name: image}

    def call(copied, *args, **kwargs):
        if copied.name == last.name and isinstance(copied, keras.layers.Softmax):
            return args[0]
        given[copied.name] = copied(*args, **kwargs)
        return given[copied.name]

    with room_to_recurse():
        # Without what `compile` was given, which Keras would copy too and may not know.
        plain = keras.Model(model.inputs, model.outputs, name=model.name)
        copy = keras.models.clone_model(plain, [image], clone_function=clone, call_function=call)
        if layer not in given:
            raise ValueError(
                f"{model.name} has no layer {layer!r}; the last with a feature map is {_last(given)}."
            )
        if len(getattr(given[layer], "shape", ())) != 4:
            raise ValueError(
                f"layer {layer!r} of {model.name} gives no feature map; the last that does is {_last(given)}."
            )
        copy.set_weights(plain.get_weights())
        return keras.Model(image, [given[layer], *copy.outputs])


def _last(given: dict[str, keras.KerasTensor]) -> str:
    return [name for name, output in given.items() if len(getattr(output, "shape", ())) == 4][-1]


def _checked(given: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    classes, (images, number) = np.asarray(given), shape
    if classes.shape != (images,) or not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"classes must be a number for each of the {images} images; got {classes.tolist()}.")
    if classes.min() < 0 or classes.max() >= number:
        raise ValueError(f"classes must be from 0 to {number - 1}; got {classes.tolist()}.")
    return classes


def _source(tensor: keras.KerasTensor) -> keras.Operation:
    # Not by the outputs of all layers: a net inside the net tells those of its own graph.
    return tensor._keras_history.operation
