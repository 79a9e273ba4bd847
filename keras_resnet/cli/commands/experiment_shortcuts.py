"""`keras-resnet experiment shortcuts`: flags -> shortcuts.run -> print."""

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define
from keras_resnet.experiments.shortcuts import ShortcutsConfig
from keras_resnet.experiments.shortcuts import run as run_experiment

FLAGS = flags.FlagValues()
define(FLAGS, ShortcutsConfig)


def run() -> None:
    """Trains, measures, prints and writes."""
    found = run_experiment(config_from_flags(FLAGS, ShortcutsConfig))
    print(f"\n{found.table}\n\n{found.verdict}\n\n{found.folder}/: README.md, shortcuts.png, results.json.")
