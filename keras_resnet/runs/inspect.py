"""`keras-resnet inspect` from Python: an architecture in numbers, compared with what the paper reports."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keras_resnet._utils.environment import require_installed_backend
from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture, PaperResult, paper_result
from keras_resnet.runs.architecture import ArchitectureOptions
from keras_resnet.runs.options import make_config, option

if TYPE_CHECKING:
    from keras_resnet.models.complexity import Complexity

_INPUT = "Input"


@dataclasses.dataclass(frozen=True)
class InspectConfig(ArchitectureOptions):
    """An architecture, its input and its classes."""

    image_size: int | None = option(
        None, "Side of the images in pixels. Default: the architecture's own.", "int", minimum=1, group=_INPUT
    )
    channels: int = option(3, "Number of channels of the images.", "int", minimum=1, group=_INPUT)
    classes: int | None = option(
        None,
        "Number of classes. Default: 1000 for ImageNet architectures, 10 for CIFAR architectures.",
        "int",
        minimum=1,
        group=_INPUT,
    )


@dataclasses.dataclass(frozen=True)
class Summary:
    """An architecture in numbers.

    Args:
        architecture: of the paper.
        input_shape: (H, W, C).
        classes: number of classes.
        complexity: parameters and multiply-adds, by layer and stage.
        blocks: number of blocks by stage.
        paper: what the paper reports, or None.
    """

    architecture: Architecture
    input_shape: tuple[int, int, int]
    classes: int
    complexity: "Complexity"
    blocks: Mapping[str, int]
    paper: PaperResult | None


def inspect(config: InspectConfig | None = None, **fields: Any) -> Summary:
    """Counts an architecture's parameters and multiply-adds, stage by stage.

    Args:
        config, fields: of `InspectConfig`.

    Raises:
        UserError: there is no such architecture, or it does not take images of that size.
    """
    config = make_config(InspectConfig, config, fields)
    require_installed_backend()
    architecture = config.resolve()
    size = architecture.default_size if config.image_size is None else config.image_size
    if size < architecture.total_stride:
        raise UserError(
            f"is too small for {architecture.name}, which takes {architecture.total_stride} or more.",
            parameter="image_size",
            value=size,
        )
    classes = config.classes or (10 if architecture.stem == "cifar" else 1000)
    from keras_resnet.models.complexity import complexity
    from keras_resnet.models.resnet import ResNet

    shape = (size, size, config.channels)
    model = ResNet(architecture, input_shape=shape, classes=classes)
    blocks = dict(zip(architecture.stages, architecture.blocks_per_stage, strict=True))
    return Summary(architecture, shape, classes, complexity(model), blocks, paper_result(architecture))
