"""The block of metadata at the head of a card, as Hugging Face's Hub reads it.

It says only what the run knows: the license of the weights is their owner's to choose, and is left out.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# TFDS's name of a dataset: the Hub's.
HUB_DATASETS = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "mnist": "ylecun/mnist",
}
# The Hub's name for any folder or table of images.
_OWN_IMAGES = "imagefolder"
_TASK = "image-classification"
_NAMES = {
    "accuracy": "Accuracy",
    "f1": "Macro-F1",
    "mean_average_precision": "Mean average precision",
}
# Characters that end a line in YAML, or that it does not take, and that JSON leaves as they are.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


def front_matter(
    *,
    name: str,
    dataset: str,
    hub_dataset: str,
    split: str,
    metrics: Mapping[str, float],
    tags: Sequence[str],
) -> str:
    """Returns the metadata as YAML between two lines of dashes.

    Args:
        name: of the model.
        dataset: for readers.
        hub_dataset: its name on the Hub; empty if it is not known there.
        split: that the metrics are of.
        metrics: values by the names of Hugging Face's `evaluate`: accuracy, and f1, which is the macro-F1.
        tags: words to find the model by.
    """
    measured = [
        {"type": metric, "name": _NAMES[metric], "value": round(value, 6)}
        for metric, value in metrics.items()
    ]
    result = {
        "task": {"type": _TASK},
        "dataset": {"name": dataset, "type": hub_dataset or _OWN_IMAGES, "split": split},
        "metrics": measured,
    }
    values = {
        "library_name": "keras",
        "pipeline_tag": _TASK,
        "tags": list(tags),
        **({"datasets": [hub_dataset]} if hub_dataset else {}),
        "metrics": list(metrics),
        "model-index": [{"name": name, "results": [result]}],
    }
    lines = [f"{key}: {_yaml(value)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---", ""])


def _yaml(value: Any) -> str:
    """Returns a value as JSON, which is YAML as well once such characters are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
