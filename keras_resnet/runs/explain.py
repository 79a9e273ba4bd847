"""Where a model looked in an image: Grad-CAM, drawn (Selvaraju et al. 2017)."""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING

from keras_resnet._utils.atomic import check_writable
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_MAX_NAMES = 10


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What speaks for a class in an image.

    Args:
        class_name: the class.
        probability: that the model gives it, 0 to 1.
        layer: whose feature map was looked at.
        heat_map: (h, w) float32 of that map's size, 0 and greater; all 0 where nothing speaks for the class.
        path: the PNG file that was written.
    """

    class_name: str
    probability: float
    layer: str
    heat_map: "np.ndarray"
    path: pathlib.Path


def explain(
    model: str | os.PathLike,
    image: str | os.PathLike,
    *,
    output: str | os.PathLike | None = None,
    class_name: str | None = None,
    layer: str | None = None,
) -> Explanation:
    """Draws which parts of an image speak for a class.

    Args:
        model: a run or a `.keras` file.
        image: path of an image.
        output: PNG file to write; by default explained-IMAGE.png in the working folder.
        class_name: by default the most probable class.
        layer: whose feature map is looked at; by default the last before the global pool.

    Raises:
        UserError: a file is missing or of the wrong kind; there is no such class or layer.
    """
    model, picture = pathlib.Path(model), pathlib.Path(image)
    output = pathlib.Path(output or f"explained-{picture.stem}.png")
    _check(model, picture, output)
    from keras_resnet.data.images.pillow import preprocess_image
    from keras_resnet.data.input_spec import InputSpec
    from keras_resnet.inference.predictor import load_predictor

    preprocess_image(picture, InputSpec(8, 1))  # refused before TensorFlow is imported
    predictor = load_predictor(model, prefer="model.keras")
    if predictor.model is None:
        raise _without_gradients(predictor.path)
    from keras_resnet.evaluation.class_activation import draw_grad_cam, feature_layer, grad_cam

    pixels = preprocess_image(picture, predictor.spec)
    probabilities = predictor.predict(pixels)[0]
    index = _class_index(class_name, predictor.class_names, predictor.path, int(probabilities.argmax()))
    try:
        layer = layer or feature_layer(predictor.model)
        heat_map = grad_cam(predictor.model, pixels[None], [index], layer=layer)[0]
    except ValueError as error:
        raise UserError(f"cannot be explained: {error}", value=predictor.path) from error
    name, probability = predictor.class_names[index], float(probabilities[index])
    draw_grad_cam(pixels, heat_map, output, f"{100 * probability:.2f}% {name}")
    return Explanation(name, probability, layer, heat_map, output)


def _check(model: pathlib.Path, picture: pathlib.Path, output: pathlib.Path) -> None:
    """Refuses what can be refused without the model."""
    if output.suffix.lower() != ".png" or output.is_dir():
        raise UserError("must be a file that ends in .png.", parameter="output", value=output)
    check_writable(output.parent, "output")
    if not picture.is_file():
        raise UserError("there is no such file; use one image.", value=picture)
    if output.resolve() == picture.resolve():
        raise UserError("is the image itself; use another name.", parameter="output", value=output)
    if not model.exists():
        raise UserError("there is no such file or folder; use a run or its model.keras.", value=model)
    if model.suffix.lower() == ".tflite" or (model / "saved_model.pb").is_file():
        raise _without_gradients(model)


def _without_gradients(model: pathlib.Path) -> UserError:
    return UserError("has no gradients to explain with; use the run or its model.keras.", value=model)


def _class_index(class_name: str | None, names: tuple[str, ...], model: pathlib.Path, likeliest: int) -> int:
    if class_name is None:
        return likeliest
    if class_name not in names:
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        some = ", ".join(names[:_MAX_NAMES])
        raise UserError(f"{model} has the classes {some}{more}.", parameter="class_name", value=class_name)
    return names.index(class_name)
