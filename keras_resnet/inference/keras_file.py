"""Reads `.keras` files, and wraps Keras models."""

import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_resnet._utils.environment import require_tensorflow_backend
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.errors import UserError, first_line
from keras_resnet.inference.labels import LABELS, read_labels
from keras_resnet.inference.reading import ModelFile, check_class_names, unreadable_file
from keras_resnet.inference.sidecars import PREPROCESSING, read_preprocessing
from keras_resnet.inference.thresholds import THRESHOLDS, read_thresholds

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def load_keras(path: str | os.PathLike) -> "keras.Model":
    """Loads the model of a `.keras` file.

    Raises:
        UserError: it cannot be opened.
    """
    require_tensorflow_backend()
    from keras_resnet.models.saving import load_model

    try:
        return load_model(path)
    except Exception as error:
        # Whatever Keras, HDF5 and ZIP raise for a damaged file.
        raise unreadable_file(path, "Keras model", error, "save it again") from error


def open_keras(path: pathlib.Path) -> ModelFile:
    """Opens a `.keras` file, and the sidecars of its folder, if any.

    Raises:
        UserError: one of these cannot be opened or does not fit the model.
    """
    model = load_keras(path)
    preprocessing, labels = path.parent / PREPROCESSING, path.parent / LABELS
    spec = None
    if preprocessing.is_file():
        try:
            spec = read_preprocessing(preprocessing.read_bytes())
        except (OSError, UserError) as error:
            raise UserError(f"cannot be read ({first_line(error)}).", value=preprocessing) from error
    try:
        model_file = wrap_model(model, spec=spec)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"is not a model from images of one size to probabilities ({first_line(error)}).", value=path
        ) from error
    if model_file.thresholds is not None:
        model_file = model_file._replace(thresholds=_thresholds(path, model_file.thresholds))
    if not labels.is_file():
        return model_file
    try:
        names = read_labels(labels.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot be read ({first_line(error)}); a labels file is UTF-8 with one class name per line.",
            value=labels,
        ) from error
    check_class_names(path, names, len(model_file.class_names))
    return model_file._replace(class_names=names)


def _thresholds(path: pathlib.Path, default: tuple[float, ...]) -> tuple[float, ...]:
    """Returns the thresholds next to a model of several labels an image, or the default."""
    file = path.parent / THRESHOLDS
    if not file.is_file():
        return default
    try:
        return read_thresholds(file.read_bytes(), len(default))
    except (OSError, UserError) as error:
        raise UserError(f"cannot be read ({first_line(error)}).", value=file) from error


class KerasPredictFn:
    """The `predict_fn` of a Keras model, which knows the logarithms of its probabilities as well.

    Args:
        graph: from pixels to probabilities and their logarithms.
    """

    def __init__(self, graph: "Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]"):
        self._graph = graph

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.score(images)[0]

    def score(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns probabilities, and logarithms that are exact where float32 cannot hold a probability."""
        import tensorflow as tf

        probabilities, logarithms = self._graph(tf.constant(images, tf.float32))
        return probabilities.numpy(), logarithms.numpy()


def wrap_model(
    model: "keras.Model",
    class_names: Sequence[str] = (),
    *,
    spec: InputSpec | None = None,
    thresholds: Sequence[float] = (),
) -> ModelFile:
    """Wraps a Keras model as `Predictor.from_model` does: in float32, with batch normalization folded.

    Raises:
        UserError: as of `Classifier`.
    """
    import keras
    import tensorflow as tf

    from keras_resnet.inference.spec import Classifier
    from keras_resnet.models.surgery import inference_copy
    from keras_resnet.training.losses import log_probabilities

    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    classifier = Classifier(model, class_names, spec, thresholds)
    folded, size = inference_copy(classifier.model), classifier.spec.size
    images = tf.TensorSpec((None, size, size, classifier.spec.channels), tf.float32)

    @functools.partial(tf.function, input_signature=[images], autograph=False)
    def graph(batch):
        probabilities = folded(batch, training=False)
        return probabilities, log_probabilities(probabilities)

    return ModelFile(
        classifier.spec, classifier.class_names, KerasPredictFn(graph), model, classifier.thresholds
    )
