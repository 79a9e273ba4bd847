"""`keras-resnet explain`: where a net looked in a picture."""

import pathlib
from typing import Any

from absl import flags

from keras_resnet.errors import UserError
from keras_resnet.files import check_writable

ARGUMENT = "MODEL IMAGE"
FLAGS = flags.FlagValues()
_EXPLANATION: dict[str, Any] = {"flag_values": FLAGS, "module_name": "The explanation"}
flags.DEFINE_string(
    "output", None, "PNG file to write; by default explained-IMAGE.png in the current folder.", **_EXPLANATION
)
flags.DEFINE_string("class_name", None, "Class to explain; by default the likeliest.", **_EXPLANATION)
flags.DEFINE_string(
    "layer",
    None,
    "Whose feature map to look at; by default the last in front of the global pool.",
    **_EXPLANATION,
)

_MOST_NAMES = 10


def run(model: str, image: str) -> None:
    """Draw, and print what is drawn."""
    picture = pathlib.Path(image)
    output = pathlib.Path(FLAGS.output or f"explained-{picture.stem}.png")
    _check(pathlib.Path(model), picture, output)
    from keras_resnet.data.picture import seen_picture
    from keras_resnet.evaluation.opened import open_model

    seen_picture(picture, 8, 1, whole=True)  # refused before TensorFlow is imported
    opened = open_model(model, prefer="model.keras")
    if opened.net is None:
        raise _without_gradients(opened.path)
    from keras_resnet.evaluation.explanation import draw_grad_cam, feature_layer, grad_cam

    pixels = seen_picture(picture, opened.size, opened.channels, whole=opened.whole)
    probabilities = opened.probabilities(pixels[None])[0]
    number = _number(FLAGS.class_name, opened.class_names, opened.path, int(probabilities.argmax()))
    try:
        layer = FLAGS.layer or feature_layer(opened.net)
        heat_map = grad_cam(opened.net, pixels[None], [number], layer=layer)[0]
    except ValueError as error:
        raise UserError(f"{opened.path}: {error}") from error
    name, probability = opened.class_names[number], f"{100 * probabilities[number]:.2f}%"
    draw_grad_cam(pixels, heat_map, output, f"{probability} {name}")
    told = f"{name}, {probability}, by {layer}" + ("" if heat_map.any() else ", where nothing speaks for it")
    print(f"{told}: {output}".encode(errors="backslashreplace").decode())  # of bytes that are no UTF-8


def _check(model: pathlib.Path, picture: pathlib.Path, output: pathlib.Path) -> None:
    """Refuse what no net is needed to refuse."""
    told = f"--output={output}"
    if output.suffix.lower() != ".png" or output.is_dir():
        raise UserError(f"{told} must be a file that ends in .png.")
    check_writable(output.parent, told)
    if not picture.is_file():
        raise UserError(f"{picture}: there is no such file; give one picture.")
    if output.resolve() == picture.resolve():
        raise UserError(f"{told} is the picture itself, which stays as it is; give another name.")
    if not model.exists():
        raise UserError(f"{model}: there is no such file or folder; give a run or its model.keras.")
    if model.suffix == ".tflite" or (model / "saved_model.pb").is_file():
        raise _without_gradients(model)


def _without_gradients(model: pathlib.Path) -> UserError:
    return UserError(f"{model} has no gradients to explain with; give the run or its model.keras.")


def _number(class_name: str | None, names: tuple[str, ...], model: pathlib.Path, likeliest: int) -> int:
    """Of the class that is asked for, or the likeliest."""
    if class_name is None:
        return likeliest
    if class_name not in names:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        some = ", ".join(names[:_MOST_NAMES])
        raise UserError(f"--class_name={class_name} is no class of {model}; it has {some}{more}.")
    return names.index(class_name)
