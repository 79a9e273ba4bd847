"""What the card of a run of several labels an image says in place of accuracy and confusion."""

import dataclasses
from collections.abc import Sequence

from keras_resnet.evaluation.multi_label import LabelScores
from keras_resnet.inference.thresholds import THRESHOLDS


@dataclasses.dataclass(frozen=True)
class LabelRow(LabelScores):
    """What was measured of one label, on the split that is reported, with its name."""

    name: str


@dataclasses.dataclass(frozen=True)
class MultiLabelInfo:
    """What was measured of a run of several labels an image, on the split that is reported.

    Args:
        mean_average_precision: macro, 0..1.
        macro_f1: at the thresholds, 0..1.
        validation_map: mean average precision of the validation split, 0..1.
        labels: of each label.
    """

    mean_average_precision: float
    macro_f1: float
    validation_map: float
    labels: tuple[LabelRow, ...]


def describe_figure(info: MultiLabelInfo, split: str, num_images: int) -> str:
    """Returns the figure that the card leads with.

    Args:
        split: kind and name of the split.
        num_images: of the split.
    """
    return (
        f"**{100 * info.mean_average_precision:.2f}% mAP** (mean over the labels of the average precision), "
        f"macro-F1 {100 * info.macro_f1:.2f}%, on the {num_images:,} images of the {split}"
    )


def label_table(info: MultiLabelInfo, split: str) -> str:
    """Returns the section about each label."""
    rows = "".join(
        f"| {_cell(row.name)} | {row.positives:,} | {_percent(row.average_precision)} | "
        f"{row.threshold:.3f} | {_percent(row.precision)} | {_percent(row.recall)} | {_percent(row.f1)} |\n"
        for row in info.labels
    )
    return f"""## Labels

An image has every label whose probability reaches its threshold: any number of labels, or none. The \
thresholds are those of the largest F1 on the validation split, and are in `{THRESHOLDS}`: here, in \
`saved_model/assets.extra` and inside of each `.tflite` file. Precision, recall and F1 are at the \
thresholds, on `{split}`; where no image has a label, it has no average precision.

| label | images | average precision | threshold | precision | recall | F1 |
|---|---|---|---|---|---|---|
{rows}"""


def limits(dataset: str, names: Sequence[str], has_test: bool) -> str:
    """Returns the section about what the model is for."""
    measured = (
        "The test images were not used in training; choosing between runs by them would use them."
        if has_test
        else "The validation images chose the thresholds and are reported as well: F1 is therefore too high, "
        "by an amount that is not known."
    )
    return f"""## Intended use and limits

For images like those of {dataset}, of which each has any number of the {len(names)} labels. The \
probabilities are not calibrated. How good the labels are on images from elsewhere (other cameras, lighting, \
crops, people), or where labels are more or less frequent, is unknown until it is measured there. {measured}
"""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}%"


def _cell(name: str) -> str:
    return name.replace("|", "\\|")
