"""Whether a dataset, a model and a batch fit each other."""

import itertools
import unicodedata
from collections.abc import Sequence

from keras_resnet.data.dataset import Dataset
from keras_resnet.errors import UserError
from keras_resnet.training.recipes import Recipe


def check_classes(dataset: Dataset, class_names: Sequence[str], source: str) -> None:
    """Refuses a dataset whose classes are not those of a model, in the same order.

    Args:
        class_names: of the model.
        source: the model, for messages.

    Raises:
        UserError: with the first difference.
    """
    pairs = itertools.zip_longest(dataset.class_names, class_names, fillvalue="missing")
    for index, (ours, theirs) in enumerate(pairs):
        # Names of folders are stored decomposed by macOS, and look the same.
        if unicodedata.normalize("NFC", ours) != unicodedata.normalize("NFC", theirs):
            raise UserError(
                f"has other classes than {source}: class {index} is {ours} here and {theirs} there; use "
                "images of the same classes.",
                parameter="dataset",
                value=dataset.name,
            )


def describe_label_difference(multi_label: bool, dataset: Dataset) -> str:
    """Returns why a model does not fit a dataset: one of them has several labels an image, and the other not.

    Args:
        multi_label: whether the model has several.
    """
    kinds = {True: "any number of labels", False: "one class"}
    return (
        f"the model gives an image {kinds[multi_label]}, and {dataset.name} {kinds[not multi_label]}; use "
        "those of one kind (label_columns and label_separator say how a table is read)."
    )


def check_batch_divisible(
    recipe: Recipe, replicas: int, gradient_accumulation_steps: int, jit_compile: bool
) -> None:
    """Refuses a batch that this number of devices cannot share.

    Raises:
        UserError: with the parameter to change.
    """
    if jit_compile and replicas > 1:
        raise UserError(
            f"XLA cannot compile a step over {replicas} devices; leave jit_compile out, or make one device "
            "visible (CUDA_VISIBLE_DEVICES=0).",
            parameter="jit_compile",
        )
    if recipe.batch_size % replicas:
        raise UserError(
            f"must be a multiple of the number of devices, {replicas}.",
            parameter="batch_size",
            value=recipe.batch_size,
        )
    share = recipe.batch_size // replicas
    if share % gradient_accumulation_steps:
        raise UserError(
            f"must divide the {share} images of a device's share of a batch.",
            parameter="gradient_accumulation_steps",
            value=gradient_accumulation_steps,
        )
