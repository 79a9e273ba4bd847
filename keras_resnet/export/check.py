"""The exported files, loaded again as a stranger would and compared with the model they came from."""

import dataclasses
import os
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

# Above the rounding of float32 sums in another order, far below anything that changes an answer.
_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Parity:
    """One file on the same images as the model.

    Args:
        file: name of the file or folder.
        accuracy: share of images whose likeliest class is theirs, 0..1.
        difference: largest difference of a probability from the model's.
    """

    file: str
    accuracy: float
    difference: float


def check_exports(
    model: keras.Model,
    saved_model: str | os.PathLike,
    tflite: str | os.PathLike,
    batches: Iterable[tuple[tf.Tensor, tf.Tensor]],
) -> tuple[int, list[Parity]]:
    """Run the model and both files over (images, labels) and compare.

    Returns:
        The number of images, and one `Parity` each for the model itself, the SavedModel and the TFLite file.

    Raises:
        RuntimeError: a file does not give the model's probabilities.
    """
    runners = {
        model.name: lambda images: model.predict_on_batch(images),
        os.path.basename(saved_model): _saved_model(saved_model),
        os.path.basename(tflite): _tflite(tflite),
    }
    right = dict.fromkeys(runners, 0)
    difference = dict.fromkeys(runners, 0.0)
    count = 0
    for images, labels in batches:
        images, labels = np.asarray(images), np.asarray(labels)
        count += len(labels)
        outputs = {name: run(images) for name, run in runners.items()}
        for name, output in outputs.items():
            right[name] += int((output.argmax(-1) == labels).sum())
            # np.maximum keeps a NaN, where max() would lose it.
            largest = np.abs(output - outputs[model.name]).max()
            difference[name] = float(np.maximum(difference[name], largest))
    parities = [Parity(name, right[name] / count, difference[name]) for name in runners]
    for parity in parities:
        # Written so that a difference of NaN fails as well.
        if not parity.difference <= _TOLERANCE:
            raise RuntimeError(
                f"{parity.file} differs from the model by {parity.difference:.2g}, more than {_TOLERANCE:g}."
            )
    return count, parities


def _saved_model(path: str | os.PathLike):
    loaded = tf.saved_model.load(os.fspath(path))
    # The signature lives only as long as what it was loaded with.
    return lambda images: loaded.serve(images).numpy()


def _tflite(path: str | os.PathLike):
    run = Interpreter(os.fspath(path)).get_signature_runner()
    (input_name,) = run.get_input_details()
    (output_name,) = run.get_output_details()
    return lambda images: np.concatenate([run(**{input_name: image[None]})[output_name] for image in images])
