"""The images of a finished run, for the commands that go on with it."""

from typing import TYPE_CHECKING

from absl import flags

from keras_resnet.commands import data_flags
from keras_resnet.data.source import Source
from keras_resnet.data.view import View
from keras_resnet.errors import UserError
from keras_resnet.training.run_folder import Record

if TYPE_CHECKING:
    from keras_resnet.data.pipeline import Pipeline


def source(values: flags.FlagValues, record: Record, dataset: str | None = None) -> Source:
    """The run's images, or those of another dataset, which have to be alike.

    Raises:
        UserError: they have other classes or channels.
    """
    recorded = record.about["data"]
    name = dataset or recorded["dataset"]
    if name == recorded["dataset"]:
        data_flags.restore(values, recorded)
    found = data_flags.source(values, name)
    data_flags.check_classes(name, found, record.settings["classes"], "the run")
    channels = record.about["preprocessing"]["channels"]
    if found.channels != channels:
        raise UserError(
            f"--dataset={name} has images of {found.channels} channels, and the run was trained on "
            f"{channels}; give images of as many."
        )
    return found


def pipeline(values: flags.FlagValues, record: Record, images: Source) -> "Pipeline":
    """The images as the run's tests see them; imports TensorFlow."""
    from keras_resnet.data.bad_images import BadImages
    from keras_resnet.data.pipeline import Pipeline

    seen = record.about["preprocessing"]
    view = View(seen["size"], seen["whole"], mirrored=False)
    bad_images = BadImages(values.bad_images, values.max_bad_images)
    return Pipeline(images, view, bad_images, record.settings["seed"])
