"""`keras-resnet experiment degradation`: flags -> degradation.run -> print."""

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define
from keras_resnet.experiments.degradation import DegradationConfig
from keras_resnet.experiments.degradation import run as run_experiment

FLAGS = flags.FlagValues()
define(FLAGS, DegradationConfig)


def run() -> None:
    """Trains, prints and writes."""
    found = run_experiment(config_from_flags(FLAGS, DegradationConfig))
    print(f"\n{found.table}\n\n{found.verdict}\n\n{found.folder}/: README.md, degradation.png, results.json.")
