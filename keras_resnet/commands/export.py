"""`keras-resnet export`: the files of a finished run, in other formats than `train` left."""

import pathlib
from typing import Any

from absl import flags

from keras_resnet.commands import data_flags, export_flags, exported, run_images
from keras_resnet.errors import UserError
from keras_resnet.training.run_folder import MODEL, finished_record

ARGUMENT = "RUN"
FLAGS = flags.FlagValues()
_FILES: dict[str, Any] = {"flag_values": FLAGS, "module_name": export_flags.GROUP}
flags.DEFINE_list(
    "tflite",
    [],
    "TFLite files to write: float32, float16 (half the size), dynamic, int8 (a quarter).",
    **_FILES,
)
flags.DEFINE_boolean("saved_model", False, "Write the SavedModel.", **_FILES)
flags.DEFINE_boolean("web", False, "Write a folder with a page that runs the net in the browser.", **_FILES)
export_flags.define(FLAGS)
flags.DEFINE_string(
    "dataset",
    None,
    "The images to calibrate on and to compare on; by default the run's.",
    flag_values=FLAGS,
    module_name=data_flags.GROUP,
)
data_flags.define(FLAGS)


def run(run_folder: str) -> None:
    """Export as the flags say."""
    folder = pathlib.Path(run_folder)
    asked = [*FLAGS.tflite, *["saved_model"] * FLAGS.saved_model, *["web"] * FLAGS.web]
    for kind in FLAGS.tflite:
        if kind in ("saved_model", "web"):
            raise UserError(f"--tflite={kind} is no TFLite file; write --{kind}.")
    if not asked:
        raise UserError(
            "nothing to export: give --tflite=float32,float16,dynamic,int8, --saved_model or --web."
        )
    exports = export_flags.exports(FLAGS, asked, "tflite")
    record = finished_record(folder, run_folder)
    source = run_images.source(FLAGS, record, FLAGS.dataset)

    from keras_resnet.evaluation.opened import load_keras
    from keras_resnet.export.run import export_run

    images = run_images.pipeline(FLAGS, record, source)
    model = load_keras(folder / MODEL)
    with images.bad_images.told():
        report = export_run(folder, record, model, images, exports)
    exported.tell(report, folder)
