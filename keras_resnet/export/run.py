"""All files of a finished run that others use, checked before they take their places."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import keras

from keras_resnet.data.pipeline import Pipeline
from keras_resnet.errors import UserError
from keras_resnet.evaluation.figures import draw_confusion
from keras_resnet.export.card import write_card
from keras_resnet.export.exports import FILES, WEB, Exports
from keras_resnet.export.lite import tflite
from keras_resnet.export.report import Report, compare
from keras_resnet.export.serving import saved_model
from keras_resnet.export.web import web_page
from keras_resnet.files import put_in_place
from keras_resnet.models.complexity import complexity
from keras_resnet.training.run_folder import Record

_CALIBRATION_IMAGES = 300
_BATCH = 100
# Enough images to tell a point of accuracy from chance, and no more than take minutes on an interpreter.
_FEWEST_COMPARED, _MOST_COMPARED, _MACS_COMPARED = 1_000, 10_000, 1_000_000_000_000


def export_run(
    folder: pathlib.Path,
    record: Record,
    model: keras.Model,
    images: Pipeline,
    exports: Exports,
    tell: Callable[[str], None] = print,
) -> Report:
    """Write the files, compare them with the model, and only then put them in their places; write the card.

    A file that is worse than allowed is not put there, and one of its name that was there goes.

    Files that an earlier export left are compared again, so that the card tells of all that are there.

    Args:
        folder: of the run.
        model: in float32, as it was trained.
        images: to calibrate on (training) and to compare on (tests).
        tell: takes a line of progress.

    Raises:
        UserError: a file is worse than the model by more than was allowed, the others are in their places;
            or a file that was there is not this model's, and nothing is changed.
    """
    folder = folder.resolve()
    names = images.source.class_names
    options: dict[str, Any] = {"class_names": names, "whole": images.view.whole}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".exporting-") as staging:
        written = {}
        for kind in exports.kinds:
            tell(f"Writing {FILES[kind]}.")
            written[kind] = pathlib.Path(staging, FILES[kind])
            if kind == "saved_model":
                saved_model(model, written[kind], undecodable=exports.undecodable, **options)
                continue
            calibration = None
            if kind == "int8":
                drawn = images.drawn_batches(images.source.train, _CALIBRATION_IMAGES, _BATCH)
                # Read before the converter is at work: it would take a bad image for an error of its own.
                calibration = [batch.numpy() for batch, _ in drawn]
            tflite(model, written[kind], kind=kind, calibration=calibration, **options)
        if exports.litertjs is not None:
            tell("Writing the web page.")
            web_page(written["float32"], pathlib.Path(staging, WEB), exports.litertjs, title=folder.name)
        left = {
            kind: folder / name
            for kind, name in FILES.items()
            if kind not in written and (folder / name).exists()
        }
        counted = complexity(model)
        most = min(_MOST_COMPARED, max(_FEWEST_COMPARED, _MACS_COMPARED // counted.macs))
        count = min(most, images.source.test.size)
        tell(f"Comparing the files with the model on {count:,} test images.")
        drawn = images.drawn_batches(images.source.test, count, _BATCH)
        present = {**written, **left}
        files = {kind: present[kind] for kind in FILES if kind in present}
        data = f"{images.source.name}, split {images.source.test.name}"
        report = compare(model, files, drawn.as_numpy_iterator(), count, data, tell)
        worse = [] if exports.max_accuracy_drop is None else report.worse(exports.max_accuracy_drop)
        worse = [file for file in worse if file.file in {path.name for path in written.values()}]
        made = {path.name for path in written.values()} | ({WEB} if exports.litertjs is not None else set())
        withheld = {file.file for file in worse}
        if FILES["float32"] in withheld:
            withheld.add(WEB)  # which holds it
        for name in made - withheld:
            put_in_place(pathlib.Path(staging, name), folder / name)
        for name in withheld:
            if (folder / name).exists():
                os.replace(folder / name, pathlib.Path(staging, f"worse-{name}"))
    report = dataclasses.replace(report, files=tuple(file for file in report.files if file not in worse))
    report.write(folder / "report.json")
    draw_confusion(report.confusion, names, folder / "confusion.png", f"{report.images:,} test images")
    write_card(record, report, counted, folder)
    if worse:
        told = "; ".join(
            f"{file.file} has {100 * file.accuracy:.2f}% accuracy on {report.images:,} images, where the "
            f"model has {100 * report.accuracy:.2f}%"
            for file in worse
        )
        raise UserError(
            f"--max_accuracy_drop={exports.max_accuracy_drop:g}: {told}; what is worse was left out, and the "
            f"others are in {folder}."
        )
    return report
