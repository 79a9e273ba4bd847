"""`keras-resnet convert`: weights in any format that is read, as a file of Keras 3."""

import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from keras_resnet.commands import net_flags
from keras_resnet.errors import UserError
from keras_resnet.files import atomic, check_writable
from keras_resnet.models.architectures import VARIANTS

if TYPE_CHECKING:
    from keras_resnet.weights.registry import PublicWeights

ARGUMENT = "IN OUT"
FLAGS = flags.FlagValues()
_INPUT: dict[str, Any] = {"flag_values": FLAGS, "module_name": "What comes in"}
flags.DEFINE_integer(
    "depth",
    None,
    "Of the net, where IN is a name of public weights (keras-resnet weights lists them).",
    **_INPUT,
)
flags.DEFINE_enum(
    "variant",
    None,
    list(VARIANTS),
    "Stride of a bottleneck on the first 1x1 (v1) or on the 3x3 (v1.5), where the file does not tell.",
    **_INPUT,
)
flags.DEFINE_boolean(
    "plain", None, "The net has no shortcuts (--noplain: has some), where the file does not tell.", **_INPUT
)

_SUFFIXES = (".weights.h5", ".keras")


def run(source: str, target: str) -> None:
    """Read, check and write."""
    from keras_resnet.weights.read import check_file, open_weights

    if not target.endswith(_SUFFIXES):
        raise UserError(f"{target} must end in .weights.h5 (weights alone) or .keras (a model).")
    entry = _public(source)
    if entry is None:
        check_file(source)
        if pathlib.Path(target).resolve() == pathlib.Path(source).resolve():
            raise UserError(f"{target} is IN itself; give another OUT.")
    if pathlib.Path(target).is_dir():
        raise UserError(f"{target} is a folder; give the name of a file.")
    check_writable(pathlib.Path(target).parent, target)
    path = pathlib.Path(source) if entry is None else entry.fetch()

    from keras_resnet.models.origin import architecture_of
    from keras_resnet.models.pretrained import load_weights
    from keras_resnet.models.resnet import ResNet
    from keras_resnet.training.classifier import build_classifier, check_data_format
    from keras_resnet.training.normalisation import normalisation_of

    check_data_format()
    with open_weights(path) as named:
        net, channels, classes = architecture_of(named, source, variant=FLAGS.variant, plain=FLAGS.plain)
        net_flags.check_told(FLAGS, net, f"{source} tells")
        normalisation = normalisation_of(named, channels, source)
        size = entry.test.size if entry else named.size or net.default_size
    seen = "pixels as the first convolution sees them"
    if target.endswith(".keras") and classes and normalisation is not None:
        seen = "plain pixels, 0..255"
        model = build_classifier(net, size, channels, classes, normalisation)
    elif classes:
        model = ResNet(net, input_shape=(size, size, channels), classes=classes)
    else:
        model = ResNet(net, include_top=False, input_shape=(None, None, channels))
    load_weights(model, path, net)
    with atomic(target) as written:
        (model.save if target.endswith(".keras") else model.save_weights)(written)
    kind = f"shortcut {net.shortcut}, {net.variant}, {f'{classes:,} classes' if classes else 'no head'}"
    print(f"{target}: {net.name}, {kind}, {channels} channels; it takes {seen}.")


def _public(source: str) -> "PublicWeights | None":
    """The public weights of that name, or None for a file.

    Raises:
        UserError: a flag is missing, or of no use; or there is neither.
    """
    from keras_resnet.weights import registry

    if registry.is_name(source):
        if FLAGS.depth is None:
            raise UserError(
                f"--depth is missing: {source} is for several nets, which `keras-resnet weights` lists."
            )
        for flag in ("variant", "plain"):
            value = FLAGS[flag].value
            if value is not None:
                raise UserError(
                    f"--{flag}={value} is for files that do not tell it; leave it out for {source}."
                )
        return registry.find(source, FLAGS.depth)
    if not pathlib.Path(source).is_file():
        names = ", ".join((registry.IMAGENET, *registry.NAMES))
        raise UserError(f"{source} is no file, and none of the names of public weights: {names}.")
    if FLAGS.depth is not None:
        raise UserError(
            f"--depth={FLAGS.depth} is for names of public weights; {source} tells its own: leave it out."
        )
    return None
