"""`keras_resnet.Run`: a finished run, and everything that can be done with it."""

import csv
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keras_resnet._utils.environment import require_tensorflow_backend
from keras_resnet._utils.lock import lock_folder
from keras_resnet.data.dataset import Dataset
from keras_resnet.data.input_spec import InputTransform
from keras_resnet.errors import UserError
from keras_resnet.runs.checks import check_classes, describe_label_difference
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.data_options import DataOptions, changed_options, data_options
from keras_resnet.runs.evaluate_multi_label import check_views
from keras_resnet.runs.record import CARD, HISTORY, MODEL, RECORD, REPORT, RunRecord, load_finished_run

if TYPE_CHECKING:
    import keras
    import numpy as np

    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.evaluation.evaluator import Evaluation
    from keras_resnet.evaluation.multi_label_evaluator import MultiLabelEvaluation
    from keras_resnet.export.compare import Report
    from keras_resnet.inference.predictor import Predictor
    from keras_resnet.runs.explain import Explanation


class Run:
    """A finished run: its model, its numbers, and what can be done with it.

    `keras_resnet.train` returns one, and `Run.open` opens the folder of one, whether it was trained from
    Python or by the command line.

    Args:
        path: folder of the run.
        record: what its `run.json` says.
        was_finished: False for what `train` has just trained.
    """

    def __init__(self, path: str | os.PathLike, record: RunRecord, *, was_finished: bool = True):
        self.path = pathlib.Path(path)
        self.record = record
        self.was_finished = was_finished

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, accuracy={self.metrics['accuracy']:.4f})"

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Run":
        """Opens the folder of a finished run.

        Raises:
            UserError: it is not one, or was made by another version.
        """
        return cls(path, load_finished_run(path))

    @property
    def config(self) -> TrainConfig:
        """The configuration it was trained with."""
        return self.record.train_config

    @property
    def metrics(self) -> Mapping[str, float]:
        """`accuracy` (0 to 1, of the test split where there is one), `validation_error`, `test_error` where
        there is a test split, the `seconds` and `epochs` of the training, and the `epoch` of its weights.

        Of a run of several labels an image, errors are shares of wrong labels, and there are
        `mean_average_precision`, `validation_map` and `macro_f1`. Of others:

        On `measured_images` of the test split, or of validation: `macro_f1` and `balanced_accuracy` (0 to 1),
        mean cross-entropy `nll` and expected calibration error `ece` (0 to 1). Of a calibrated run also
        `temperature`, `calibration_images`, `nll_before` and `ece_before`.
        """
        results = self.record.results or {}
        return {name: value for name, value in results.items() if isinstance(value, int | float)}

    @property
    def reported_split(self) -> str:
        """Which split `accuracy` is measured on: "test", or "validation" where there is no test split."""
        return self.record.reported_split

    @property
    def history(self) -> dict[str, list[float]]:
        """One value an epoch of `loss`, `error`, `val_loss`, `val_error`, `val_macro_f1`,
        `val_balanced_accuracy` and `learning_rate`.
        """
        path = self.path / HISTORY
        try:
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
        except OSError as error:
            raise UserError(f"cannot be read ({error.strerror}).", value=path) from error
        names = [name for name in (rows[0] if rows else ()) if name != "epoch"]
        return {name: [float(row[name]) for row in rows] for name in names}

    @property
    def dataset_name(self) -> str:
        """Name of the dataset it was trained on; the absolute path of a folder or table."""
        return self.record.settings["dataset"]["name"]

    @functools.cached_property
    def model(self) -> "keras.Model":
        """The trained Keras model, from plain pixels to probabilities, in float32."""
        from keras_resnet.inference.keras_file import load_keras

        return load_keras(self.path / MODEL)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The dataset it was trained on.

        Raises:
            UserError: it was a `Dataset` object, or is not there any more.
        """
        if self.record.config["dataset"] is None:
            raise UserError(
                "was a Dataset object, which cannot be loaded again; pass a dataset.",
                parameter="dataset",
                value=self.record.settings["dataset"]["name"],
            )
        return self.load_dataset()

    @functools.cached_property
    def report(self) -> "Report | None":
        """What came of comparing the exported files with the model, as the last export left it."""
        from keras_resnet.export.compare import read_report

        path = self.path / REPORT
        return read_report(path) if path.is_file() else None

    def load_dataset(
        self, dataset: "str | os.PathLike | Dataset | None" = None, options: DataOptions | None = None
    ) -> Dataset:
        """The run's dataset, or another one with the same classes and channels.

        Args:
            dataset: by default the run's.
            options: how it is loaded; for the run's own dataset, what they leave at the defaults is as in the
                run.

        Raises:
            UserError: it does not fit the run.
        """
        config = self.config
        if dataset is None:
            dataset = config.dataset
            options = changed_options(options or DataOptions(), data_options(config))
            if self.record.config["dataset"] is None:
                return self.dataset  # refuses
        found = (options or DataOptions()).load(dataset)
        check_classes(found, self.record.settings["dataset"]["class_names"], f"the run {self.path.name}")
        if found.multi_label != self.record.multi_label:
            raise UserError(
                describe_label_difference(self.record.multi_label, found),
                parameter="dataset",
                value=found.name,
            )
        channels = self.record.spec.channels
        if found.channels != channels:
            raise UserError(
                f"has images of {found.channels} channels, and the run was trained on {channels}.",
                parameter="dataset",
                value=found.name,
            )
        return found

    def pipeline(self, dataset: Dataset, options: DataOptions | None = None) -> "Pipeline":
        """The images of a dataset as the run's validation takes them; imports TensorFlow."""
        from keras_resnet.data.pipeline import Pipeline

        transform = InputTransform(self.record.spec, hflip=False)
        errors = (options or data_options(self.config)).decode_errors()
        return Pipeline(dataset, transform, errors, self.record.settings["training"]["seed"])

    def evaluate(
        self,
        dataset: "str | os.PathLike | Dataset | None" = None,
        *,
        views: str = "center",
        scales: Sequence[int] = (),
        hflip: bool | None = None,
        options: DataOptions | None = None,
    ) -> "Evaluation | MultiLabelEvaluation":
        """Tests the model on the run's dataset or another one with the same classes.

        Args:
            dataset: by default the run's; its test split, or validation where it has none.
            views: of each image: "center", "ten_crop" or "multi_scale" (section 3.4).
            scales: for "multi_scale", shorter sides in pixels; by default the paper's, in proportion.
            hflip: whether "ten_crop" and "multi_scale" test mirror images as well; by default as in training.
            options: how the dataset is loaded.

        Raises:
            UserError: dataset, views and model do not fit each other; an image cannot be decoded.
        """
        require_tensorflow_backend()
        if self.record.multi_label:
            check_views(views)
        from keras_resnet.evaluation.evaluator import evaluate

        found = self.dataset if dataset is None and options is None else self.load_dataset(dataset, options)
        predictor = self.predictor("model.keras")
        decode_errors = (options or data_options(self.config)).decode_errors()
        if self.record.multi_label:
            from keras_resnet.evaluation.multi_label_evaluator import evaluate_multi_label

            return evaluate_multi_label(predictor, found.reported_split, decode_errors)
        results = evaluate(
            {self.path.name: predictor},
            found.reported_split,
            views=views,
            scales=scales,
            hflip=found.hflip if hflip is None else hflip,
            decode_errors=decode_errors,
        )
        return results[self.path.name]

    def export(
        self,
        *kinds: str,
        dataset: "str | os.PathLike | Dataset | None" = None,
        calibration: "np.ndarray | Dataset | None" = None,
        max_accuracy_drop: float | None = None,
        on_decode_error: str = "error",
        litertjs: str | os.PathLike = ".",
        options: DataOptions | None = None,
    ) -> "Report":
        """Exports the model, compares each file with it, and rewrites the card.

        Args:
            kinds: "saved_model", "tflite-float32", "tflite-float16", "tflite-dynamic", "tflite-int8" (the
                prefix may be left out) or "web".
            dataset: to calibrate and compare on; by default the run's.
            calibration: for int8, images (N, H, W, C) uint8 as the model takes them, or a dataset whose
                training images are used; by default the run's training images.
            max_accuracy_drop: percentage points that a file may lose against the model; a worse one is
                not put in place, and is in the report's `rejected`, with the reason.
            on_decode_error: what the SavedModel does with an image that cannot be decoded: "error" or "nan".
            litertjs: for "web", the folder in which npm installed @litertjs/core.
            options: how the dataset is loaded.

        Raises:
            UserError: a kind is unknown, the dataset does not fit the run, or another process writes to it.
        """
        require_tensorflow_backend()
        from keras_resnet.export.config import ExportConfig
        from keras_resnet.runs.export_run import export_run

        config = ExportConfig.from_kinds(
            kinds,
            parameter="kinds",
            litertjs=litertjs,
            max_accuracy_drop=max_accuracy_drop,
            on_decode_error=on_decode_error,
        )
        config.check()
        found = self.dataset if dataset is None and options is None else self.load_dataset(dataset, options)
        pipeline = self.pipeline(found, options)
        with lock_folder(self.path), pipeline.decode_errors.translate():
            report = export_run(self.path, self.record, self.model, pipeline, config, calibration=calibration)
        self.__dict__["report"] = report
        return report

    def predictor(self, prefer: str = "model.tflite") -> "Predictor":
        """One of the run's files, opened: by default the TFLite file, which needs no TensorFlow."""
        from keras_resnet.inference.predictor import load_predictor

        return load_predictor(self.path, prefer)

    def predict(
        self, images: "str | os.PathLike | np.ndarray | Sequence", top: int | None = None
    ) -> "list[tuple[str, float]] | list[list[tuple[str, float]]]":
        """The most probable classes of one image, or of each of several.

        Args:
            images: a path, a list of paths, or pixels 0 to 255: (H, W, C) or (N, H, W, C).
            top: number of classes; by default 5, or for several labels an image those that reach their
                threshold.

        Returns:
            (class, probability) of each class, the most probable first; a list of such lists for several
            images.

        Raises:
            UserError: an image cannot be read.
        """
        single = isinstance(images, str | bytes | os.PathLike) or getattr(images, "ndim", 4) == 3
        if top is None and self.record.multi_label:
            answers = self._predictor.labels(images)
        else:
            answers = self._predictor.top(images, 5 if top is None else top)
        return answers[0] if single else answers

    @functools.cached_property
    def _predictor(self) -> "Predictor":
        return self.predictor()

    def explain(
        self,
        image: str | os.PathLike,
        *,
        output: str | os.PathLike | None = None,
        class_name: str | None = None,
        layer: str | None = None,
    ) -> "Explanation":
        """Draws which parts of an image speak for a class (Grad-CAM, Selvaraju et al. 2017).

        Args:
            image: path of an image.
            output: PNG file to write; by default explained-IMAGE.png in the working folder.
            class_name: by default the most probable class.
            layer: whose feature map is looked at; by default the last before the global pool.

        Raises:
            UserError: there is no such image, class or layer.
        """
        from keras_resnet.runs.explain import explain

        return explain(self.path, image, output=output, class_name=class_name, layer=layer)

    def recompute_batch_norm(
        self, num_images: int = 1000, *, run_name: str | None = None, options: DataOptions | None = None
    ) -> "Run":
        """A new run with the same weights and exact batch-norm statistics ("precise BN").

        Args:
            num_images: training images used to estimate the statistics.
            run_name: of the new run, in the same folder as this one; by default RUN-precise_bn.
            options: how the dataset is loaded.

        Raises:
            UserError: there are fewer images, or the folder holds something else.
        """
        from keras_resnet.runs.batch_norm import recompute_batch_norm

        return recompute_batch_norm(self, num_images, run_name=run_name, options=options)

    def write_card(self) -> pathlib.Path:
        """Writes the card, README.md, again from what the run's files say; returns its path.

        Raises:
            UserError: the run has no report of its exported files; export one first.
        """
        from keras_resnet.models.complexity import complexity
        from keras_resnet.runs.card import write_card
        from keras_resnet.runs.card_info import card_info

        if self.report is None:
            raise UserError(f"has no {REPORT}; export a file first.", value=self.path)
        write_card(card_info(self.record), self.report, complexity(self.model), self.path)
        return self.path / CARD


def find_run(path: str | os.PathLike) -> pathlib.Path | None:
    """The folder of the run that a path belongs to: the folder itself, or that of a file or SavedModel."""
    for folder in (pathlib.Path(path), pathlib.Path(path).resolve().parent):
        if (folder / RECORD).is_file():
            return folder
    return None
