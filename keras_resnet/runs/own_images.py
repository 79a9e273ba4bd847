"""What is trained on a folder or table of images where the user chooses nothing: depth, recipe and epochs.

Imports neither Keras nor TensorFlow.
"""

import dataclasses
import logging
import math

from keras_resnet.data.dataset import Dataset
from keras_resnet.data.input_spec import MAX_SQUASH_SIZE, is_squashed
from keras_resnet.data.load import is_folder_or_table
from keras_resnet.runs.architecture import DEFAULT_DEPTH, ArchitectureOptions
from keras_resnet.training.recipes import RECIPES, Recipe

_LOG = logging.getLogger(__name__)

# The smallest architecture that the paper has for photographs.
PHOTO_DEPTH = 18
FROM_SCRATCH, FINE_TUNED = "modern", "finetune"
# Images of each class up to which other weights are recommended: they helped with 100, not with 300.
FEW_IMAGES = 100


@dataclasses.dataclass(frozen=True)
class Epochs:
    """How long to train on so many images.

    Args:
        max_images: of each class, on average, up to which this applies.
        from_scratch: epochs of the recipe `modern`, from random weights.
        fine_tuned: epochs of the recipe `finetune`, from other weights.
    """

    max_images: float
    from_scratch: int
    fine_tuned: int


# Measured on 10, 30, 100 and 300 JPEG files of each of five classes of CIFAR-10 with a ResNet-20
# (docs/own-images.md), as are the limits between them; for more images, the epochs of the recipes.
EPOCHS = (
    Epochs(max_images=60, from_scratch=100, fine_tuned=50),
    Epochs(max_images=200, from_scratch=60, fine_tuned=40),
    Epochs(
        max_images=math.inf,
        from_scratch=RECIPES[FROM_SCRATCH].epochs,
        fine_tuned=RECIPES[FINE_TUNED].epochs,
    ),
)


def is_own(dataset: Dataset) -> bool:
    """Whether a dataset is somebody's folder or table, not one of a catalog or of arrays."""
    return is_folder_or_table(dataset.name)


def choose_depth(options: ArchitectureOptions, dataset: Dataset, image_size: int | None) -> int:
    """The depth where none is chosen.

    ResNet-18 for a folder or table of images that are larger than 64x64 pixels or of several sizes, for which
    the architectures of CIFAR are too shallow, and otherwise that of `ArchitectureOptions`.
    """
    small = is_squashed(dataset) or (image_size is not None and image_size <= MAX_SQUASH_SIZE)
    if small or options.family == "cifar" or not is_own(dataset):
        return DEFAULT_DEPTH
    return PHOTO_DEPTH


def log_depth(dataset: Dataset, depth: int, size: int) -> None:
    """Says which depth was chosen, and why."""
    limit = f"{MAX_SQUASH_SIZE}x{MAX_SQUASH_SIZE}"
    if is_squashed(dataset):
        images = f"of one size up to {limit}"
    elif depth == PHOTO_DEPTH:
        images = f"larger than {limit} or of several sizes"
    else:
        images = f"reduced to {size}x{size}"
    _LOG.info(
        "%s: images %s, and no depth: ResNet-%s at %sx%s.",
        dataset.name,
        images,
        depth,
        size,
        size,
    )


def choose_recipe(dataset: Dataset, *, has_weights: bool) -> tuple[str, Recipe]:
    """Name of a recipe and the recipe, with epochs by the number of images, where none is chosen."""
    images = _images_per_class(dataset)
    row = next(row for row in EPOCHS if images <= row.max_images)
    name, epochs = (FINE_TUNED, row.fine_tuned) if has_weights else (FROM_SCRATCH, row.from_scratch)
    return name, dataclasses.replace(RECIPES[name], epochs=epochs)


def log_recipe(dataset: Dataset, name: str, recipe: Recipe, *, has_weights: bool) -> None:
    """Says which recipe was chosen, with the configuration's changes, and why."""
    length = f"{recipe.iterations:,} steps" if recipe.iterations else f"{recipe.epochs} epochs"
    images = _images_per_class(dataset)
    _LOG.info(
        "%s: about %s training images per class, from %s, and no recipe: %s, %s, batches of %s, "
        "learning rate %g.",
        dataset.name,
        f"{images:,.0f}",
        "other weights" if has_weights else "random weights",
        name,
        length,
        recipe.batch_size,
        recipe.learning_rate,
    )
    if not has_weights and not is_squashed(dataset) and images <= FEW_IMAGES:
        _LOG.info(
            "From so few photographs a model learns more if it starts from public weights: "
            "weights=torchvision-v1 with depth=18."
        )


def _images_per_class(dataset: Dataset) -> float:
    """Training images per class on average."""
    return dataset.train.size / len(dataset.class_names)
