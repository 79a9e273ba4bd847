"""How pixels are normalized for networks with public weights."""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Computes (pixels - mean) / std from pixels 0..255.

    Args:
        mean, std: one value per color, in RGB order.
        bgr: whether the network takes the channels in BGR order.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


def from_unit_range(values: Iterable[float]) -> tuple[float, float, float]:
    """Converts three values for pixels 0..1, as PyTorch states them, to pixels 0..255.

    Raises:
        ValueError: there are not exactly three values.
    """
    red, green, blue = (255 * float(value) for value in values)
    return red, green, blue


# Keyed by the name that keras.applications calls `mode`.
NORMALIZATIONS = {
    "caffe": Normalization((123.68, 116.779, 103.939), bgr=True),
    "torch": Normalization(from_unit_range((0.485, 0.456, 0.406)), from_unit_range((0.229, 0.224, 0.225))),
}
