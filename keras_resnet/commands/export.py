"""`keras-resnet export`: the files of a finished run, in other formats than `train` left."""

import pathlib

from absl import flags

from keras_resnet.commands import data_flags, export_flags, exported
from keras_resnet.errors import UserError
from keras_resnet.training.run_folder import read_record

SUMMARY = "export a finished run as SavedModel, TFLite files and web page, and compare them with the model."
ARGUMENT = "RUN"
FLAGS = flags.FlagValues()
_FILES = {"flag_values": FLAGS, "module_name": export_flags.GROUP}
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
    exports = export_flags.exports(FLAGS, asked)
    record = read_record(folder)
    if record is None or record.results is None or not (folder / "model.keras").is_file():
        raise UserError(f"{run_folder} is not the folder of a finished run, with run.json and model.keras.")
    data_flags.restore(FLAGS, record.about["data"])
    source = data_flags.source(FLAGS, FLAGS.dataset or record.about["data"]["dataset"])
    if list(source.class_names) != record.settings["classes"]:
        raise UserError(
            f"--dataset={source.name} has the classes {', '.join(source.class_names[:5])}, ...; the run was "
            f"trained on {', '.join(record.settings['classes'][:5])}, ..."
        )
    view = data_flags.view(FLAGS, source, record.architecture)

    from keras_resnet.data.bad_images import BadImages
    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.export.run import export_run
    from keras_resnet.models.saving import load_model

    images = Pipeline(
        source, view, BadImages(FLAGS.bad_images, FLAGS.max_bad_images), record.settings["seed"]
    )
    with images.bad_images.told():
        report = export_run(folder, record, load_model(folder / "model.keras"), images, exports)
    exported.tell(report, folder)
