"""A dataset at a glance before a run is spent on it: classes, sizes, speed, and augmented samples."""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any

from keras_resnet.data.dataset import Dataset
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.models.architectures import Architecture
from keras_resnet.runs.architecture import ArchitectureOptions
from keras_resnet.runs.data_options import DataOptions, InputOptions, dataset_label
from keras_resnet.runs.options import make_config, option
from keras_resnet.runs.own_images import choose_depth

if TYPE_CHECKING:
    from keras_resnet.data.tools.statistics import DatasetStatistics

_GROUP = "Samples"


@dataclasses.dataclass(frozen=True)
class InspectDataConfig(InputOptions, DataOptions, ArchitectureOptions):
    """How the images of a dataset are loaded and augmented."""

    seed: int = option(0, "Seed for the random samples.", "int", minimum=0, group=_GROUP)
    output: str | os.PathLike | None = option(
        None, "PNG file of the samples. Default: DATASET-samples.png in the working folder.", group=_GROUP
    )


@dataclasses.dataclass(frozen=True)
class DataSummary:
    """What inspecting a dataset found.

    Args:
        dataset: that was inspected.
        architecture: for which the samples were made.
        spec: what its model takes.
        statistics: of the training images.
        images_per_second: that the training pipeline makes.
        output: the sheet of samples.
    """

    dataset: Dataset
    architecture: Architecture
    spec: InputSpec
    statistics: "DatasetStatistics"
    images_per_second: float
    output: pathlib.Path


def inspect_data(
    dataset: str | os.PathLike | Dataset, config: InspectDataConfig | None = None, **fields: Any
) -> DataSummary:
    """Counts a dataset's classes and sizes, measures its pipeline, and draws augmented samples.

    Args:
        config, fields: of `InspectDataConfig`.

    Raises:
        UserError: there is no such dataset, or its images do not fit the architecture.
    """
    config = make_config(InspectDataConfig, config, fields)
    found = config.load(dataset, require_disjoint=True)
    architecture = config.resolve(choose_depth(config, found, config.image_size))
    transform = config.choose(found, architecture)
    output = pathlib.Path(config.output or f"{dataset_label(dataset)}-samples.png")

    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.data.tools.contact_sheet import contact_sheet
    from keras_resnet.data.tools.statistics import dataset_statistics, images_per_second, samples

    statistics = dataset_statistics(found.train)
    pipeline = Pipeline(found, transform, config.decode_errors(), config.seed)
    mean = pipeline.mean(per_pixel=transform.spec.crop_mode == "squash")
    contact_sheet(*samples(pipeline, mean), output)
    speed = images_per_second(pipeline, mean)
    return DataSummary(found, architecture, transform.spec, statistics, speed, output)
