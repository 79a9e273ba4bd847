"""`keras-resnet convert`: weights in any supported format, written as a file of Keras 3."""

from absl import flags

from keras_resnet._utils.environment import require_installed_backend
from keras_resnet.cli.flags import config_from_flags, define
from keras_resnet.runs.architecture import ArchitectureOptions

ARGUMENT = "IN OUT"
FLAGS = flags.FlagValues()
_FIELDS = ("depth", "architecture", "variant", "plain")
define(FLAGS, ArchitectureOptions, _FIELDS)


def run(source: str, target: str) -> None:
    """Converts a file and prints what was written."""
    require_installed_backend()
    from keras_resnet.weights import convert

    options = config_from_flags(FLAGS, ArchitectureOptions)
    written = convert(source, target, **{name: getattr(options, name) for name in _FIELDS})
    architecture = written.architecture
    classes = "no head" if written.classes is None else f"{written.classes:,} classes"
    print(
        f"{written.path}: {architecture.name}, shortcut {architecture.shortcut}, {architecture.variant}, "
        f"{classes}, {written.channels} channels; its input is {written.takes}."
    )
