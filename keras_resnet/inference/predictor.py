"""A trained model in any of its files, as one function from images to probabilities.

TensorFlow is imported only for the formats that need it: a `.tflite` file predicts within a second.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_resnet.data.input_spec import InputSpec
from keras_resnet.errors import UserError
from keras_resnet.inference.images import Images, image_batches
from keras_resnet.inference.reading import PredictFn

if TYPE_CHECKING:
    import keras

# The files of a run that can be opened.
_RUN_FILES = ("model.tflite", "model.keras")


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A classifier that takes images, or files of them, and returns class probabilities.

    Args:
        path: the file or folder it was loaded from.
        spec: what `predict_fn` takes.
        class_names: in the order of the probabilities.
        predict_fn: the bare model: (N, size, size, channels), pixels 0..255 -> (N, classes) float32.
        model: the Keras model, or None for other formats.
        thresholds: of a model of several labels an image, from which probability on an image has each label;
            None for a model of one class an image.
    """

    path: pathlib.Path
    spec: InputSpec
    class_names: tuple[str, ...]
    predict_fn: PredictFn
    model: "keras.Model | None" = None
    thresholds: tuple[float, ...] | None = None

    @classmethod
    def from_model(
        cls,
        model: "keras.Model",
        class_names: Sequence[str] = (),
        *,
        spec: InputSpec | None = None,
        path: str | os.PathLike = "",
        thresholds: Sequence[float] = (),
    ) -> "Predictor":
        """Returns a predictor for a Keras model, which computes in float32 with batch normalization folded.

        Args:
            model: a Functional or Sequential classifier of plain pixels, 0..255, of one size.
            class_names: in the order of its outputs; by default "0", "1", ...
            spec: how its images are prepared; by default as of `Classifier`.
            path: where it came from, for messages; by default its name.
            thresholds: of each of several labels an image; by default 0.5.

        Raises:
            UserError: as of `Classifier`.
        """
        from keras_resnet.inference.keras_file import wrap_model

        model_file = wrap_model(model, class_names, spec=spec, thresholds=thresholds)
        return cls(pathlib.Path(path or model.name), *model_file)

    def predict(self, images: Images) -> np.ndarray:
        """Returns the class probabilities of images, (N, classes) float32.

        Args:
            images: pixels from 0 to 255, (N, H, W, C) or (H, W, C); a file (JPEG, PNG, GIF, BMP or WebP) or
                its bytes; or a sequence of images, each one a file, its bytes or pixels. Pixels of the
                model's size are taken as they are. Files and uint8 pixels of other sizes are prepared as in
                the evaluation of the model. `.tflite` files take whole numbers, to which floats are rounded.

        Raises:
            UserError: an image cannot be read, or an array does not hold images.
        """
        parts = [self.predict_fn(batch) for batch in image_batches(images, self.spec)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.class_names)), "float32")

    def top(self, images: Images, k: int = 5) -> list[list[tuple[str, float]]]:
        """Returns the k likeliest classes of each image, (name, probability), the likeliest first.

        Args:
            images: as of `predict`.
            k: how many; all classes where there are fewer.

        Raises:
            UserError: as of `predict`, or `k` is less than 1.
        """
        if k < 1:
            raise UserError("must be at least 1.", parameter="k", value=k)
        return self._ranked(images, k)

    def labels(self, images: Images) -> list[list[tuple[str, float]]]:
        """Returns the labels of each image, (name, probability), the likeliest first: any number, or none.

        An image has the labels whose probability reaches their threshold.

        Args:
            images: as of `predict`.

        Raises:
            UserError: as of `predict`, or the model gives each image one class.
        """
        if self.thresholds is None:
            raise UserError(
                "gives each image one class and has no thresholds; use top.",
                parameter="model",
                value=self.path,
            )
        thresholds = dict(zip(self.class_names, self.thresholds, strict=True))
        return [[one for one in row if one[1] >= thresholds[one[0]]] for row in self._ranked(images)]

    def _ranked(self, images: Images, k: int | None = None) -> list[list[tuple[str, float]]]:
        probabilities = self.predict(images)
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        return [
            [(self.class_names[index], float(row[index])) for index in order]
            for row, order in zip(probabilities, best, strict=True)
        ]


def load_predictor(path: str | os.PathLike, prefer: str = "model.tflite") -> Predictor:
    """Loads a `.tflite` or `.keras` file, a SavedModel folder, or the folder of a run.

    Args:
        path: the file or folder.
        prefer: which file of a run to load: "model.tflite" loads fastest, "model.keras" is faster for many
            images and has gradients.

    Raises:
        UserError: it is none of these, or this package did not write it.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise UserError(
            "there is no such file or folder; use a .tflite file, a .keras file, a SavedModel folder or the "
            "folder of a run.",
            value=path,
        )
    if path.suffix.lower() == ".tflite":
        from keras_resnet.inference.tflite_file import open_tflite

        return Predictor(path, *open_tflite(path))
    if path.suffix == ".keras":
        from keras_resnet.inference.keras_file import open_keras

        return Predictor(path, *open_keras(path))
    if (path / "saved_model.pb").is_file():
        from keras_resnet.inference.saved_model import open_saved_model

        return Predictor(path, *open_saved_model(path))
    if (path / "run.json").is_file():
        for name in sorted(_RUN_FILES, key=prefer.__ne__):
            if (path / name).is_file():
                return load_predictor(path / name)
        raise UserError(
            f"the run is not finished: it has neither {' nor '.join(_RUN_FILES)}; run its training again to "
            "to resume it.",
            value=path,
        )
    raise UserError(
        "is neither a .tflite file, a .keras file, a SavedModel folder nor the folder of a run.", value=path
    )
