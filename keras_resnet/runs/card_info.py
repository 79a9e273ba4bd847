"""What the card of a run says, from its record."""

from collections.abc import Mapping
from typing import Any

from keras_resnet.data.input_spec import OPTIONAL_AUGMENTATIONS
from keras_resnet.errors import UserError
from keras_resnet.runs.card import CardInfo, SplitInfo
from keras_resnet.runs.card_metadata import HUB_DATASETS
from keras_resnet.runs.class_weight import describe_class_weight
from keras_resnet.runs.config import BEST
from keras_resnet.runs.data_options import dataset_title
from keras_resnet.runs.multi_label import multi_label_info
from keras_resnet.runs.record import RunRecord

# Entries of the results that `calibrate_and_measure` adds.
MEASURED = (
    "measured_images",
    "macro_f1",
    "balanced_accuracy",
    "ece",
    "ece_before",
    "nll",
    "nll_before",
    "temperature",
    "calibration_images",
)


def card_info(record: RunRecord) -> CardInfo:
    """Returns what the card says of a finished run.

    Raises:
        UserError: the record is damaged or of another version.
    """
    dataset, inputs = record.settings["dataset"], record.settings["input"]
    training, results = record.settings["training"], record.results or {}
    initial_weights, grow_from = record.settings.get("initial_weights"), record.settings.get("grow_from")
    try:
        return CardInfo(
            architecture=record.architecture,
            recipe=record.recipe,
            dataset=dataset_title(dataset["name"]),
            class_names=tuple(dataset["class_names"]),
            train=SplitInfo(dataset["train_split"], dataset["train_images"]),
            validation=SplitInfo(dataset["validation_split"], dataset["validation_images"]),
            test=SplitInfo(dataset["test_split"], dataset["test_images"]) if dataset["test_split"] else None,
            spec=record.spec,
            hflip=inputs["hflip"],
            augmentation=inputs["augmentation"],
            crop_padding=inputs["crop_padding"],
            optional_augmentations=tuple(name for name in OPTIONAL_AUGMENTATIONS if inputs.get(name)),
            precision="float32" if training["mixed_precision"] == "none" else training["mixed_precision"],
            seconds=results["seconds"],
            command=record.metadata["command"],
            versions=record.metadata["versions"],
            seed=training["seed"],
            validation_error=results["validation_error"],
            test_error=results.get("test_error"),
            initial_weights=initial_weights or "",
            # The fingerprint begins with the architecture's name.
            grow_from=grow_from.split()[0] if grow_from else "",
            train_size=inputs.get("train_size"),
            teacher=_describe_teacher(record.settings.get("teacher")),
            precise_bn=training["precise_bn"],
            epoch=results.get("epoch"),
            epochs=results.get("epochs"),
            best=training.get("export_epoch") == BEST,
            stop_after=training.get("stop_after"),
            class_weight=describe_class_weight(training.get("class_weight")),
            # Arrays of the user may have any name.
            hub_dataset=""
            if "fingerprint" in dataset
            else HUB_DATASETS.get(dataset["name"].split(":")[0], ""),
            measured={}
            if record.multi_label
            else {name: results[name] for name in MEASURED if name in results},
            multi_label=multi_label_info(results) if record.multi_label else None,
        )
    except KeyError as error:
        raise UserError(
            f"lacks {error.args[0]}: the run is of another version; train again with this one.",
            value=record.path,
        ) from error


def _describe_teacher(settings: Mapping[str, Any] | None) -> str:
    if settings is None:
        return ""
    return (
        f"{settings['fingerprint'].split()[0]}, whose probabilities have a share of {settings['share']:g} in "
        f"the loss, at temperature {settings['temperature']:g} (Hinton et al. 2015)"
    )
