"""`keras-resnet precise_bn`: a finished run again, with exact statistics of BN."""

import pathlib
import shutil
from typing import Any

from absl import flags

from keras_resnet.commands import bn_statistics, data_flags, exported, run_images
from keras_resnet.errors import UserError
from keras_resnet.export.exports import FILES, Exports, remove_exports
from keras_resnet.files import atomic, sha256
from keras_resnet.training.run_folder import MODEL, RunFolder, finished_record
from keras_resnet.training.runtime import prepare as prepare_runtime

ARGUMENT = "RUN"
FLAGS = flags.FlagValues()
_STATISTICS: dict[str, Any] = {"flag_values": FLAGS, "module_name": "The statistics"}
flags.DEFINE_integer("images", 1000, "Training images to take them over.", lower_bound=1, **_STATISTICS)
flags.DEFINE_string(
    "run_name", None, "Folder, beside the run's, of the new run; by default RUN-precise_bn.", **_STATISTICS
)
data_flags.define(FLAGS)

_COPIED = ("labels.txt", "history.csv", "curves.png")


def run(run_folder: str) -> None:
    """Make a new run of the old one: the same weights, other statistics, the same kinds of files."""
    folder = pathlib.Path(run_folder).resolve()
    record = finished_record(folder, run_folder)
    missing = [name for name in _COPIED if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{run_folder} lacks {missing[0]}, which a finished run has; train it again.")
    source = run_images.source(FLAGS, record)
    bn_statistics.check(FLAGS.images, source, "images")
    made = RunFolder(
        folder.parent,
        FLAGS.run_name or f"{folder.name}-precise_bn",
        {**record.settings, "precise_bn": FLAGS.images, "precise_bn_of": sha256(folder / MODEL)[:12]},
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

    prepare_runtime()
    from keras_resnet.evaluation.opened import load_keras
    from keras_resnet.export.run import export_run

    images = run_images.pipeline(FLAGS, record, source)
    model = load_keras(folder / MODEL)
    before = record.results["test_error"]
    after = bn_statistics.recompute(model, images, FLAGS.images)
    print(f"Test error {100 * before:.2f}% with moving averages, {100 * after:.2f}% with precise statistics.")
    made.start()
    remove_exports(made.path)
    with atomic(made / MODEL) as written:
        model.save(written)
    for name in _COPIED:
        with atomic(made / name) as written:
            shutil.copy(folder / name, written)
    results = {**record.results, "accuracy": 1 - after, "test_error": after}
    kinds = tuple(kind for kind, name in FILES.items() if (folder / name).exists())
    with images.bad_images.told():
        report = export_run(made.path, made.record(results), model, images, Exports(kinds))
    made.finish(results)
    exported.tell(report, made.path)
