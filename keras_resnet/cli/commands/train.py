"""`keras-resnet train`: flags -> TrainConfig -> keras_resnet.train -> print."""

from absl import flags

from keras_resnet._utils.environment import ENGINES, set_backend
from keras_resnet.cli.flags import config_from_flags, define, define_flag
from keras_resnet.runs.config import COMPUTATION, RESUME, RUN, TrainConfig
from keras_resnet.runs.options import Option

FLAGS = flags.FlagValues()
define(FLAGS, TrainConfig)
define_flag(
    FLAGS,
    "resume",
    Option(
        "auto: resume from the run's last checkpoint if there is one; never: start again; must: refuse to "
        "start again.",
        choices=RESUME,
        group=RUN,
    ),
    "auto",
)
define_flag(
    FLAGS,
    "backend",
    Option(
        "What computes the training: tensorflow, or jax for TPUs and for the fastest steps on GPUs. Exported "
        "files are the same. Default: KERAS_BACKEND, or Keras' own setting.",
        choices=ENGINES,
        group=COMPUTATION,
    ),
)
define_flag(
    FLAGS, "dry_run", Option("Print what the run would do and take, and do nothing.", "bool", group=RUN)
)


def run() -> None:
    """Trains, or prints the plan."""
    if FLAGS.backend:
        set_backend(FLAGS.backend)
    config = config_from_flags(FLAGS, TrainConfig)
    if FLAGS.dry_run:
        from keras_resnet.runs.dry_run import dry_run

        print(dry_run(config))
        return
    from keras_resnet.cli.printing import print_report
    from keras_resnet.runs.train import train

    finished = train(config, resume=FLAGS.resume or "auto")
    if finished.was_finished or finished.report is None:
        return
    print_report(finished.report, finished.path)
    if finished.dataset_name == "digits":
        print(f"\nNext: {_next_command(finished.record.architecture.name)}")


def _next_command(architecture: str) -> str:
    if architecture == "cifar_resnet20":
        return "python train.py --depth=50 --shortcut=B"
    return "python train.py --depth=20 --plain, the plain network this one has to beat"
