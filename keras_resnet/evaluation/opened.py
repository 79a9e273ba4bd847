"""A trained net in any of its files, as one function from pixels to probabilities.

TensorFlow is imported only for the files that need it: a `.tflite` answers within a second.
"""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Callable

import numpy as np

from keras_resnet.errors import UserError

# How a net's images are prepared, beside its class names in each of its files.
PREPROCESSING = "preprocessing.json"
LABELS = "labels.txt"
# Of a `.keras` file that says nothing of its images: up to this side they were seen whole.
_SMALL = 64


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
    """

    path: pathlib.Path
    size: int
    channels: int
    whole: bool
    class_names: tuple[str, ...]
    probabilities: Callable[[np.ndarray], np.ndarray]


def open_model(path: str | os.PathLike, *, threads: int | None = None) -> OpenedModel:
    """A `.tflite` or `.keras` file, a SavedModel folder, or the folder of a run.

    Of a run's files, the TFLite one is opened: it takes the least time.

    Args:
        threads: that a TFLite file computes on; by default as many as there are cores.

    Raises:
        UserError: it is none of these, or a net's file that this package did not write.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise UserError(
            f"{path}: there is no such file or folder; give a .tflite, a .keras, a SavedModel or a run."
        )
    if path.suffix == ".tflite":
        return _open_tflite(path, threads)
    if path.suffix == ".keras":
        return _open_keras(path)
    if (path / "saved_model.pb").is_file():
        return _open_saved_model(path)
    if (path / "run.json").is_file():
        for name in ("model.tflite", "model.keras"):
            if (path / name).is_file():
                return open_model(path / name, threads=threads)
        raise UserError(
            f"{path} is a run that has not been finished: neither model.tflite nor model.keras is there."
        )
    raise UserError(
        f"{path} is none of a .tflite file, a .keras file, a SavedModel folder and the folder of a run."
    )


def _open_tflite(path: pathlib.Path, threads: int | None) -> OpenedModel:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(os.fspath(path), num_threads=threads or os.cpu_count())
        run = interpreter.get_signature_runner()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{path} is no TFLite file that can be opened ({_first_line(error)}).") from error
    told, names = _told_in_zip(path)
    if run.get_input_details().keys() != {"image"} or run.get_output_details().keys() != {"probabilities"}:
        raise _foreign(path)
    shape = run.get_input_details()["image"]["shape"]
    output = run.get_output_details()["probabilities"]
    scale, zero = output["quantization"]

    def one(images: np.ndarray) -> np.ndarray:
        answer = run(image=images)["probabilities"]
        return answer if answer.dtype == np.float32 else (answer.astype("float32") - zero) * np.float32(scale)

    def probabilities(images: np.ndarray) -> np.ndarray:
        images = np.broadcast_to(images, (*images.shape[:3], shape[3]))
        return np.concatenate([one(np.ascontiguousarray(image[None])) for image in images])

    return OpenedModel(path, int(shape[1]), int(shape[3]), told["whole"], names, probabilities)


def _told_in_zip(path: pathlib.Path) -> tuple[dict, tuple[str, ...]]:
    try:
        with zipfile.ZipFile(path) as archive:
            told = json.loads(archive.read(PREPROCESSING))
            return told, tuple(archive.read(LABELS).decode().splitlines())
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise _foreign(path) from error


def _open_keras(path: pathlib.Path) -> OpenedModel:
    from keras_resnet.models.saving import load_model

    try:
        model = load_model(path)
    except (ValueError, OSError, TypeError) as error:
        raise UserError(f"{path} is no Keras model that can be opened ({_first_line(error)}).") from error
    shape = model.inputs[0].shape[1:]
    if len(model.inputs) != 1 or len(shape) != 3 or None in shape or shape[0] != shape[1]:
        raise UserError(
            f"{path} takes {[tuple(tensor.shape) for tensor in model.inputs]}, not square images of one size."
        )
    size, classes = shape[0], model.outputs[0].shape[-1]
    try:
        whole = json.loads((path.parent / "run.json").read_text())["about"]["preprocessing"]["whole"]
    except (OSError, ValueError, KeyError, TypeError):
        whole = size <= _SMALL
    try:
        names = tuple((path.parent / LABELS).read_text(encoding="utf-8").splitlines())
    except OSError:
        names = tuple(map(str, range(classes)))
    if len(names) != classes:
        raise UserError(f"{path.parent / LABELS} names {len(names)} classes; {path} has {classes}.")
    return OpenedModel(path, size, shape[2], whole, names, lambda images: model.predict_on_batch(images))


def _open_saved_model(path: pathlib.Path) -> OpenedModel:
    import tensorflow as tf

    extra = path / "assets.extra"
    try:
        told = json.loads((extra / PREPROCESSING).read_text())
        names = tuple((extra / LABELS).read_text(encoding="utf-8").splitlines())
        loaded = tf.saved_model.load(os.fspath(path))
    except (OSError, ValueError) as error:
        raise _foreign(path) from error

    def probabilities(images: np.ndarray) -> np.ndarray:
        return loaded.serve(images)["probabilities"].numpy()

    return OpenedModel(path, told["size"], told["channels"], told["whole"], names, probabilities)


def _foreign(path: pathlib.Path) -> UserError:
    return UserError(
        f"{path} was not exported by this package: it lacks the names or preprocessing of its images."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
