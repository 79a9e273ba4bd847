"""Exports the files of a finished run, and compares them with its model before they take their places."""

import dataclasses
import logging
import os
import pathlib
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_resnet._utils.atomic import replace_atomically
from keras_resnet.data.dataset import Dataset
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.errors import UserError, first_line
from keras_resnet.evaluation.figures import draw_confusion
from keras_resnet.export.calibration import calibration_batches
from keras_resnet.export.compare import RejectedFile, Report, compare
from keras_resnet.export.config import FILES, SAVED_MODEL, TFLITE, WEB, ExportConfig, tflite_kind
from keras_resnet.export.serving import export_saved_model
from keras_resnet.export.tflite import export_tflite
from keras_resnet.export.web import web_page
from keras_resnet.inference.thresholds import THRESHOLDS, read_thresholds
from keras_resnet.models.complexity import complexity
from keras_resnet.runs.card import write_card
from keras_resnet.runs.card_info import card_info
from keras_resnet.runs.data_options import dataset_title
from keras_resnet.runs.record import RunRecord

_CALIBRATION_IMAGES = 300
_BATCH = 100
# Enough images to tell a point of accuracy from chance, and no more than take minutes in an interpreter.
_MIN_COMPARED, _MAX_COMPARED, _MAX_MACS = 1_000, 10_000, 1_000_000_000_000

_LOG = logging.getLogger(__name__)


def export_run(
    folder: pathlib.Path,
    record: RunRecord,
    model: keras.Model,
    pipeline: Pipeline,
    config: ExportConfig,
    calibration: "ArrayLike | Iterable[ArrayLike] | Dataset | None" = None,
) -> Report:
    """Writes the files, compares them with the model, puts them in place, and writes the run's card.

    A file that loses more than `config.max_accuracy_drop` is not put in place, and an older one of its name
    is removed; it is among the report's `rejected`. Files of earlier exports are compared again, so that the
    card describes all that are there. Images to compare on are those of the validation split.

    Args:
        folder: of the run.
        record: of the run, with its results, for the card.
        model: in float32, as it was trained.
        pipeline: images as the model takes them.
        calibration: for int8: images as the model takes them, (N, H, W, C) with pixels 0..255, or a dataset
            whose training images are used; by default the training images of `pipeline`.

    Raises:
        UserError: a file that was there is not this model's, the web page's runtime is missing, or the
            calibration images do not fit; nothing is changed then.
    """
    config.check()
    folder = folder.resolve()
    names = pipeline.dataset.class_names
    thresholds = _thresholds(folder, len(names)) if record.multi_label else None
    with tempfile.TemporaryDirectory(dir=folder, prefix=".exporting-") as staging:
        written = _write_files(
            pathlib.Path(staging), folder.name, model, pipeline, config, calibration, thresholds or ()
        )
        older = {
            kind: folder / name
            for kind, name in FILES.items()
            if kind not in (*written, WEB) and (folder / name).exists()
        }
        model_complexity = complexity(model)
        validation = pipeline.dataset.validation
        most = min(_MAX_COMPARED, max(_MIN_COMPARED, _MAX_MACS // model_complexity.macs))
        count = min(most, validation.size)
        _LOG.info(f"Comparing the files with the model on {count:,} validation images.")
        batches = pipeline.sample_batches(validation, count, _BATCH).as_numpy_iterator()
        present = {**written, **older}
        compared = {kind: present[kind] for kind in FILES if kind in present and kind != WEB}
        data = f"{dataset_title(pipeline.dataset.name)}, split {validation.name}"
        report = compare(model, compared, batches, count, data, thresholds)
        has_page = WEB in written or (folder / FILES[WEB]).exists()
        rejected = _rejected(report, config, written, has_page)
        names_rejected = {file.file for file in rejected}
        if FILES[TFLITE] in names_rejected:
            names_rejected.add(FILES[WEB])
        _put_in_place(written, names_rejected, folder, pathlib.Path(staging))
    files = tuple(file for file in report.files if file.file not in names_rejected)
    report = dataclasses.replace(report, files=files, rejected=rejected)
    for file in rejected:
        _LOG.warning(f"{file.file} was rejected: {file.reason}")
    report.write(folder / "report.json")
    if report.confusion is not None:  # of one class an image
        title = f"{report.images:,} validation images"
        draw_confusion(report.confusion, names, folder / "confusion.png", title)
    write_card(card_info(record), report, model_complexity, folder)
    return report


def _thresholds(folder: pathlib.Path, classes: int) -> tuple[float, ...]:
    """Returns the thresholds that the end of the training chose for a run of several labels an image."""
    path = folder / THRESHOLDS
    try:
        return read_thresholds(path.read_bytes(), classes)
    except (OSError, UserError) as error:
        raise UserError(f"cannot be read ({first_line(error)}); train again.", value=path) from error


def _write_files(
    staging: pathlib.Path,
    run_name: str,
    model: keras.Model,
    pipeline: Pipeline,
    config: ExportConfig,
    calibration: "ArrayLike | Iterable[ArrayLike] | Dataset | None",
    thresholds: tuple[float, ...],
) -> dict[str, pathlib.Path]:
    """Writes the requested kinds into a folder; returns their paths by kind."""
    if calibration is not None and "tflite-int8" not in config.kinds:
        raise UserError("is for kind tflite-int8, which is not exported.", parameter="calibration")
    names, spec = pipeline.dataset.class_names, pipeline.transform.spec
    written = {}
    for kind in config.kinds:
        _LOG.info(f"Writing {FILES[kind]}.")
        path = written[kind] = staging / FILES[kind]
        if kind == SAVED_MODEL:
            export_saved_model(
                model,
                path,
                class_names=names,
                spec=spec,
                on_decode_error=config.on_decode_error,
                thresholds=thresholds,
            )
        elif kind == WEB:
            web_page(written[TFLITE], path, config.litertjs, title=run_name)
        else:
            precision = tflite_kind(kind)
            batches = _calibration_batches(pipeline, calibration) if precision == "int8" else None
            export_tflite(
                model,
                path,
                kind=precision,
                class_names=names,
                spec=spec,
                calibration=batches,
                thresholds=thresholds,
            )
    return written


def _calibration_batches(
    pipeline: Pipeline, calibration: "ArrayLike | Iterable[ArrayLike] | Dataset | None"
) -> Sequence[np.ndarray]:
    # All read before the converter runs, which would take an unreadable image for an error of its own.
    if calibration is not None and not isinstance(calibration, Dataset):
        return list(calibration_batches(calibration, pipeline.transform.spec))
    if calibration is not None:
        pipeline = dataclasses.replace(pipeline, dataset=calibration)
    batches = pipeline.sample_batches(pipeline.dataset.train, _CALIBRATION_IMAGES, _BATCH)
    return [images.numpy() for images, _ in batches]


def _rejected(
    report: Report, config: ExportConfig, written: Mapping[str, pathlib.Path], has_page: bool
) -> tuple[RejectedFile, ...]:
    """Returns the written files that lose too much accuracy."""
    if config.max_accuracy_drop is None:
        return ()
    kinds = {FILES[kind]: kind for kind in written}
    rejected = []
    for file in report.below(config.max_accuracy_drop):
        if file.file in kinds:
            reason = (
                f"it has {100 * file.accuracy:.2f}% accuracy on {report.images:,} images, where the model "
                f"has {100 * report.accuracy:.2f}%, and max_accuracy_drop is {config.max_accuracy_drop:g} "
                "points."
            )
            if kinds[file.file] == TFLITE and has_page:
                reason += " The web page, which runs it, was left out as well."
            rejected.append(RejectedFile(file.file, kinds[file.file], file.accuracy, reason))
    return tuple(rejected)


def _put_in_place(
    written: Mapping[str, pathlib.Path],
    rejected: Collection[str],
    folder: pathlib.Path,
    staging: pathlib.Path,
) -> None:
    """Moves the files into the run's folder; older ones of rejected names go with the staging folder."""
    for path in written.values():
        if path.name not in rejected:
            replace_atomically(path, folder / path.name)
    for name in rejected:
        if (folder / name).exists():
            os.replace(folder / name, staging / f"rejected-{name}")
