"""Converts weights of any supported format to a Keras 3 file."""

import dataclasses
import os
import pathlib

from keras_resnet._utils.atomic import atomic_write, check_writable
from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.infer import infer_architecture, read_normalization
from keras_resnet.weights import registry
from keras_resnet.weights.read import check_file, open_weights

PLAIN_PIXELS, NORMALIZED_PIXELS = "plain pixels", "normalized pixels"
_SUFFIXES = (".weights.h5", ".keras")


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What `convert` has written.

    Args:
        path: of the file.
        architecture: of its model.
        classes: None for a model without a head.
        channels: of its input.
        takes: "plain pixels" (0..255; the model normalizes them itself) or "normalized pixels".
    """

    path: pathlib.Path
    architecture: Architecture
    classes: int | None
    channels: int
    takes: str


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    depth: int | None = None,
    variant: str | None = None,
    plain: bool | None = None,
    architecture: str | None = None,
) -> Conversion:
    """Writes weights of any supported format to a Keras 3 file; nothing in the source is executed.

    Args:
        source: name of public weights, or path of a `.pth`, `.safetensors`, `.h5`, `.weights.h5` or `.keras`
            file.
        target: path that ends in `.weights.h5` (weights alone) or `.keras` (a model, which normalizes plain
            pixels itself if the source says how).
        depth: for public weights: that of the network, a ResNet.
        architecture: for public weights of other networks: its name, in place of a depth.
        variant: for files that do not say where a bottleneck has its stride: "v1" or "v1.5".
        plain: for files that do not say whether the network has shortcuts.

    Raises:
        UserError: the source cannot be read or contradicts an argument, an argument is missing or not
            applicable, or the target cannot be written.
    """
    source, target = os.fspath(source), pathlib.Path(target)
    if not target.name.endswith(_SUFFIXES):
        raise UserError("must end in .weights.h5 (weights alone) or .keras (a model).", value=target)
    network = depth if architecture is None else architecture
    entry = _public_weights(source, network, variant, plain)
    if entry is None:
        check_file(source)
        if target.resolve() == pathlib.Path(source).resolve():
            raise UserError("is the source itself; write to another file.", value=target)
    if target.is_dir():
        raise UserError("is a folder; give the name of a file.", value=target)
    check_writable(target.parent, "target")
    path = pathlib.Path(source) if entry is None else entry.fetch()

    # Keras takes seconds to import, and none of the mistakes above should wait for it.
    from keras_resnet.models.classifier import build_classifier, check_data_format
    from keras_resnet.models.pretrained import load_weights
    from keras_resnet.models.resnet import ResNet

    check_data_format()
    with open_weights(path) as named:
        found, channels, classes = infer_architecture(named, source, variant=variant, plain=plain)
        _check_consistent(found, source, variant, plain)
        normalization = read_normalization(named, channels, source)
        size = entry.eval.crop_size if entry else named.size or found.default_size
    takes = NORMALIZED_PIXELS
    if target.suffix == ".keras" and classes and normalization is not None:
        takes = PLAIN_PIXELS
        model = build_classifier(found, (size, size, channels), classes, normalization)
    elif classes:
        model = ResNet(found, input_shape=(size, size, channels), classes=classes)
    else:
        model = ResNet(found, include_top=False, input_shape=(None, None, channels))
    load_weights(model, path, found)
    with atomic_write(target) as temporary:
        (model.save if target.suffix == ".keras" else model.save_weights)(temporary)
    return Conversion(target, found, classes, channels, takes)


def _public_weights(
    source: str, network: int | str | None, variant: str | None, plain: bool | None
) -> registry.PublicWeights | None:
    """Returns the public weights of that name, or None for a file.

    Raises:
        UserError: the source is neither, or an argument is missing or not applicable.
    """
    if registry.is_name(source):
        if network is None:
            raise UserError(
                f"required, since {source} has weights of several networks; or give architecture.",
                parameter="depth",
            )
        for parameter, value in (("variant", variant), ("plain", plain)):
            if value is not None:
                raise UserError(
                    f"is for files that do not say it themselves; leave it out for {source}.",
                    parameter=parameter,
                    value=value,
                )
        return registry.get_weights(source, network)
    if not pathlib.Path(source).is_file():
        names = ", ".join((registry.IMAGENET, *registry.NAMES))
        raise UserError(f"is neither a file nor one of the public weights: {names}.", value=source)
    if network is not None:
        raise UserError(
            f"is for public weights; leave it out, for {source} is a file and says it itself.",
            parameter="depth" if isinstance(network, int) else "architecture",
            value=network,
        )
    return None


def _check_consistent(
    architecture: Architecture, source: str, variant: str | None, plain: bool | None
) -> None:
    """Refuses arguments that contradict what the file says."""
    is_plain = architecture.shortcut is None
    contradicted: tuple[str, object] | None = None
    if variant not in (None, architecture.variant) and architecture.block == "bottleneck":
        contradicted = "variant", variant
    elif plain not in (None, is_plain):
        contradicted = "plain", plain
    if contradicted:
        parameter, value = contradicted
        raise UserError(
            f"contradicts {source}, which holds {architecture.name}, shortcut "
            f"{architecture.shortcut or 'none'}, {architecture.variant}; leave it out.",
            parameter=parameter,
            value=value,
        )
