"""`keras-resnet precise_bn`, and what of it `train --precise_bn` does."""

import pathlib
import shutil
from typing import TYPE_CHECKING

from absl import flags

from keras_resnet.commands import data_flags, exported
from keras_resnet.data.source import Source
from keras_resnet.data.view import View
from keras_resnet.errors import UserError
from keras_resnet.export.exports import FILES, Exports
from keras_resnet.training.run_folder import MODEL, RunFolder, finished_record
from keras_resnet.training.runtime import prepare as prepare_runtime

if TYPE_CHECKING:
    import keras

    from keras_resnet.data.pipeline import Pipeline

SUMMARY = "take BN's statistics of a finished run anew, over training images instead of moving averages."
ARGUMENT = "RUN"
FLAGS = flags.FlagValues()
_STATISTICS = {"flag_values": FLAGS, "module_name": "The statistics"}
flags.DEFINE_integer("images", 1000, "Training images to take them over.", lower_bound=1, **_STATISTICS)
flags.DEFINE_string(
    "run_name", None, "Folder, beside the run's, of the new run; by default RUN-precise_bn.", **_STATISTICS
)
data_flags.define(FLAGS)

_COPIED = ("labels.txt", "history.csv", "curves.png")
_BATCH = 64
_TEST_BATCH = 256


def run(run_folder: str) -> None:
    """Make a new run of the old one: the same weights, other statistics, the same kinds of files."""
    folder = pathlib.Path(run_folder).resolve()
    record = finished_record(folder, run_folder)
    missing = [name for name in _COPIED if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{run_folder} lacks {missing[0]}, which a finished run has; train it again.")
    recorded = record.about["data"]
    data_flags.restore(FLAGS, recorded)
    source = data_flags.source(FLAGS, recorded["dataset"])
    data_flags.check_classes(recorded["dataset"], source, record.settings["classes"], "the run")
    check(FLAGS.images, source, flag="images")
    made = RunFolder(
        folder.parent,
        FLAGS.run_name or f"{folder.name}-precise_bn",
        {**record.settings, "precise_bn": FLAGS.images},
        {
            **record.about,
            "command": f"{record.about['command']}; keras-resnet precise_bn --images={FLAGS.images}",
        },
    )
    if made.path == folder:
        raise UserError(
            f"--run_name={FLAGS.run_name} is the run itself, which stays as it is; give another name."
        )
    made.check()
    seen = record.about["preprocessing"]
    view = View(seen["size"], seen["whole"], mirrored=False)

    prepare_runtime()
    from keras_resnet.data.bad_images import BadImages
    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.evaluation.opened import load_keras
    from keras_resnet.export.run import export_run
    from keras_resnet.files import atomic

    bad_images = BadImages(FLAGS.bad_images, FLAGS.max_bad_images)
    images = Pipeline(source, view, bad_images, record.settings["seed"])
    model = load_keras(folder / MODEL)
    before = record.results["test_error"]
    after = recompute(model, images, FLAGS.images)
    print(f"Test error {100 * before:.2f}% with moving averages, {100 * after:.2f}% with precise statistics.")
    made.start()
    with atomic(made / MODEL) as written:
        model.save(written)
    for name in _COPIED:
        with atomic(made / name) as written:
            shutil.copy(folder / name, written)
    results = {**record.results, "accuracy": 1 - after, "test_error": after}
    kinds = tuple(kind for kind, name in FILES.items() if (folder / name).exists())
    with bad_images.told():
        report = export_run(made.path, made.record(results), model, images, Exports(kinds))
    made.finish(results)
    exported.tell(report, made.path)


def check(count: int | None, source: Source, *, flag: str = "precise_bn") -> None:
    """Refuse more images than there are.

    Raises:
        UserError: with the flag.
    """
    if count is not None and count > source.train.size:
        raise UserError(
            f"--{flag}={count} is more than the {source.train.size:,} training images of {source.name}."
        )


def recompute(model: "keras.Model", images: "Pipeline", count: int) -> float:
    """Take the statistics over so many training images; returns the test error afterwards, 0..1."""
    from keras_resnet.evaluation.evaluator import error
    from keras_resnet.evaluation.statistics import memory, precise_batch_norm

    needed = memory(model, count) / 2**30
    print(
        f"Taking BN's statistics over {count:,} training images, in {needed:.1f} GiB of memory.", flush=True
    )
    with images.bad_images.told():
        drawn = [
            batch for batch, _ in images.drawn_batches(images.source.train, count, _BATCH).as_numpy_iterator()
        ]
        precise_batch_norm(model, drawn)
        return error(model, images.evaluation_batches(_TEST_BATCH).as_numpy_iterator())
