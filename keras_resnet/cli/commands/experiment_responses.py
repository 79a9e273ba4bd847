"""`keras-resnet experiment responses`: flags -> responses.run -> print."""

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define
from keras_resnet.experiments.responses import ResponsesConfig
from keras_resnet.experiments.responses import run as run_experiment

ARGUMENT = "MODEL..."
FLAGS = flags.FlagValues()
define(FLAGS, ResponsesConfig)


def run(*models: str) -> None:
    """Measures, prints and writes."""
    found = run_experiment(models, config_from_flags(FLAGS, ResponsesConfig))
    print(f"\n{found.table}\n\n{found.folder}/: responses.png, responses.csv.")
