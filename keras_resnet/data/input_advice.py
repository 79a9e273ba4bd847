"""What would make training images come faster. Imports no TensorFlow."""

import statistics

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.data.input_spec import InputTransform
from keras_resnet.errors import format_value

# Training files, evenly spread, whose headers are read.
_MAX_HEADERS = 64
# Shorter side of a shrunk image over the side of the crop: more than the 480 pixels of the paper's largest.
_SHRUNK = 512 / 224
# Images larger than this many times a shrunk one are worth shrinking.
_MIN_ZOOM = 1.5


def input_advice(dataset: Dataset, transform: InputTransform, batch_augment: BatchAugment) -> str:
    """Returns what a training that waits for its images can do about it, as a sentence."""
    ways = []
    shorter = _median_shorter_side(dataset.train)
    side = round(_SHRUNK * transform.spec.size)
    if transform.spec.crop_mode == "center" and shorter is not None and shorter > _MIN_ZOOM * side:
        folder = format_value(dataset.name)
        ways.append(
            f"train on a smaller copy of the images, whose shorter side is {shorter:,} pixels: keras-resnet "
            f"data shrink {folder} OUT --shorter_side={side}"
        )
    slow = [
        name
        for name, is_on in (
            ("trivial_augment", transform.trivial_augment),
            ("randaugment", batch_augment.randaugment),
        )
        if is_on
    ]
    if slow:
        ways.append(f"train without {' and '.join(slow)}")
    if not ways:
        ways.append("use more CPU cores, or a disk that is read faster")
    return f"To wait less, {'; or '.join(ways)}."


def _median_shorter_side(split: Split) -> int | None:
    """Returns the median over some files of the split, in pixels; None where it has none that can be read."""
    if split.paths is None:
        return None
    from keras_resnet.data.images.pixels import sample_headers

    sides = [min(size) for size, _ in sample_headers(split.paths, _MAX_HEADERS)]
    return round(statistics.median(sides)) if sides else None
