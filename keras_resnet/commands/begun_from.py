"""`train --weights`: what a training begins with, instead of random numbers."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from keras_resnet.commands import net_flags
from keras_resnet.data.source import Source
from keras_resnet.errors import UserError
from keras_resnet.evaluation.opened import LABELS, read_labels
from keras_resnet.files import sha256
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.origin import architecture_of, public_weights
from keras_resnet.training.normalisation import normalisation_of
from keras_resnet.training.run_folder import MODEL, finished_record
from keras_resnet.weights import registry
from keras_resnet.weights.pixels import Pixels
from keras_resnet.weights.read import open_weights

if TYPE_CHECKING:
    import keras

# The data set whose classes public weights tell apart.
_IMAGENET = "imagenet2012"


@dataclasses.dataclass(frozen=True)
class Beginning:
    """Weights to begin with.

    Args:
        weights: a public name or the path of a file.
        net: that they are of.
        normalisation: what they want to be done with plain pixels: the mean image to subtract, or public
            weights' preprocessing; None where they do not tell.
        new_head: whether the classifier begins anew; else only for another number of classes.
        identity: what makes a training that begins with them another one than its neighbours.
    """

    weights: str
    net: Architecture
    normalisation: np.ndarray | Pixels | None
    new_head: bool
    identity: str

    @property
    def told(self) -> str | None:
        """The kind of normalisation in words, None where there is none."""
        if self.normalisation is None:
            return None
        if isinstance(self.normalisation, Pixels):
            return "published"
        return "per-pixel" if self.normalisation.ndim == 3 else "per-channel"

    def fill_in(self, model: "keras.Model") -> None:
        """Give a fresh net the weights.

        Raises:
            UserError: they do not fit.
        """
        from keras_resnet.models.pretrained import load_weights

        load_weights(model, self.weights, self.net, new_head=self.new_head)


def read(values: flags.FlagValues, source: Source) -> Beginning | None:
    """What the flags ask to begin with, or None.

    Raises:
        UserError: it cannot be begun with, or the flags name another net.
    """
    given = values.weights
    if given is None:
        return None
    if values.grow_from:
        raise UserError(f"--weights={given} cannot be used with --grow_from; leave one of them out.")
    beginning = _beginning(values, given, source)
    if values["mean"].present and beginning.normalisation is not None:
        raise UserError(
            f"--mean={values.mean} is for new nets, and --weights={given} bring what they subtract; leave "
            "--mean out."
        )
    return beginning


def _beginning(values: flags.FlagValues, given: str, source: Source) -> Beginning:
    if registry.is_name(given):
        return _public(values, given, source)
    if pathlib.Path(given).is_dir():
        record = finished_record(given, f"--weights={given}")
        return _of_file(values, pathlib.Path(given, MODEL), source, record.architecture)
    if not pathlib.Path(given).is_file():
        names = ", ".join((registry.IMAGENET, *registry.NAMES))
        raise UserError(
            f"--weights={given} must be a finished run, a file of weights or a name of public weights "
            f"({names})."
        )
    return _of_file(values, pathlib.Path(given), source)


def _public(values: flags.FlagValues, name: str, source: Source) -> Beginning:
    if not values["depth"].present:
        raise UserError(
            f"--depth is missing: --weights={name} are of several nets, which `keras-resnet weights` lists."
        )
    asked = net_flags.architecture(values)
    entry = public_weights(name, asked)
    net = dataclasses.replace(asked, variant=entry.variant)
    net_flags.check_told(values, net, f"--weights={name} are of")
    new_head = not source.name.startswith(_IMAGENET)
    return Beginning(name, net, entry.pixels, new_head, f"{entry.name} {entry.file.url}")


def _of_file(
    values: flags.FlagValues, path: pathlib.Path, source: Source, net: Architecture | None = None
) -> Beginning:
    with open_weights(path) as named:
        if net is None:
            variant = values.variant if values["variant"].present else None
            asked = values["plain"].present or values["shortcut"].present
            plain = values.plain if asked else None
            net, _, _ = architecture_of(named, str(path), variant=variant, plain=plain)
        normalisation = normalisation_of(named, source.channels, str(path))
        has_head = "predictions/kernel" in named.arrays
    net_flags.check_told(values, net, f"--weights={values.weights} are of")
    same_classes = has_head and _class_names(path) == tuple(source.class_names)
    return Beginning(str(path), net, normalisation, not same_classes, f"{net.name} {sha256(path)[:12]}")


def _class_names(path: pathlib.Path) -> tuple[str, ...] | None:
    """The names in the file of labels beside a model, or None where there is none."""
    labels = path.with_name(LABELS)
    return read_labels(labels.read_text(encoding="utf-8")) if labels.is_file() else None
