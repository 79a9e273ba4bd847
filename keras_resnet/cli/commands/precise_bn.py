"""`keras-resnet precise_bn`: flags -> Run.recompute_batch_norm -> print."""

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define, define_flag
from keras_resnet.runs.data_options import DataOptions
from keras_resnet.runs.options import Option, check_value
from keras_resnet.runs.run import Run

ARGUMENT = "RUN"
FLAGS = flags.FlagValues()
_GROUP = "Statistics"
_NUM_IMAGES = Option(
    "Number of training images used to estimate the batch-norm statistics.", "int", minimum=1, group=_GROUP
)
define_flag(FLAGS, "num_images", _NUM_IMAGES, 1000)
define_flag(
    FLAGS,
    "run_name",
    Option("Name of the new run, in the same folder as the old one. Default: RUN-precise_bn.", group=_GROUP),
)
define(FLAGS, DataOptions)


def run(run_folder: str) -> None:
    """Recomputes the statistics and prints the report of the new run."""
    num_images = check_value(
        "num_images", 1000 if FLAGS.num_images is None else FLAGS.num_images, _NUM_IMAGES
    )
    options = config_from_flags(FLAGS, DataOptions)
    made = Run.open(run_folder).recompute_batch_norm(
        num_images, run_name=FLAGS.run_name, options=None if options == DataOptions() else options
    )
    from keras_resnet.cli.printing import print_report

    if made.report is not None:
        print_report(made.report, made.path)
