"""A trained net in any of its files, as one function from pixels to probabilities.

TensorFlow is imported only for the files that need it: a `.tflite` answers within a second.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from keras_resnet.data.source import LARGEST
from keras_resnet.data.view import SMALL
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

# How a net's images are prepared, beside its class names in each of its files.
PREPROCESSING = "preprocessing.json"
LABELS = "labels.txt"


@dataclasses.dataclass(frozen=True)
class OpenedModel:
    """A net ready to answer.

    Args:
        path: the file or folder that was opened.
        size: side of the images in pixels.
        channels: of the images: 1 or 3.
        whole: whether it was trained on whole images or on their centres.
        class_names: in the order of the probabilities.
        probabilities: (N, size, size, channels) uint8 -> (N, classes) float32.
        net: the Keras model, where that was opened.
    """

    path: pathlib.Path
    size: int
    channels: int
    whole: bool
    class_names: tuple[str, ...]
    probabilities: Callable[["np.ndarray"], "np.ndarray"]
    net: "keras.Model | None" = None


def open_model(path: str | os.PathLike, prefer: str = "model.tflite") -> OpenedModel:
    """A `.tflite` or `.keras` file, a SavedModel folder, or the folder of a run.

    Args:
        path: of it.
        prefer: which of a run's files to open: "model.tflite", which takes the least time to open, or
            "model.keras", which is faster for many images.

    Raises:
        UserError: it is none of these, or a net's file that this package did not write.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise UserError(
            f"{path}: there is no such file or folder; give a .tflite, a .keras, a SavedModel or a run."
        )
    if path.suffix == ".tflite":
        return _open_tflite(path)
    if path.suffix == ".keras":
        return _open_keras(path)
    if (path / "saved_model.pb").is_file():
        return _open_saved_model(path)
    if (path / "run.json").is_file():
        for name in sorted(("model.tflite", "model.keras"), key=prefer.__ne__):
            if (path / name).is_file():
                return open_model(path / name)
        raise UserError(
            f"{path} is a run that has not been finished: neither model.tflite nor model.keras is there; the "
            "command that began it goes on with it."
        )
    raise UserError(
        f"{path} is none of a .tflite file, a .keras file, a SavedModel folder and the folder of a run."
    )


def labels_text(class_names: Sequence[str]) -> str:
    """Class names as a file of labels has them, a line each."""
    return "".join(f"{name}\n" for name in class_names)


def read_labels(text: str) -> tuple[str, ...]:
    """Class names of a file of labels."""
    # Not splitlines(), for which there are more ends of a line than this one.
    return tuple(text.removesuffix("\n").split("\n"))


def _open_tflite(path: pathlib.Path) -> OpenedModel:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(os.fspath(path), num_threads=os.cpu_count())
        run = interpreter.get_signature_runner()
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} is no TFLite file that can be opened ({_first_line(error)}); export it again."
        ) from error
    try:
        with zipfile.ZipFile(path) as archive:
            whole = bool(json.loads(archive.read(PREPROCESSING))["whole"])
            names = read_labels(archive.read(LABELS).decode())
        _, size, _, channels = map(int, run.get_input_details()["image"]["shape"])
        output = run.get_output_details()["probabilities"]
        classes = int(output["shape"][-1])
    except Exception as error:
        # Whatever reading a damaged archive raises.
        raise _foreign(path) from error
    _check_names(path, names, classes)
    scale, zero = output["quantization"]

    def one(images: "np.ndarray") -> "np.ndarray":
        answer = run(image=images)["probabilities"]
        return answer if answer.dtype == np.float32 else (answer.astype("float32") - zero) * np.float32(scale)

    def probabilities(images: "np.ndarray") -> "np.ndarray":
        images = np.broadcast_to(images, (*images.shape[:3], channels))
        return np.concatenate([one(np.ascontiguousarray(image[None])) for image in images])

    return OpenedModel(path, size, channels, whole, names, probabilities)


def load_keras(path: pathlib.Path) -> "keras.Model":
    """The net of a `.keras` file.

    Raises:
        UserError: it is none.
    """
    from keras_resnet.models.saving import load_model

    try:
        return load_model(path)
    except Exception as error:
        # Whatever Keras, HDF5 and ZIP make of a damaged file.
        raise UserError(
            f"{path} is no Keras model that can be opened ({_first_line(error)}); save it again."
        ) from error


def opened_net(
    model: "keras.Model",
    class_names: Sequence[str] = (),
    *,
    whole: bool | None = None,
    path: str | os.PathLike = "",
) -> OpenedModel:
    """A Keras model as an `OpenedModel`, in float32 and with BN folded.

    Args:
        model: a Functional classifier of plain pixels, 0..255, of one size.
        class_names: in the order of its outputs; by default "0", "1", ...
        whole: whether it was trained on whole images or on their centres; by default as training would have
            chosen for its size.
        path: where it came from; by default its name.

    Raises:
        ValueError: it is no such model.
    """
    import keras
    import tensorflow as tf

    from keras_resnet.evaluation.classifier import Classifier
    from keras_resnet.models.surgery import inference_copy

    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    classifier = Classifier(model, tuple(class_names))
    net = inference_copy(model)
    images = tf.TensorSpec((None, classifier.size, classifier.size, classifier.channels), tf.float32)
    answers = tf.function(lambda batch: net(batch, training=False), [images], autograph=False)

    def probabilities(images: "np.ndarray") -> "np.ndarray":
        return answers(tf.constant(images, tf.float32)).numpy()

    return OpenedModel(
        pathlib.Path(path or model.name),
        classifier.size,
        classifier.channels,
        classifier.size <= SMALL if whole is None else whole,
        classifier.class_names,
        probabilities,
        model,
    )


def _open_keras(path: pathlib.Path) -> OpenedModel:
    model = load_keras(path)
    whole = None
    # What no run has recorded is as training would have chosen.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads((path.parent / "run.json").read_text())
        whole = bool(record["about"]["preprocessing"]["whole"])
    try:
        opened = opened_net(model, whole=whole, path=path)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is no net from images of one size to probabilities: {error}") from error
    labels = path.parent / LABELS
    if labels.is_file():
        try:
            names = read_labels(labels.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{labels} cannot be read ({_first_line(error)}); it must be UTF-8, a class name a line."
            ) from error
        _check_names(path, names, len(opened.class_names))
        opened = dataclasses.replace(opened, class_names=names)
    return opened


def _open_saved_model(path: pathlib.Path) -> OpenedModel:
    import tensorflow as tf

    extra = path / "assets.extra"
    try:
        told = json.loads((extra / PREPROCESSING).read_text())
        size, channels, whole = int(told["size"]), int(told["channels"]), bool(told["whole"])
        if channels not in (1, 3) or not 0 < size**2 <= LARGEST:
            raise ValueError(f"{size}x{size}x{channels} is no size of an image")
        names = read_labels((extra / LABELS).read_text(encoding="utf-8"))
        loaded = tf.saved_model.load(os.fspath(path))
        signature = loaded.signatures["serving_default"]
        classes = signature.structured_outputs["probabilities"].shape[-1]
    except Exception as error:
        # Whatever TensorFlow makes of a damaged or another's file.
        raise _foreign(path) from error
    _check_names(path, names, classes)

    def probabilities(images: "np.ndarray") -> "np.ndarray":
        return loaded.serve(images)["probabilities"].numpy()

    return OpenedModel(path, size, channels, whole, names, probabilities)


def _check_names(path: pathlib.Path, names: Sequence[str], classes: int) -> None:
    if len(names) != classes:
        raise UserError(
            f"The labels of {path} name {len(names)} classes and it has {classes}; they must be a name a "
            "line, one for each."
        )


def _foreign(path: pathlib.Path) -> UserError:
    return UserError(
        f"{path} was not exported by this package: it lacks the names or preprocessing of its images; give "
        "one that `keras-resnet export` wrote."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
