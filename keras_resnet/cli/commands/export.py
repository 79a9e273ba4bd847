"""`keras-resnet export`: flags -> Run.export -> print."""

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define, define_flag
from keras_resnet.errors import UserError
from keras_resnet.export.config import TFLITE_KINDS
from keras_resnet.runs.config import FILES, TrainConfig
from keras_resnet.runs.data_options import DATA, DataOptions
from keras_resnet.runs.options import Option
from keras_resnet.runs.run import Run

ARGUMENT = "RUN"
FLAGS = flags.FlagValues()
define_flag(
    FLAGS,
    "tflite",
    Option(
        "TFLite files to write: float32, float16 (half the size), dynamic or int8 (a quarter).",
        "strs",
        group=FILES,
    ),
)
define_flag(FLAGS, "saved_model", Option("Write the SavedModel.", "bool", group=FILES))
define_flag(
    FLAGS,
    "web",
    Option("Write a folder with a page that runs the model in the browser.", "bool", group=FILES),
)
define(FLAGS, TrainConfig, ("max_accuracy_drop", "on_decode_error", "litertjs"))
define_flag(
    FLAGS,
    "dataset",
    Option("Images to calibrate and to compare on. Default: the run's.", group=DATA),
)
define(FLAGS, DataOptions)


def run(run_folder: str) -> None:
    """Exports and prints the comparison."""
    for precision in FLAGS.tflite or ():
        if precision not in TFLITE_KINDS:
            raise UserError(
                f"must be among {', '.join(TFLITE_KINDS)}; saved_model=true and web=true write the other "
                "kinds.",
                parameter="tflite",
                value=precision,
            )
    kinds = [f"tflite-{precision}" for precision in FLAGS.tflite or ()]
    kinds += ["saved_model"] * bool(FLAGS.saved_model) + ["web"] * bool(FLAGS.web)
    if not kinds:
        raise UserError(
            "Nothing to export; use tflite=float32,float16,dynamic,int8, saved_model=true or web=true."
        )
    limits = config_from_flags(FLAGS, TrainConfig)
    options = config_from_flags(FLAGS, DataOptions)
    finished = Run.open(run_folder)
    report = finished.export(
        *kinds,
        dataset=FLAGS.dataset,
        max_accuracy_drop=limits.max_accuracy_drop,
        on_decode_error=limits.on_decode_error,
        litertjs=limits.litertjs,
        options=None if options == DataOptions() else options,
    )
    from keras_resnet.cli.printing import print_report

    print_report(report, finished.path)
